"""What only one may hold on this machine: ranges of ids and of host ports, subnets. One file under flock.

A lease is held under a key that its holder can derive again, so that asking twice gives the same thing and a
holder that was killed finds what it had.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..wire.fits import fitting
from . import ranges
from .files import ensure_folder, read_json, write_json
from .ranges import RANGE
from .turns import locked


class Leases:
    """The open file; use as a context, changes are written at its end."""

    def __init__(self, content: dict[str, Any], home: str) -> None:
        """`home`: what tells this installation from others of the machine."""
        self._home = home
        self.ranges: dict[str, int] = content.get("ranges", {})
        self.subnets: dict[str, list[str]] = content.get("subnets", {})  # network id -> [subnet, host, router]
        # In external networks: network id -> "STACK/CONTAINER", or "STACK/" for its resolver -> address
        self.addresses: dict[str, dict[str, str]] = content.get("addresses", {})
        self.volumes: dict[str, list[str]] = content.get("volumes", {})  # volume -> each "STACK/CONTAINER" with it
        # Of host ports, held by no socket: "STACK/CONTAINER" -> each [host address, first, last, protocol]
        self.ports: dict[str, list[list[Any]]] = content.get("ports", {})
        self._taken: set[int] = set()  # ranges of all holders and of others, once somebody asked for a new one

    def range_of(self, key: str, before: int | None = None) -> int:
        """The first host id of the range of 65536 that belongs to this container.

        `before`: the one that it had, should the leases be lost. Raises OrchestraError where no range is free.
        """
        if key not in self.ranges and before is not None and before // RANGE not in self.ranges.values():
            self.ranges[key] = before // RANGE
        if key not in self.ranges:
            if not self._taken:
                self._taken = ranges.of_others()
            self._taken.update(self.ranges.values())
            self.ranges[key] = ranges.choose(self._home, self._taken)
        return self.ranges[key] * RANGE

    def release(self, keys: Sequence[str]) -> None:
        self._taken.clear()
        for key in keys:
            self.ranges.pop(key, None)
            self.subnets.pop(key, None)

    def use_volumes(self, stack: str, used: Mapping[str, Iterable[str]]) -> None:
        """Exactly these are used by a stack: volume -> its containers."""
        for name in {*used, *self.volumes}:
            others = [each for each in self.volumes.get(name, ()) if not each.startswith(f"{stack}/")]
            mine = [f"{stack}/{container}" for container in used.get(name, ())]
            self._put(self.volumes, name, sorted(others + mine))

    def hold_ports(self, stack: str, ranges: Mapping[str, Iterable[Sequence[Any]]]) -> None:
        """Exactly these are held by a stack: container -> ranges of host ports."""
        mine = {f"{stack}/{container}": sorted(map(list, its)) for container, its in ranges.items()}
        for holder in {*mine, *(each for each in self.ports if each.startswith(f"{stack}/"))}:
            self._put(self.ports, holder, mine.get(holder))

    def let_go(self, holder: str, network: str | None = None) -> None:
        """What a holder ("STACK/CONTAINER") had of volumes, ports and external networks, or of that network only."""
        for ident, held in list(self.addresses.items()):
            if network in (None, ident):
                self._put(self.addresses, ident, {each: address for each, address in held.items() if each != holder})
        if network is None:
            self.ports.pop(holder, None)
            for name, holders in list(self.volumes.items()):
                self._put(self.volumes, name, [each for each in holders if each != holder])

    @staticmethod
    def _put(entries: dict[str, Any], key: str, value: Any) -> None:
        if value:
            entries[key] = value
        else:
            entries.pop(key, None)

    def content(self) -> dict[str, Any]:
        return {
            "ranges": self.ranges,
            "subnets": self.subnets,
            "addresses": self.addresses,
            "volumes": self.volumes,
            "ports": self.ports,
        }


def _content(raw: Any) -> dict[str, Any]:
    for key, shape in _SHAPES.items():
        fitting(raw.get(key, {}), {str: shape})
    for its in raw.get("ports", {}).values():
        for address, first, last, protocol in its:
            fitting([address, protocol], [str])
            fitting([first, last], [int])
    return dict(raw)


_SHAPES: Mapping[str, Any] = {
    "ranges": int,
    "subnets": [str],
    "addresses": {str: str},
    "volumes": [str],
    "ports": [list],
}


@contextmanager
def leases(path: str) -> Iterator[Leases]:
    ensure_folder(os.path.dirname(path))
    lock = locked(f"{path}.lock")
    try:
        before = read_json(path, _content) or {}
        held = Leases(copy.deepcopy(before), os.path.dirname(path))
        yield held
        if held.content() != before:
            write_json(path, held.content())
    finally:
        os.close(lock)
