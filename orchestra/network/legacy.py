"""The other firewall: iptables-legacy, whose tables nftables does not show (ip_tables in the kernel).

A table is one block of rules that is read and replaced as a whole (linux/netfilter_ipv4/ip_tables.h), as the command
does it, under its lock. Here: whether its FORWARD chain drops what it does not know, and two rules at the head of it
that let one link through. They are known by the link's name, which nobody else has.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import time
from typing import TYPE_CHECKING

from orchestra.errors import OrchestraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHAIN = "iptables-legacy filter FORWARD"
LOCK = "/run/xtables.lock"
PATIENCE = 5.0
"""Seconds that another iptables-legacy may take."""
_TRIES = 5

_GET_INFO, _GET_ENTRIES, _REPLACE, _ADD_COUNTERS = 64, 65, 64, 65
_NAME = b"filter".ljust(32, b"\0")
_INFO = struct.Struct("=32sI5I5III")  # name, valid hooks, where chains begin, where policies are, number, size
_LIST = struct.Struct("=32sI4x")  # ipt_get_entries: size of the block; xt_counters_info: number
_REPLACEMENT = struct.Struct("=32sIII5I5IIQ")  # …, number and size, chains, policies, number and place of counters
_MATCH = 84  # bytes of struct ipt_ip
_ENTRY = struct.Struct("=84sIHHI16s")  # what it matches, cache, where target and next entry are, hooks, counters
_TARGET = struct.Struct("=H29sBi4x")  # size, name, revision, verdict
_COUNTERS = 16
_FORWARD, _HOOKS = 2, 5
_ACCEPT, _DROP = -2, -1  # -NF_ACCEPT - 1, -NF_DROP - 1
_STANDARD = bytes(29)  # the name of a target that is a verdict, or a jump

_libc = ctypes.CDLL(None, use_errno=True)


class _Rule:
    """An entry as the kernel has it. A jump knows the rule to which it leads, since places change."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.leads_to: _Rule | None = None
        self.before = -1  # its number in the table that was read

    @property
    def match(self) -> bytes:
        return self.data[:_MATCH]

    @property
    def target(self) -> tuple[bytes, int]:
        """Name and verdict; the latter has a meaning for `_STANDARD` only."""
        _, name, _, verdict = _TARGET.unpack_from(
            self.data.ljust(self._target_at + _TARGET.size, b"\0"), self._target_at
        )
        return name, verdict

    @property
    def _target_at(self) -> int:
        return int(_ENTRY.unpack_from(self.data)[2])

    @property
    def matches_everything(self) -> bool:
        return not any(self.match) and self._target_at == _ENTRY.size

    @property
    def refuses(self) -> bool:
        name, verdict = self.target
        return verdict == _DROP if name == _STANDARD else name.rstrip(b"\0") == b"REJECT"

    def placed(self, places: dict[_Rule, int]) -> bytes:
        if self.leads_to is None:
            return self.data
        at = self._target_at + _TARGET.size - 8
        return self.data[:at] + struct.pack("=i", places[self.leads_to]) + self.data[at + 4 :]


def _passing(link: str, *, inwards: bool) -> _Rule:
    name = link.encode()
    names = [name.ljust(16, b"\0"), bytes(16)]
    masks = [b"\xff" * (len(name) + 1) + bytes(15 - len(name)), bytes(16)]
    if not inwards:
        names.reverse()
        masks.reverse()
    match = bytes(16) + b"".join(names + masks) + bytes(4)
    size = _ENTRY.size + _TARGET.size
    return _Rule(
        _ENTRY.pack(match, 0, _ENTRY.size, size, 0, bytes(_COUNTERS))
        + _TARGET.pack(_TARGET.size, _STANDARD, 0, _ACCEPT)
    )


class _Filter:
    """The table, taken apart."""

    def __init__(self, valid: int, begins: tuple[int, ...], policies: tuple[int, ...], block: bytes) -> None:
        self.rules: list[_Rule] = []
        at, placed = 0, dict[int, _Rule]()
        while at < len(block):
            size = _ENTRY.unpack_from(block, at)[3]
            rule = placed[at] = _Rule(block[at : at + size])
            rule.before = len(self.rules)
            self.rules.append(rule)
            at += size
        for rule in self.rules:
            name, verdict = rule.target
            if name == _STANDARD and verdict >= 0:
                rule.leads_to = placed[verdict]
        self.valid = valid
        self.begins = {hook: placed[begins[hook]] for hook in range(_HOOKS) if valid >> hook & 1}
        self.policies = {hook: placed[policies[hook]] for hook in range(_HOOKS) if valid >> hook & 1}
        self.read = len(self.rules)

    def _chain(self) -> list[_Rule]:
        """FORWARD without its policy."""
        first, last = self.rules.index(self.begins[_FORWARD]), self.rules.index(self.policies[_FORWARD])
        return self.rules[first:last]

    def drops(self) -> bool:
        """By policy, or by a last rule that refuses everything."""
        chain = self._chain()
        return self.policies[_FORWARD].refuses or bool(chain and chain[-1].matches_everything and chain[-1].refuses)

    def _of(self, link: str) -> list[_Rule]:
        ours = {_passing(link, inwards=inwards).match for inwards in (True, False)}
        return [rule for rule in self._chain() if rule.match in ours and rule.target == (_STANDARD, _ACCEPT)]

    def lets_through(self, link: str) -> bool:
        return len(self._of(link)) == 2

    def let_through(self, link: str) -> None:
        self.forget(link)
        at = self.rules.index(self.begins[_FORWARD])
        self.rules[at:at] = [_passing(link, inwards=True), _passing(link, inwards=False)]
        self.begins[_FORWARD] = self.rules[at]

    def forget(self, link: str) -> bool:
        """Whether there was something of it."""
        ours = self._of(link)
        for rule in ours:
            if self.begins[_FORWARD] is rule:
                self.begins[_FORWARD] = self.rules[self.rules.index(rule) + 1]
            self.rules.remove(rule)
        return bool(ours)

    def assembled(self, counters: int) -> bytes:
        """The message that replaces the table; `counters` is the address for those of the old one."""
        places, at = dict[_Rule, int](), 0
        for rule in self.rules:
            places[rule] = at
            at += len(rule.data)
        block = b"".join(rule.placed(places) for rule in self.rules)
        begins = [places[self.begins[hook]] if hook in self.begins else 0 for hook in range(_HOOKS)]
        policies = [places[self.policies[hook]] if hook in self.policies else 0 for hook in range(_HOOKS)]
        head = (_NAME, self.valid, len(self.rules), len(block), *begins, *policies, self.read, counters)
        return _REPLACEMENT.pack(*head) + block

    def counted(self, old: bytes) -> bytes:
        """The message that gives rules back what they had counted."""
        counts = (
            old[rule.before * _COUNTERS :][:_COUNTERS] if rule.before >= 0 else bytes(16) for rule in self.rules
        )
        return _LIST.pack(_NAME, len(self.rules)) + b"".join(counts)


def drops_forwarded() -> bool:
    found = _read_if_any()
    return found is not None and found.drops()


def is_let_through(link: str) -> bool:
    """Whether nothing of this kind drops what the link forwards."""
    found = _read_if_any()
    return found is None or not found.drops() or found.lets_through(link)


def ensure_let_through(link: str) -> bool:
    """Whether something had to be done for it. Raises OrchestraError with what a person can do."""
    if is_let_through(link):
        return False
    by_hand = " && ".join(f"iptables-legacy -I FORWARD {way} {link} -j ACCEPT" for way in ("-i", "-o"))
    _change(lambda table: table.let_through(link), by_hand)
    return True


def forget(link: str) -> None:
    """Nothing in the table is about the link."""
    found = _read_if_any()
    if found is not None and found.forget(link):
        _change(lambda table: table.forget(link), f"iptables-legacy -S FORWARD | grep {link}")


def _change(edit: Callable[[_Filter], object], by_hand: str) -> None:
    try:
        with _lock(), _opened() as raw:
            for left in reversed(range(_TRIES)):
                table = _read(raw)
                edit(table)
                counters = ctypes.create_string_buffer(table.read * _COUNTERS)
                try:
                    raw.setsockopt(socket.SOL_IP, _REPLACE, table.assembled(ctypes.addressof(counters)))
                except OSError as refusal:
                    # EAGAIN: somebody who does not know the lock was faster.
                    if refusal.errno != errno.EAGAIN or not left:
                        raise
                    continue
                raw.setsockopt(socket.SOL_IP, _ADD_COUNTERS, table.counted(counters.raw))
                return
    except OSError as refusal:
        raise OrchestraError(f"cannot change {CHAIN}: {refusal.strerror}", by_hand) from refusal


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    descriptor = os.open(LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _opened() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def _read_if_any() -> _Filter | None:
    """None where this kind of table is not in use: to ask for it would make the kernel load it."""
    try:
        with open("/proc/thread-self/net/ip_tables_names") as names:
            if "filter" not in names.read().split():
                return None
        with _opened() as raw:
            return _read(raw)
    except FileNotFoundError:
        return None


def _read(raw: socket.socket) -> _Filter:
    for left in reversed(range(_TRIES)):
        valid, *places, _, size = _INFO.unpack(_ask(raw, _GET_INFO, _NAME, _INFO.size))[1:]
        try:
            entries = _ask(raw, _GET_ENTRIES, _LIST.pack(_NAME, size), _LIST.size + size)
        except OSError as refusal:
            if refusal.errno != errno.EAGAIN or not left:  # it was replaced in between
                raise
            continue
        return _Filter(valid, tuple(places[:_HOOKS]), tuple(places[_HOOKS:]), entries[_LIST.size :])
    raise AssertionError


def _ask(raw: socket.socket, option: int, question: bytes, size: int) -> bytes:
    """getsockopt(2) with a question in the buffer, which Python's has no room for."""
    buffer = ctypes.create_string_buffer(question, size)
    length = ctypes.c_uint(size)
    if _libc.getsockopt(raw.fileno(), socket.SOL_IP, option, buffer, ctypes.byref(length)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return buffer.raw
