"""From a profile (seccomp of the OCI runtime specification, with docker's `includes` and `excludes`) to BPF.

Where a rule compares an argument of which the kernel takes 32 bits only, so does the filter: compared in 64 bits,
socket(40 | 1 << 32, …) is another number to the filter and the same family to the kernel.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestra.errors import OrchestraError

from . import bpf
from .bpf import Op

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*, linux/audit.h
_DOCKER_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
X32 = 0x40000000

ALLOW, KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_ACTIONS = {
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_ERRNO": _ERRNO,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
}
_NARROW = {
    "socket": (0, 1, 2),
    "socketpair": (0, 1, 2),
    "ioctl": (0, 1),
    "setsockopt": (0, 1, 2),
    "getsockopt": (0, 1, 2),
    "personality": (0,),
    "clone": (0,),
    "unshare": (0,),
    "setns": (0, 1),
    "fcntl": (0, 1),
    "prctl": (0,),
    "keyctl": (0,),
    "bpf": (0,),
    "seccomp": (0, 1),
    "mknodat": (0,),
    "kill": (0, 1),
}
"""Arguments that the kernel declares as int or unsigned int, or cuts to that."""

Profile = Mapping[str, Any]


class ProfileError(OrchestraError):
    """A profile that cannot be compiled, in one sentence."""


def compile_profile(profile: Profile, capabilities: Iterable[str], machine: str, numbers: Mapping[str, int]) -> bytes:
    default = _action(profile.get("defaultAction", "SCMP_ACT_ERRNO"), profile.get("defaultErrnoRet"))
    rules = _rules_by_name(profile, frozenset(capabilities), machine)
    # What is newer than this list is refused as a kernel without it would: programs then fall back.
    unknown = _ERRNO | errno.ENOSYS if default & 0x7FFF0000 == _ERRNO else default
    blocks = {number: _block(name, rules.get(name, []), default) for name, number in numbers.items()}
    body = bpf.tree(_ranges(blocks, [Op(bpf.RETURN, unknown)]))
    program = [
        Op(bpf.LOAD, bpf.ARCHITECTURE),
        Op(bpf.EQUAL, ARCHITECTURES[machine], 1, 0),
        Op(bpf.RETURN, KILL_PROCESS),
        Op(bpf.LOAD, bpf.NUMBER),
    ]
    if machine == "x86_64":
        program += [Op(bpf.NOT_LESS, X32, 0, 1), Op(bpf.RETURN, _ERRNO | errno.ENOSYS)]
    program += body
    if len(program) > 4096:
        raise ProfileError(f"the profile needs {len(program)} instructions, the kernel takes 4096")
    return b"".join(map(bytes, program))


def _ranges(blocks: Mapping[int, list[Op]], unknown: list[Op]) -> list[tuple[int, list[Op]]]:
    """Neighbours with one answer make one range; gaps and everything past the last number are unknown."""
    ranges: list[tuple[int, list[Op]]] = []
    for number in range(max(blocks) + 2):
        block = blocks.get(number, unknown)
        if not ranges or list(map(bytes, ranges[-1][1])) != list(map(bytes, block)):
            ranges.append((number, block))
    return ranges


def _rules_by_name(profile: Profile, capabilities: frozenset[str], machine: str) -> dict[str, list[Profile]]:
    found: dict[str, list[Profile]] = {}
    for rule in profile.get("syscalls") or []:
        if _applies(rule, capabilities, machine):
            for name in rule.get("names") or [rule["name"]]:
                found.setdefault(name, []).append(rule)
    return found


def _applies(rule: Profile, capabilities: frozenset[str], machine: str) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    arch = _DOCKER_NAMES[machine]
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if arch in (excludes.get("arches") or ()):
        return False
    if not capabilities.issuperset(includes.get("caps") or ()):
        return False
    if not capabilities.isdisjoint(excludes.get("caps") or ()):
        return False
    return _new_enough(includes.get("minKernel"))


def _new_enough(wanted: str | None) -> bool:
    if not wanted:
        return True
    numbers = os.uname().release.split("-")[0].split(".")[:2]
    return [int(n) for n in numbers] >= [int(n) for n in wanted.split(".")[:2]]


def _block(name: str, rules: Sequence[Profile], default: int) -> list[Op]:
    """First the rules with conditions, in their order, then the one without."""
    rungs: list[tuple[list[list[Op]], int]] = []
    otherwise = default
    for rule in rules:
        action = _action(rule["action"], rule.get("errnoRet"))
        if not rule.get("args"):
            otherwise = action if otherwise == default else otherwise
            continue
        for conditions in _alternatives(rule["args"]):
            rungs.append(([_compare(name, condition) for condition in conditions], action))
    return bpf.ladder(rungs, otherwise)


def _alternatives(args: Sequence[Profile]) -> list[Sequence[Profile]]:
    """Conditions on different arguments must all hold; several on one argument are alternatives (as runc has it)."""
    indexes = [arg["index"] for arg in args]
    return [args] if len(set(indexes)) == len(indexes) else [[arg] for arg in args]


def _compare(name: str, condition: Profile) -> list[Op]:
    index, op = condition["index"], str(condition["op"]).removeprefix("SCMP_CMP_")
    if not 0 <= index <= 5 or op not in ("EQ", "NE", "GT", "GE", "LT", "LE", "MASKED_EQ"):
        raise ProfileError(f"{name}: no condition {condition.get('op')} on argument {index}")
    low = index in _NARROW.get(name, ())
    return bpf.compare(index, op, condition["value"], condition.get("valueTwo") or 0, low)


def _action(name: str, number: int | None) -> int:
    if name not in _ACTIONS:
        raise ProfileError(f"no action {name}")
    base = _ACTIONS[name]
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        return base | (errno.EPERM if number is None else number & 0xFFFF)
    return base


def parse(text: str | bytes) -> Profile:
    try:
        profile = json.loads(text)
    except ValueError as error:
        raise ProfileError(f"no JSON: {error}") from error
    if not isinstance(profile, dict) or "defaultAction" not in profile:
        raise ProfileError("no seccomp profile: defaultAction is missing")
    return profile
