"""Rows that have changed, for whoever waits on the command line: as often as a screen can use them."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from ..wire.api import Row
from .api import Caller
from .world import World

TELLING_PAUSE = 0.1
"""Seconds between two answers with rows: as often as progress is drawn, and all rows are looked at for each."""


class Teller:
    """Sends the rows that have changed since it last did."""

    def __init__(
        self,
        world: World,
        caller: Caller,
        number: int,
        only: Collection[str] | None = None,
        services: Collection[str] = (),
    ) -> None:
        """`only`: rows of these containers, and of those of `services` that other stacks own."""
        self._world = world
        self._caller = caller
        self._number = number
        self._only = None if only is None else set(only)
        self._services = services
        self._told: dict[str, Row] = {}
        self._next = 0.0  # when it may tell again
        self._late = False  # something may be untold
        self._looked = world.pulses

    def watch(self, names: Collection[str]) -> None:
        """Tell about these as well."""
        if self._only is not None:
            self._only.update(names)

    async def wait(self) -> None:
        """For a change, or until what is untold may be told; what changed while it told is untold.

        Whoever does not `tell_in_time` before it waits again comes back at once.
        """
        if self._late or self._looked != self._world.pulses:
            await self._world.changed(max(0.0, self._next - time.monotonic()))
        else:
            await self._world.changed()
        self._late = True

    async def tell_in_time(self) -> None:
        """Tell, unless it has just told: `wait` comes back to it."""
        if time.monotonic() >= self._next:
            await self.tell()

    def _is_asked_for(self, row: Row) -> bool:
        if self._only is None or row["name"] in self._only:
            return True
        return "owner" in row and row["service"] in self._services

    async def tell(self) -> None:
        self._next = time.monotonic() + TELLING_PAUSE
        self._late = False
        self._looked = self._world.pulses
        now = {row["name"]: row for row in self._world.rows() if self._is_asked_for(row)}
        fresh = [row for name, row in now.items() if _gist(self._told.get(name)) != _gist(row)]
        gone: list[Row] = [{**row, "gone": True} for name, row in self._told.items() if name not in now]
        self._told = now
        if fresh or gone:
            await self._caller.send({"re": self._number, "rows": [*fresh, *gone], "settled": self._world.settled})


def _gist(row: Row | None) -> Any:
    """A row without what changes by the mere passing of time."""
    if row is None:
        return None
    return {key: value for key, value in row.items() if key not in ("created", "started", "ended", "health_since")}
