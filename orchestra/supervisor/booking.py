"""Changing what is wanted: check that it fits, hold what it needs, write it down, only then let the loop see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread

from ..errors import OrchestraError
from ..plan.facts import Wanted
from ..stack.model import FileSource, Stack
from ..values import replace
from .admission import admit
from .book import Page
from .ports import HeldPorts
from .world import World

T = TypeVar("T")


class Booking:
    """`turn` is held by whoever works out a change from what is wanted now, until it is written."""

    def __init__(self, world: World, held: HeldPorts) -> None:
        self._world = world
        self._held = held
        self.turn = anyio.Lock()

    async def admit(
        self,
        wanted: Wanted,
        stack: Stack | None = None,
        files: Mapping[str, FileSource] | None = None,
        page: Page | None = None,
    ) -> None:
        """Raises OrchestraError for what does not fit or cannot be written; nothing has changed then. `page`: what
        is held already, if that is not all that the book says."""
        world = self._world
        page = page or world.page
        more = files or {}
        with self._writing():
            admitted = await anyio.to_thread.run_sync(admit, world.places, page, wanted, more, self._held)
        world.look_for_volumes(volume.name for volume in wanted.volumes.values())
        await self.put_down(
            stack=stack or world.page.stack,
            wanted=wanted,
            files={**world.page.files, **more},
            routers=admitted.routers,
            addresses=admitted.addresses,
            ports=admitted.ports,
            bases=admitted.bases,
        )

    async def choose_anew(self, key: str) -> None:
        """Another subnet, and other addresses, for a network that nobody is in yet. Raises OrchestraError."""
        world = self._world
        async with self.turn:
            page = world.page
            world.change(guests=_without(key, page.guests))
            await self.admit(
                world.wanted,
                page=replace(page, routers=_without(key, page.routers), addresses=_without(key, page.addresses)),
            )

    async def put_down(self, **parts: object) -> None:
        """First on disk, then for the loop to see. Raises OrchestraError where it cannot be written."""
        world = self._world
        await self._save(**parts)
        world.change(**parts)
        world.ring()

    async def at_once(self, wanted: Wanted) -> None:
        """For the loop to see, then on disk: for what the loop would decide again if it were forgotten."""
        self._world.change(wanted=wanted)
        await self._save()

    async def _save(self, **parts: object) -> None:
        with self._writing():
            await anyio.to_thread.run_sync(partial(self._world.save, **parts))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """What the system refuses meanwhile is said in words."""
        try:
            yield
        except OSError as error:
            raise OrchestraError(
                f"cannot write to {self._world.places.data}: {error.strerror}", "make room there"
            ) from None


def _without(key: str, held: Mapping[str, T]) -> dict[str, T]:
    return {other: kept for other, kept in held.items() if other != key}
