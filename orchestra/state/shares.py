"""Leases on services of other stacks: one durable file for each owner, user and service.

Written by the user's supervisor before anything is made, so that the owner finds it after any crash and after a
reboot. A lease of which the user is no more is dropped: neither has that stack a book nor lives the process that has
taken the lease for a stack that is only just being started.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from .. import ours
from ..places import Home
from ..values import dataclass
from ..wire.fits import NUMBER, fitting
from .files import ensure_folder, read_json, write_json

BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Share:
    """Who uses what, and how either is found again."""

    owner: str
    service: str  # its name in the owner's stack
    user: str
    names: tuple[str, ...]  # those that it has in the user's stack
    file: str  # the user's first stack file
    owner_file: str
    since: float  # epoch seconds
    pid: int = 0  # the supervisor that took it, with what tells it from another process of that number
    start_time: int = 0
    boot: str = ""


def take(home: Home, owner: str, service: str, user: str, names: Sequence[str], file: str, owner_file: str) -> None:
    """Idempotent; a lease that is there keeps its time. Raises OSError when it cannot be written."""
    path = _path(home, owner, service, user)
    before = _read(path)
    since = before.since if before else time.time()
    pid = os.getpid()
    share = Share(owner, service, user, tuple(names), file, owner_file, since, pid, start_time(pid) or 0, _boot())
    if share != before:
        ensure_folder(os.path.dirname(path))
        write_json(path, asdict(share))


def give_back(home: Home, owner: str, service: str, user: str) -> None:
    """Idempotent."""
    path = _path(home, owner, service, user)
    with contextlib.suppress(NotADirectoryError):
        ours.clear(path)
    with contextlib.suppress(OSError):  # others use it too
        os.rmdir(os.path.dirname(path))


def on(home: Home, owner: str) -> list[Share]:
    """The leases on services of a stack; those of stacks that are no more are dropped."""
    found = []
    for share in _all(home, owner):
        if _is_stale(home, share):
            give_back(home, owner, share.service, share.user)
        else:
            found.append(share)
    return found


def of(home: Home, user: str) -> list[Share]:
    """The leases that a stack holds on services of others."""
    return [share for owner in ours.names_in(home.shares) for share in _all(home, owner) if share.user == user]


def _all(home: Home, owner: str) -> Iterator[Share]:
    folder = f"{home.shares}/{owner}"
    for name in ours.names_in(folder):
        if name.endswith(SUFFIX) and (share := _read(f"{folder}/{name}")) is not None:
            yield share


SUFFIX = ".lease"


def _path(home: Home, owner: str, service: str, user: str) -> str:
    # A stack's name has no dot, so the pair can be told apart.
    return f"{home.shares}/{owner}/{user}.{service}{SUFFIX}"


def _read(path: str) -> Share | None:
    return read_json(path, _share)


def _share(raw: Any) -> Share:
    fitting(raw, _SHAPE)
    return Share(**{**raw, "names": tuple(raw["names"])})


_SHAPE = {
    **dict.fromkeys(("owner", "service", "user", "file", "owner_file", "boot"), str),
    **dict.fromkeys(("pid", "start_time"), int),
    "names": [str],
    "since": NUMBER,
}


def _is_stale(home: Home, share: Share) -> bool:
    if os.path.exists(home.stack(share.user).wanted):
        return False
    return share.boot != _boot() or start_time(share.pid) != share.start_time


def start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)), None without such a process; tells a process from a later namesake."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return None


def _boot() -> str:
    with open(BOOT_ID) as file:
        return file.read().strip()
