"""What only one may hold on this machine: id ranges of containers, subnets of networks. One file under flock.

A lease is held under a key that its holder can derive again, so that asking twice gives the same thing and a
holder that was killed finds what it had.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .files import ensure_folder, read_json, write_json

RANGE = 1 << 16
FIRST_RANGE = 8  # 524288: above what useradd hands out in /etc/subuid by default for the first few users
LAST_RANGE = (1 << 32) // RANGE - 2
SUBORDINATE = ("/etc/subuid", "/etc/subgid")


class Leases:
    """The open file; use as a context, changes are written at its end."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.ranges: dict[str, int] = content.get("ranges", {})
        self.subnets: dict[str, list[str]] = content.get("subnets", {})  # network id -> [subnet, host, router]

    def range_of(self, key: str) -> int:
        """The first host id of the range of 65536 that belongs to this container."""
        if key not in self.ranges:
            taken = set(self.ranges.values()) | _foreign_ranges()
            self.ranges[key] = next(number for number in range(FIRST_RANGE, LAST_RANGE) if number not in taken)
        return self.ranges[key] * RANGE

    def release(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.ranges.pop(key, None)
            self.subnets.pop(key, None)

    def content(self) -> dict[str, Any]:
        return {"ranges": self.ranges, "subnets": self.subnets}


@contextmanager
def leases(path: str) -> Iterator[Leases]:
    ensure_folder(os.path.dirname(path))
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = read_json(path) or {}
        held = Leases({kind: dict(entries) for kind, entries in before.items()})
        yield held
        if held.content() != before:
            write_json(path, held.content())
    finally:
        os.close(lock)


def _foreign_ranges() -> set[int]:
    """Ranges that subuid(5) and subgid(5) give to others."""
    numbers: set[int] = set()
    for path in SUBORDINATE:
        try:
            with open(path) as file:
                entries = [line.strip().split(":") for line in file]
        except OSError:
            continue
        for entry in entries:
            if len(entry) == 3 and entry[1].isdigit() and entry[2].isdigit():
                first, count = int(entry[1]), int(entry[2])
                numbers.update(range(first // RANGE, (first + count) // RANGE + 1))
    return numbers
