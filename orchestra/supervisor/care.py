"""Looks every few seconds whether somebody took away what belongs to the stack, and has it made again."""

from __future__ import annotations

import anyio
import anyio.to_thread

from ..errors import OrchestraError
from ..network.inside import is_pinned
from ..network.routers import alive
from ..plan.facts import Seen
from .perform import Performer
from .wiring import own_net_pin
from .world import World

PAUSE = 5.0


class Care:
    def __init__(self, world: World, performer: Performer) -> None:
        self._world = world
        self._performer = performer

    async def run(self) -> None:
        while True:
            await anyio.sleep(PAUSE)
            await self._sandboxes()
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

    async def _sandboxes(self) -> None:
        """A pin that is gone: the next run, and whoever wants to look inside, could not find the namespaces."""
        world = self._world
        for name, seen in list(world.seen.items()):
            if not seen.made or seen.busy or await anyio.to_thread.run_sync(self._is_whole, name, seen):
                continue
            world.journal.tell("notice", f"the namespaces of {name} were taken away", seen.service.name, name)
            world.note(name, busy=True)
            try:
                await self._performer.renew(name)
            except (OrchestraError, OSError) as error:
                world.journal.tell("trouble", f"{name}: {error}", seen.service.name, name)
            if name in world.seen:
                world.note(name, busy=False)
            world.ring()

    def _is_whole(self, name: str, seen: Seen) -> bool:
        net = own_net_pin(self._world, name, seen.service)
        return is_pinned(self._world.places.user_pin(name)) and (not net or is_pinned(net))
