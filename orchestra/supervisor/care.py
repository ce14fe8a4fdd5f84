"""Looks every few seconds whether somebody took away what belongs to the stack, and has it made again."""

from __future__ import annotations

import os

import anyio
import anyio.to_thread

from ..errors import OrchestraError, is_exhausted
from ..network.inside import is_pinned
from ..network.routers import alive
from ..network.shaping import all_shaped, ensure_shapes
from ..plan.facts import Seen
from ..plan.wiring import Plug, Router
from ..runtime import cgroups
from . import limiting
from .borrowing import Borrowing
from .perform import Performer
from .wiring import own_net_pin, plugs_of
from .world import World

PAUSE = 5.0


class Care:
    def __init__(self, world: World, performer: Performer, borrowing: Borrowing) -> None:
        self._world = world
        self._performer = performer
        self._borrowing = borrowing

    async def run(self) -> None:
        while True:
            await anyio.sleep(PAUSE)
            await self._sandboxes()
            await self._borrowing.check()
            for key in list(self._world.networks):
                await self._network(key)
            await self._rates()
            await self._cgroups()
            await count_kills(self._world)

    async def _network(self, key: str) -> None:
        world = self._world
        router = world.page.routers.get(key)
        if router is None or not self._is_up(key, router):
            return
        if not is_pinned(router.pin) or not self._is_joined(key, router):
            # Its namespace is gone, and everything in it: to be made anew.
            world.journal.tell("notice", f"network {router.label} was taken away and is made again")
            del world.networks[key]
            world.ring()
        # What is damaged may be just on its way out.
        elif not await anyio.to_thread.run_sync(alive, router) and self._is_up(key, router):
            world.journal.tell("notice", f"network {router.label} was damaged and is made whole again")
            world.busy_networks.add(key)  # nobody takes it away meanwhile
            try:
                await self._performer.heal(key)
            finally:
                world.busy_networks.discard(key)
                world.ring()

    def _is_up(self, key: str, router: Router) -> bool:
        """As it was, with no step under way."""
        world = self._world
        return key in world.networks and key not in world.busy_networks and world.page.routers.get(key) == router

    def _is_joined(self, key: str, router: Router) -> bool:
        """Another stack may have found an external network gone first, and have made it anew without our plugs."""
        return not router.external or self._world.joined.get(key) == os.stat(router.pin).st_ino

    async def _sandboxes(self) -> None:
        """A pin that is gone: the next run, and whoever wants to look inside, could not find the namespaces."""
        world = self._world
        for name in list(world.seen):
            seen = self._at_rest(name)
            if seen is None or await anyio.to_thread.run_sync(self._is_whole, name, seen):
                continue
            if self._at_rest(name) is None:  # its pins were just taken away together with it
                continue
            world.journal.tell("notice", f"the namespaces of {name} were taken away", seen.service.name, name)
            world.note(name, busy=True)
            try:
                await self._performer.renew(name)
            except (OrchestraError, OSError) as error:
                world.journal.tell("notice", f"{name}: {error}", seen.service.name, name)
            self._release(name)

    def _release(self, name: str) -> None:
        if name in self._world.seen:
            self._world.note(name, busy=False)
        self._world.ring()

    def _at_rest(self, name: str) -> Seen | None:
        """A container that has been made and has no step under way."""
        seen = self._world.seen.get(name)
        return seen if seen is not None and seen.made and not seen.busy else None

    async def _rates(self) -> None:
        """Buckets that somebody took off a link."""
        for name in list(self._world.seen):
            if plugs := self._limited(name):
                try:
                    if await anyio.to_thread.run_sync(all_shaped, plugs):
                        continue
                    # A limit that was changed while it was looked at is the step's to hold, or to lift.
                    if self._limited(name) == plugs:
                        await self._hold(name, plugs)
                except (OrchestraError, OSError) as error:  # a namespace is gone: that is seen, and told, above
                    if is_exhausted(error):
                        raise
                    self._world.journal.tell("notice", f"the bandwidth of {name} is not limited: {error}", "", name)

    def _limited(self, name: str) -> list[Plug]:
        """The plugs of a container that is held to a rate and has no step under way; none of any other."""
        seen = self._at_rest(name)
        if seen is None:
            return []
        if seen.service.limits.ingress is None and seen.service.limits.egress is None:
            return []
        return [plug for _, plug in plugs_of(self._world, name, seen.service)]

    async def _hold(self, name: str, plugs: list[Plug]) -> None:
        world = self._world
        world.note(name, busy=True)  # nobody gives it other limits meanwhile
        try:
            await anyio.to_thread.run_sync(ensure_shapes, plugs)
            world.journal.tell("notice", f"the bandwidth of {name} was not limited and is again", "", name)
        finally:
            self._release(name)

    async def _cgroups(self) -> None:
        """Somebody removed them, or moved processes out of them."""
        world = self._world
        alive = {
            name: (world.pids[name], seen.service)
            for name, seen in world.seen.items()
            if seen.alive and not seen.busy and name in world.pids
        }
        for name in await anyio.to_thread.run_sync(limiting.escaped, world, alive):
            seen = world.seen.get(name)
            if seen is None or seen.busy or world.pids.get(name) != alive[name][0]:
                continue
            world.note(name, busy=True)  # nobody takes it away or starts it again meanwhile
            try:
                await anyio.to_thread.run_sync(limiting.bring_back, world, name, *alive[name])
                world.note(name, paused=cgroups.driver().frozen(world.places.cgroup(name)))
                text = f"{name} was moved out of its cgroups and is in them again, limits and all"
                world.tell_of(name, "notice", text)
            except (OrchestraError, OSError) as error:
                world.tell_of(name, "notice", f"{name} is not in its cgroups, where its limits are: {error}")
            finally:
                self._release(name)

    def _is_whole(self, name: str, seen: Seen) -> bool:
        net = own_net_pin(self._world, name, seen.service)
        return is_pinned(self._world.places.user_pin(name)) and (not net or is_pinned(net))


async def count_kills(world: World) -> None:
    """Processes that were killed for want of memory while their container goes on."""
    driver = cgroups.driver()
    alive = {name: seen.run for name, seen in world.seen.items() if seen.alive and seen.run is not None}
    counts = await anyio.to_thread.run_sync(
        lambda: {name: driver.oom_kills(world.places.cgroup(name)) for name in alive}
    )
    for name, run in alive.items():
        world.killed_by_kernel(name, run, counts[name])
