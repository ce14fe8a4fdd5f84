"""Which ranges of 65536 host ids are free for a container: what others use, or are meant to use, is left to them.

What there is to look at: subuid(5) and subgid(5); the user namespaces of everybody's processes
(user_namespaces(7)), among them those of another ORCHESTRA_HOME; the locks that systemd-nspawn holds.
systemd.io/UIDS-GIDS leaves 0x80000 to 0x6fffffff to containers that systemd makes, 0x7ffe0000 to files of others, and
warns of all above 0x7fffffff; sssd(8) maps users of a domain below 2000200000. Ranges beside all of these come first,
from a place that depends on the home, so that two homes of which one does not run choose different ones.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from ..errors import OrchestraError

RANGE = 1 << 16
SYSTEMD, DOMAINS, FOREIGN = range(0x8, 0x7000), range(0x7000, 0x7749), 0x7FFE
QUIET = range(DOMAINS.stop, FOREIGN)
SUBORDINATE = ("/etc/subuid", "/etc/subgid")
NSPAWN = "/run/systemd/nspawn-uid"
WHOLE = (1 << 32) - 1
"""Ids of a namespace that maps every one to itself, and so has none of its own."""


def choose(home: str, held: set[int]) -> int:
    """A range that is not among those `held`. Raises OrchestraError where there is none."""
    own = _mapped("/proc/self/uid_map")
    free = (number for number in _in_order(home) if number not in held)
    found = next((number for number in free if any(number in whole for whole in own)), None)
    if found is None:
        raise OrchestraError(
            "no range of 65536 user ids is free on this machine: all from 524288 to 2147352575 are used or promised",
            "see /etc/subuid, /etc/subgid and orchestra ls -a; orchestra down gives those of a stack back",
        )
    return found


def _in_order(home: str) -> Iterator[int]:
    begin = int.from_bytes(hashlib.blake2b(home.encode(), digest_size=8).digest(), "big") % len(QUIET)
    yield from QUIET[begin:]
    yield from QUIET[:begin]
    yield from DOMAINS
    yield from SYSTEMD


def of_others() -> set[int]:
    """Ranges in which anybody has an id; reads a few files, and looks at each process."""
    return {*_subordinate(), *_of_processes(), *_of_nspawn()}


def _covered(first: int, count: int) -> range:
    return range(first // RANGE, (first + count - 1) // RANGE + 1)


def _mapped(path: str) -> list[range]:
    """Ranges that are there as a whole: orchestra itself may run in a user namespace."""
    with open(path) as lines:
        entries = [[int(field) for field in line.split()] for line in lines]
    return [range(-(-first // RANGE), (first + count) // RANGE) for first, _, count in entries]


def _subordinate() -> Iterator[int]:
    for path in SUBORDINATE:
        try:
            with open(path, errors="replace") as file:
                entries = [line.strip().split(":") for line in file]
        except OSError:
            continue
        for entry in entries:
            if len(entry) == 3 and entry[1].isdecimal() and entry[2].isdecimal() and int(entry[2]):
                yield from _covered(int(entry[1]), int(entry[2]))


def _of_processes() -> Iterator[int]:
    """What their user namespaces map, each looked at once; of ours it is all."""
    seen = {_space("self")}
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            space = _space(pid)
            if space in seen:
                continue
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{pid}/{name}") as lines:
                    for _, first, count in (map(int, line.split()) for line in lines):
                        yield from _covered(first, count) if count < WHOLE else ()
            seen.add(space or "")
        except (OSError, ValueError):  # it has ended
            continue


def _space(pid: str) -> str | None:
    """Which user namespace it is in, None where that is not ours to see."""
    try:
        return os.readlink(f"/proc/{pid}/ns/user")
    except PermissionError:
        return None


def _of_nspawn() -> Iterator[int]:
    """A lock file for each range that it has picked, called by its first id."""
    try:
        names = os.listdir(NSPAWN)
    except OSError:
        return
    for name in filter(str.isdecimal, names):
        yield int(name) // RANGE
