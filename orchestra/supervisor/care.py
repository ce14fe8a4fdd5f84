"""Looks every few seconds whether somebody took away what belongs to the stack, and has it made again."""

from __future__ import annotations

import anyio
import anyio.to_thread

from ..network.inside import is_pinned
from ..network.routers import alive
from .perform import Performer
from .world import World

PAUSE = 5.0


class Care:
    def __init__(self, world: World, performer: Performer) -> None:
        self._world = world
        self._performer = performer

    async def run(self) -> None:
        while True:
            await anyio.sleep(PAUSE)
            for key in list(self._world.networks):
                router = self._world.page.routers.get(key)
                if router is None or key in self._world.busy_networks:
                    continue
                if not is_pinned(router.pin):
                    # Its namespace is gone, and everything in it: to be made anew.
                    self._world.journal.tell("notice", f"network {router.label} was taken away and is made again")
                    del self._world.networks[key]
                    self._world.ring()
                elif not await anyio.to_thread.run_sync(alive, router):
                    self._world.journal.tell("notice", f"network {router.label} was damaged and is made whole again")
                    await self._performer.heal(key)
