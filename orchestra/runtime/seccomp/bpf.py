"""Classic BPF for seccomp: a small assembler, and the parts that filters are made of (seccomp(2), linux/filter.h).

A block is a list of `Op` that begins with what it tests and never runs off its end. Jumps in a block name a place
further down; only the tree over system call numbers jumps further than the 255 instructions that a jump reaches.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

LOAD, JUMP, EQUAL, GREATER, NOT_LESS, AND, RETURN = 0x20, 0x05, 0x15, 0x25, 0x35, 0x54, 0x06
NUMBER, ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
PASS, FAIL, NEXT = "pass", "fail", "next"
_WORD = 0xFFFFFFFF


class Op:
    """One instruction; `yes` and `no` are distances, or the names of places that `link` knows."""

    __slots__ = ("code", "k", "no", "yes")

    def __init__(self, code: int, k: int, yes: int | str = 0, no: int | str = 0) -> None:
        self.code, self.k, self.yes, self.no = code, k, yes, no

    def __bytes__(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.yes, self.no, self.k)


def link(ops: Sequence[Op], passed: int, failed: int) -> list[Op]:
    """Turn PASS, FAIL and NEXT into distances; the places are given as indexes into `ops`, or just past it."""
    return [
        Op(op.code, op.k, _distance(op.yes, at, passed, failed), _distance(op.no, at, passed, failed))
        for at, op in enumerate(ops)
    ]


def _distance(target: int | str, at: int, passed: int, failed: int) -> int:
    if isinstance(target, int):
        return target
    return {PASS: passed, FAIL: failed, NEXT: at + 1}[target] - at - 1


def compare(index: int, op: str, value: int, second: int, low: bool) -> list[Op]:
    """Argument `index` against a value: falls through to PASS or FAIL. `low`: the kernel takes only 32 bits of it."""
    offset = 16 + 8 * index
    if low:
        return [Op(LOAD, offset), *_compare_low(op, value & _WORD, second & _WORD)]
    high, low_part = value >> 32, value & _WORD
    load_high, load_low = Op(LOAD, offset + 4), Op(LOAD, offset)
    if op == "MASKED_EQ":
        upper = [load_high, Op(AND, high), Op(EQUAL, second >> 32, NEXT, FAIL)]
    elif op == "EQ":
        upper = [load_high, Op(EQUAL, high, NEXT, FAIL)]
    elif op == "NE":
        upper = [load_high, Op(EQUAL, high, NEXT, PASS)]
    else:
        more, less = (PASS, FAIL) if op in ("GT", "GE") else (FAIL, PASS)
        upper = [load_high, Op(GREATER, high, more, NEXT), Op(EQUAL, high, NEXT, less)]
    return [*upper, load_low, *_compare_low(op, low_part, second & _WORD)]


def _compare_low(op: str, value: int, second: int) -> list[Op]:
    if op == "MASKED_EQ":
        return [Op(AND, value), Op(EQUAL, second, PASS, FAIL)]
    code, yes, no = {
        "EQ": (EQUAL, PASS, FAIL),
        "NE": (EQUAL, FAIL, PASS),
        "GT": (GREATER, PASS, FAIL),
        "LE": (GREATER, FAIL, PASS),
        "GE": (NOT_LESS, PASS, FAIL),
        "LT": (NOT_LESS, FAIL, PASS),
    }[op]
    return [Op(code, value, yes, no)]


def ladder(rungs: Sequence[tuple[Sequence[Sequence[Op]], int]], otherwise: int) -> list[Op]:
    """Rules one after the other: (conditions that must all hold, what to return then), the first that fits counts."""
    ops: list[Op] = []
    for conditions, action in rungs:
        size = sum(map(len, conditions)) + 1
        rung: list[Op] = []
        for condition in conditions:
            rung += link(condition, len(condition), size - len(rung))
        ops += [*rung, Op(RETURN, action)]
    return [*ops, Op(RETURN, otherwise)]


def tree(ranges: Sequence[tuple[int, list[Op]]]) -> list[Op]:
    """A search tree over the number in the accumulator: each range begins at its number and ends at the next."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = tree(ranges[:middle]), tree(ranges[middle:])
    first = ranges[middle][0]
    if len(below) <= 255:
        return [Op(NOT_LESS, first, len(below), 0), *below, *above]
    return [Op(NOT_LESS, first, 0, 1), Op(JUMP, len(below)), *below, *above]


def run(program: bytes, number: int, architecture: int, arguments: Sequence[int]) -> int:
    """What a filter answers: the kernel's side of the bargain, for tests and for `inspect`."""
    memory = struct.pack("=iIQ6Q", number, architecture, 0, *arguments)
    at, accumulator = 0, 0
    while True:
        code, yes, no, k = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == LOAD:
            accumulator = struct.unpack_from("=I", memory, k)[0]
        elif code == AND:
            accumulator &= k
        elif code == JUMP:
            at += k
        elif code == RETURN:
            return int(k)
        else:
            holds = {EQUAL: accumulator == k, GREATER: accumulator > k, NOT_LESS: accumulator >= k}[code]
            at += yes if holds else no
