"""Requests about what runs, as it runs: other limits, freezing and going on."""

from __future__ import annotations

import errno
import os
from typing import Any

import anyio
import anyio.to_thread

from ..errors import OrchestraError
from ..plan import apply
from ..plan.facts import Wanted
from ..plan.update import updated
from ..runtime import cgroups
from ..stack.model import Restart
from ..values import replace
from ..wire.codec import decode
from ..wire.frames import Message
from .api import Caller, Handler
from .booking import Booking
from .world import World

Reply = dict[str, Any]


class Control:
    def __init__(self, world: World, booking: Booking) -> None:
        self._world = world
        self._booking = booking
        self._updating = anyio.Lock()

    def handlers(self) -> dict[str, Handler]:
        return {"update": self.update, "pause": self.pause, "unpause": self.unpause}

    async def update(self, message: Message, _: list[int], caller: Caller) -> Reply:
        """Written down first, then made true by the loop; what the kernel refuses is taken back."""
        world = self._world
        names = apply.names_of(world.wanted, world.seen, message["services"], message["do"])
        restart = decode(Restart, message["restart"]) if message.get("restart") else None
        async with self._updating:
            for name in names:
                if name in world.seen and world.seen[name].made:
                    world.note(name, trouble="", troubles=0)  # what comes now is about this
            async with self._booking.turn:
                before = world.wanted
                after = updated(before, names, message["limits"], restart)
                await self._booking.put_down(wanted=after)
            await caller.send({"re": message["id"], "accepted": True})
            while late := [name for name in names if self._is_late(name)]:
                for name in late:
                    if world.seen[name].trouble and not world.seen[name].busy:
                        await self._take_back(before, after, names, name)
                await world.changed()
        return {"updated": names}

    def _is_late(self, name: str) -> bool:
        seen, target = self._world.seen.get(name), self._world.wanted.targets.get(name)
        return bool(seen and target and seen.made and seen.service.limits != target.service.limits)

    async def _take_back(self, before: Wanted, after: Wanted, names: list[str], name: str) -> None:
        """Everybody's limits as they were, not only those of the one that could not be changed; but what others have
        changed since stays."""
        world = self._world
        trouble = world.seen[name].trouble
        world.note(name, trouble="", troubles=0)
        async with self._booking.turn:
            targets = dict(world.wanted.targets)
            for other in set(names) & targets.keys() & before.targets.keys():
                if targets[other].service == after.targets[other].service:
                    targets[other] = replace(targets[other], service=before.targets[other].service)
            await self._booking.put_down(wanted=replace(world.wanted, targets=targets))
        raise OrchestraError(f"cannot update {name}: {trouble}", "nothing was changed")

    async def pause(self, message: Message, _: list[int], __: Caller) -> Reply:
        return {"changed": await self._freeze(message.get("services"), frozen=True)}

    async def unpause(self, message: Message, _: list[int], __: Caller) -> Reply:
        return {"changed": await self._freeze(message.get("services"), frozen=False)}

    async def _freeze(self, services: list[str] | None, frozen: bool) -> list[str]:
        world, driver = self._world, cgroups.driver()
        changed = []
        verb, act = ("pause", driver.freeze) if frozen else ("unpause", driver.thaw)
        names = apply.names_of(world.wanted, world.seen, services, verb)
        alive = {seen.service.name for name in names if (seen := world.seen.get(name)) and seen.alive}
        if lifeless := sorted(set(services or ()) - alive):
            raise OrchestraError(f"cannot {verb} {', '.join(lifeless)}: not running", "orchestra ps -a tells more")
        for name in names:
            seen = world.seen.get(name)
            if seen is None or not seen.alive or seen.paused == frozen:
                continue
            try:
                await anyio.to_thread.run_sync(act, world.places.cgroup(name))
            except OSError as error:
                why = error.strerror if error.errno != errno.ENOENT else os.strerror(errno.ESRCH)
                raise OrchestraError(f"cannot {verb} {name}: {why}") from None
            world.note(name, paused=frozen)
            world.tell_of(name, verb, f"{name} is {verb}d by hand", health=seen.health)
            changed.append(name)
        world.ring()
        return changed
