"""What clients may ask for. A request changes what is wanted, rings the bell and, if asked, waits until it is so."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from ..errors import OrchestraError
from ..plan import apply
from ..plan.facts import Wanted
from ..plan.goal import Goal, unmet
from ..plan.rehearse import rehearse
from ..plan.signals import number_of, signal_name
from ..stack.model import FileSource, Stack
from ..wire.api import Row
from ..wire.codec import decode
from ..wire.frames import Message
from .admission import admit
from .api import Caller, Handler
from .link import Link
from .oneoff import OneOffs
from .perform import Performer
from .ports import HeldPorts
from .world import World

Reply = dict[str, Any]
TELLING_PAUSE = 0.03
"""Seconds between two answers with rows: faster than anybody reads, and all rows are looked at for each."""


class Requests:
    def __init__(
        self,
        world: World,
        link: Link,
        held: HeldPorts,
        oneoffs: OneOffs,
        performer: Performer,
        keeper: Callable[[], int],
    ) -> None:
        self._world = world
        self._link = link
        self._held = held
        self._oneoffs = oneoffs
        self._performer = performer
        self._keeper = keeper
        self._admitting = anyio.Lock()
        self.touched = False  # somebody has asked for something

    def handlers(self) -> dict[str, Handler]:
        return {
            "status": self.status,
            "watch": self.watch,
            "apply": self.apply,
            "plan": self.plan,
            "stop": self.stop,
            "start": self.start,
            "restart": self.restart,
            "kill": self.kill,
            "down": self.down,
            "rm": self.rm,
            "events": self.events,
            "signal": self.signal,
            "exec": self._oneoffs.execute,
            "run": self.run,
        }

    # Looking

    async def status(self, _: Message, __: list[int], ___: Caller) -> Reply:
        page = self._world.page
        return {
            "stack": self._world.places.name,
            "directory": page.stack.directory,
            "files": list(page.stack.files),
            "supervisor": os.getpid(),
            "keeper": self._keeper(),
            "rows": self._world.rows(),
            "networks": {key: page.routers[key].subnet for key in self._world.networks},
            "notices": list(self._world.notices),
        }

    async def watch(self, message: Message, _: list[int], caller: Caller) -> Reply:
        teller = _Teller(self._world, caller, message["id"])
        while True:
            await teller.tell_in_time()
            await teller.wait()

    async def events(self, message: Message, _: list[int], caller: Caller) -> Reply:
        fresh_in, fresh_out = anyio.create_memory_object_stream[Any](1000)
        end = message.get("until")
        services = message.get("services")

        def offer(event: Any) -> None:
            try:
                fresh_in.send_nowait(event)
            except anyio.WouldBlock:
                fresh_in.close()  # it does not read: let it go rather than lose events in the middle

        stop = self._world.journal.listen(offer)
        try:
            for event in self._world.journal.since(message.get("since")):
                if _asked_for(event, services, end):
                    await caller.send({"re": message["id"], "event": event})
            if message.get("follow"):
                async for event in fresh_out:
                    if _asked_for(event, services, end):
                        await caller.send({"re": message["id"], "event": event})
        finally:
            stop()
            fresh_in.close()
            fresh_out.close()
        return {}

    async def plan(self, message: Message, _: list[int], __: Caller) -> Reply:
        stack = decode(Stack, message["stack"])
        wanted = apply.applied(
            self._world.wanted, self._world.seen, stack, None, message["recreate"], False, False, False
        )
        return {"lines": rehearse(wanted, self._world.facts())}

    # Changing

    async def apply(self, message: Message, _: list[int], caller: Caller) -> Reply:
        stack = decode(Stack, message["stack"])
        world = self._world
        async with self._admitting:
            self.touched = True
            files = {
                **{f"secret/{key}": source for key, source in stack.secrets.items()},
                **{f"config/{key}": source for key, source in stack.configs.items()},
            }
            wanted = apply.applied(
                world.wanted,
                world.seen,
                stack,
                message["services"],
                message["recreate"],
                message["no_deps"],
                message["no_start"],
                message["remove_orphans"],
                message["timeout"],
            )
            for orphan in apply.orphans(wanted, stack):
                notice = f"{orphan} belongs to no service of the stack file any more (--remove-orphans removes it)"
                world.journal.tell("notice", notice)
            await self._admit(wanted, stack, files)
        chosen = message["services"]
        names = apply.names_of(wanted, world.seen, chosen)
        await self._until(message, caller, names, message["until"])
        return {}

    async def _admit(self, wanted: Wanted, stack: Stack, files: dict[str, FileSource]) -> None:
        """Check that it fits, hold what it needs, write it down, and only then let the loop see it."""
        world = self._world
        admitted = await anyio.to_thread.run_sync(admit, world.places, world.page, wanted, files, self._held)
        world.look_for_volumes(volume.name for volume in wanted.volumes.values())
        await self._put_down(
            stack=stack,
            wanted=wanted,
            files={**world.page.files, **files},
            routers=admitted.routers,
            addresses=admitted.addresses,
            ports=admitted.ports,
            bases=admitted.bases,
        )

    async def stop(self, message: Message, _: list[int], caller: Caller) -> Reply:
        names = self._names(message)
        self._want(apply.changed(self._world.wanted, names, stopped=True, grace=message.get("timeout")))
        await self._until(message, caller, names, "stopped")
        return {}

    async def start(self, message: Message, _: list[int], caller: Caller) -> Reply:
        names = self._names(message)
        self._want(apply.started(self._world.wanted, self._world.seen, names))
        await self._until(message, caller, names, message.get("until", "running"))
        return {}

    async def restart(self, message: Message, _: list[int], caller: Caller) -> Reply:
        names = self._names(message)
        grace, no_deps = message.get("timeout"), bool(message.get("no_deps"))
        self._want(apply.restarted(self._world.wanted, self._world.seen, names, grace, no_deps))
        await self._until(message, caller, names, message.get("until", "running"))
        return {}

    async def kill(self, message: Message, _: list[int], __: Caller) -> Reply:
        number = number_of(message["signal"])
        alive = [name for name in self._names(message) if self._world.seen[name].alive]
        for name in alive:
            await self._send(name, number)
        return {"killed": alive}

    async def signal(self, message: Message, _: list[int], __: Caller) -> Reply:
        await self._send(message["name"], number_of(message["signal"]))
        return {}

    async def _send(self, name: str, number: int) -> None:
        seen = self._world.seen.get(name)
        if seen is None or not seen.alive:
            raise OrchestraError(f"{name} does not run")
        if number in (9, number_of(seen.service.stop_signal)):
            # As with docker: who is killed by hand is not brought back by its restart policy.
            self._want(apply.changed(self._world.wanted, [name], stopped=True))
            self._world.note(name, asked_to_stop=time.monotonic())
        await self._link.request({"do": "signal", "name": name, "signal": number, "everyone": False})
        self._world.journal.tell("kill", f"{name} was sent {signal_name(number)} by hand", seen.service.name, name)

    async def down(self, message: Message, _: list[int], caller: Caller) -> Reply:
        world = self._world
        services = message.get("services")
        grace = message.get("timeout")
        async with self._admitting:
            if services:
                names = apply.names_of(world.wanted, world.seen, services)
                wanted = apply.without(world.wanted, names, grace)
            else:
                names = [*world.wanted.targets, *world.seen]
                wanted = apply.nothing(world.wanted, message["volumes"], grace)
                world.look_for_volumes(wanted.discard_volumes)
            await self._put_down(wanted=wanted)
        await self._until(message, caller, names, "gone")
        if not services:
            await self._until_empty()
            world.leave()
        return {}

    async def _until_empty(self) -> None:
        world = self._world
        while world.seen or world.networks or world.busy_networks or world.wanted.discard_volumes & world.volumes:
            await world.changed()

    async def rm(self, message: Message, _: list[int], caller: Caller) -> Reply:
        names = self._names(message)
        if message.get("stop"):
            self._want(apply.changed(self._world.wanted, names, stopped=True))
            await self._until(message, caller, names, "stopped")
        idle = [name for name in names if not (name in self._world.seen and self._world.seen[name].alive)]
        self._want(apply.without(self._world.wanted, idle, None))
        await self._until(message, caller, idle, "gone")
        return {"removed": idle}

    async def run(self, message: Message, descriptors: list[int], caller: Caller) -> Reply:
        async with self._admitting:
            self.touched = True
            name, wanted, stack = self._oneoffs.plan(message, decode(Stack, message["stack"]))
            files = dict(self._world.page.files)
            files.update({f"secret/{key}": source for key, source in stack.secrets.items()})
            files.update({f"config/{key}": source for key, source in stack.configs.items()})
            self._performer.expect(name, descriptors)
            await self._admit(wanted, stack, files)
        return await self._oneoffs.run(name, message, caller)

    # Helping

    def _names(self, message: Message) -> list[str]:
        self.touched = True
        return apply.names_of(self._world.wanted, self._world.seen, message.get("services"))

    async def _put_down(self, **parts: object) -> None:
        """First on disk, then for the loop to see. Raises OrchestraError where it cannot be written."""
        world = self._world
        try:
            await anyio.to_thread.run_sync(partial(world.save, **parts))
        except OSError as error:
            raise OrchestraError(
                f"cannot write to {world.places.data}: {error.strerror}", "make room there"
            ) from None
        world.change(**parts)
        world.ring()

    def _want(self, wanted: Wanted) -> None:
        self._world.change(wanted=wanted)
        self._world.ring()

    async def _until(self, message: Message, caller: Caller, names: Collection[str], goal: Goal) -> None:
        """Answer with the rows that change until the goal is reached. Raises OrchestraError when it cannot be."""
        world = self._world
        teller = _Teller(world, caller, message["id"], frozenset(names))
        while goal != "accepted":
            await teller.wait()
            try:
                reached = not unmet(goal, names, world.wanted, world.facts(), world.plan, time.monotonic())
            except OrchestraError:
                await teller.tell()
                raise
            if reached:
                await teller.tell()
                return
            await teller.tell_in_time()


class _Teller:
    """Sends the rows that have changed since it last did."""

    def __init__(self, world: World, caller: Caller, number: int, only: frozenset[str] | None = None) -> None:
        self._world = world
        self._caller = caller
        self._number = number
        self._only = only
        self._told: dict[str, Row] = {}
        self._next = 0.0  # when it may tell again
        self._late = False  # something may be untold

    async def wait(self) -> None:
        """For a change, or until what is untold may be told."""
        if self._late:
            await self._world.changed(max(0.0, self._next - time.monotonic()))
        else:
            await self._world.changed()
        self._late = True

    async def tell_in_time(self) -> None:
        """Tell, unless it has just told: `wait` comes back to it."""
        if time.monotonic() >= self._next:
            await self.tell()

    async def tell(self) -> None:
        self._next = time.monotonic() + TELLING_PAUSE
        self._late = False
        now = {row["name"]: row for row in self._world.rows() if self._only is None or row["name"] in self._only}
        fresh = [row for name, row in now.items() if _gist(self._told.get(name)) != _gist(row)]
        gone: list[Row] = [{**row, "gone": True} for name, row in self._told.items() if name not in now]
        self._told = now
        if fresh or gone:
            await self._caller.send({"re": self._number, "rows": [*fresh, *gone], "settled": self._world.settled})


def _gist(row: Row | None) -> Any:
    """A row without what changes by the mere passing of time."""
    if row is None:
        return None
    return {key: value for key, value in row.items() if key not in ("created", "started", "ended")}


def _asked_for(event: Any, services: list[str] | None, end: float | None) -> bool:
    return (not services or event["service"] in services) and (end is None or event["time"] <= end)
