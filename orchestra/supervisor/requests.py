"""What clients may ask for. A request changes what is wanted, rings the bell and, if asked, waits until it is so."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from typing import Any

import anyio.to_thread

from ..errors import OrchestraError
from ..plan import apply, replacing, sharing
from ..plan.facts import Seen, Target, Wanted
from ..plan.goal import Goal, refuse_overtaken, unmet
from ..plan.guests import use_rows
from ..plan.rehearse import rehearse
from ..plan.rows import network_row
from ..plan.signals import number_of, signal_name
from ..stack.finding import is_same_project
from ..stack.model import Stack
from ..stack.scaling import scaled
from ..state.volumes import refuse_if_used
from ..values import replace
from ..wire.codec import decode, encode
from ..wire.frames import Message
from ..wire.terminal import line
from .api import Caller, Handler
from .booking import Booking
from .borrowing import Borrowing
from .contents import with_files
from .departure import Departure
from .lending import Lending
from .link import Link
from .oneoff import OneOffs
from .perform import Performer
from .teller import Teller
from .wishes import Wishes, words
from .world import World

Reply = dict[str, Any]


class Requests:
    def __init__(
        self,
        world: World,
        link: Link,
        booking: Booking,
        oneoffs: OneOffs,
        performer: Performer,
        keeper: Callable[[], int],
        borrowing: Borrowing,
        lending: Lending,
        departure: Departure,
    ) -> None:
        self._world = world
        self._link = link
        self._booking = booking
        self._oneoffs = oneoffs
        self._performer = performer
        self._keeper = keeper
        self._borrowing = borrowing
        self._lending = lending
        self._departure = departure
        self._wishes = Wishes()
        self.touched = False  # somebody has asked for something

    def handlers(self) -> dict[str, Handler]:
        return {
            "status": self.status,
            "origin": self.origin,
            "stack": self.stack,
            "watch": self.watch,
            "apply": self.apply,
            "plan": self.plan,
            "stop": self.stop,
            "start": self.start,
            "restart": self.restart,
            "kill": self.kill,
            "down": self.down,
            "follow": self.follow,
            "rm": self.rm,
            "signal": self.signal,
            "exec": self._oneoffs.execute,
            "copy": self._oneoffs.copy,
            "attach": self._oneoffs.attach,
            "run": self.run,
            "owner": self.owner,
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
            "own_networks": [
                network_row(page.routers[key], one) for key, one in self._world.networks.items() if not one.external
            ],
            "notices": list(self._world.notices),
            "uses": use_rows(self._world.wanted, self._world.facts()),
            "used_by": self._lending.users(),
            "lent": sharing.lent(self._world.wanted),
        }

    async def origin(self, _: Message, __: list[int], ___: Caller) -> Reply:
        page, wanted = self._world.page, self._world.wanted
        everyone: list[Target | Seen] = [*wanted.targets.values(), *self._world.seen.values()]
        return {
            "stack": self._world.places.name,
            "directory": page.stack.directory,
            "files": list(page.stack.files),
            "own": sorted({*page.stack.services, *page.stack.disabled}),
            "services": sorted({one.service.name for one in everyone if not one.oneoff}),
        }

    async def owner(self, message: Message, _: list[int], __: Caller) -> Reply:
        name, world = message["service"], self._world
        if use := world.wanted.uses.get(name):
            return {"owner": use.stack, "service": use.service}
        lease = next((lease for lease, shared in world.shared.items() if name in shared.guests), "")
        return {"owner": lease.partition("/")[0], "service": name}

    async def stack(self, _: Message, __: list[int], ___: Caller) -> Reply:
        stack = self._world.page.stack
        secrets = {key: replace(source, content=None) for key, source in stack.secrets.items()}
        return {"stack": encode(replace(stack, secrets=secrets, owners={}, alerts=None))}

    async def watch(self, message: Message, _: list[int], caller: Caller) -> Reply:
        teller = Teller(self._world, caller, message["id"])
        while True:
            await teller.tell_in_time()
            await teller.wait()

    async def plan(self, message: Message, _: list[int], __: Caller) -> Reply:
        stack = await with_files(_stack(message["stack"]))
        wanted = apply.applied(
            self._world.wanted, self._world.seen, stack, None, message["recreate"], False, False, False
        )
        shared = await self._borrowing.peek(wanted.uses)
        return {"lines": rehearse(wanted, replace(self._world.facts(), shared=shared), stack.name)}

    # Changing

    async def apply(self, message: Message, _: list[int], caller: Caller) -> Reply:
        world = self._world
        lent = bool(message.get("lent"))
        if lent and sharing.runs_anyhow(world.wanted, message["services"]):
            return {}
        given = None if message["stack"] is None else await with_files(_stack(message["stack"]))
        if lent and given is not None:
            self._refuse_another(given)
        async with self._booking.turn:
            self.touched = True
            stack = scaled(given or world.page.stack, message.get("scales") or {})
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
                lent,
            )
            self._tell_asked("up", message)
            for notice in replacing.in_place(stack, world.wanted, wanted, world.seen):
                world.journal.tell("notice", notice)
            for orphan in apply.orphans(wanted, stack):
                notice = f"{orphan} belongs to no service of the stack file any more (--remove-orphans removes it)"
                world.journal.tell("notice", notice)
            before = world.wanted
            await self._booking.admit(wanted, stack, files)
            self._wishes.tell(before, wanted, words("up", message))
            self._borrowing.ask_again()
        chosen = message["services"]
        names = apply.concerned(before, wanted, world.seen, stack, chosen)
        touched = {wanted.targets[name].service.name for name in names if name in wanted.targets}
        touched |= {name for name in wanted.uses if chosen is None or name in chosen}
        await self._until(message, caller, names, message["until"], touched)
        if failures := replacing.failures(world.wanted, touched):
            what = "\n".join(map(line, failures))
            raise OrchestraError(what, "what there was before serves on; orchestra events tells more")
        return {}

    async def stop(self, message: Message, _: list[int], caller: Caller) -> Reply:
        names = self._names(message)
        if not message.get("force"):
            await self._lending.refuse_if_used(message.get("services"), "stop")
        self._tell_asked("stop", message)
        grace = message.get("timeout")
        await self._want(message, lambda: apply.changed(self._world.wanted, names, stopped=True, grace=grace))
        await self._until(message, caller, names, "stopped")
        return {}

    async def start(self, message: Message, _: list[int], caller: Caller) -> Reply:
        names = self._names(message)
        self._tell_asked("start", message)
        self._borrowing.ask_again()
        await self._want(message, lambda: apply.started(self._world.wanted, self._world.seen, names))
        await self._until(message, caller, names, message.get("until", "running"))
        return {}

    async def restart(self, message: Message, _: list[int], caller: Caller) -> Reply:
        names = self._names(message)
        self._tell_asked("restart", message)
        grace, no_deps = message.get("timeout"), bool(message.get("no_deps"))
        await self._want(
            message, lambda: apply.restarted(self._world.wanted, self._world.seen, names, grace, no_deps)
        )
        await self._until(message, caller, names, message.get("until", "running"))
        return {}

    async def kill(self, message: Message, _: list[int], __: Caller) -> Reply:
        number = number_of(message["signal"])
        alive = [name for name in self._names(message) if (seen := self._world.seen.get(name)) and seen.alive]
        for name in alive:
            await self._send(message, name, number)
        return {"killed": alive}

    async def signal(self, message: Message, _: list[int], __: Caller) -> Reply:
        await self._send(message, message["name"], number_of(message["signal"]))
        return {}

    async def _send(self, message: Message, name: str, number: int) -> None:
        seen = self._world.seen.get(name)
        if seen is None or not seen.alive:
            raise OrchestraError(f"{name} does not run")
        if number in (9, number_of(seen.service.stop_signal)):
            # As with docker: who is killed by hand is not brought back by its restart policy.
            await self._want(message, lambda: apply.changed(self._world.wanted, [name], stopped=True))
            if name in self._world.seen:
                self._world.note(name, asked_to_stop=time.monotonic())
        await self._link.request({"do": "signal", "name": name, "signal": number, "everyone": False})
        self._world.journal.tell("kill", f"{name} was sent {signal_name(number)} by hand", seen.service.name, name)

    async def down(self, message: Message, _: list[int], caller: Caller) -> Reply:
        self.touched = True  # or who has been idle since its start might leave before it has answered
        world = self._world
        services = message.get("services")
        grace = message.get("timeout")
        if not message.get("force"):
            await self._lending.refuse_if_used(services or None, "take down")
        self._tell_asked("down", message)
        async with self._booking.turn:
            if services:
                names = apply.names_of(world.wanted, world.seen, services, "down")
                wanted = apply.without(world.wanted, world.seen, names, grace)
            else:
                names = [*world.wanted.targets, *world.seen]
                wanted = apply.nothing(world.wanted, message["volumes"], grace)
                world.look_for_volumes(wanted.discard_volumes)
                await anyio.to_thread.run_sync(
                    refuse_if_used, world.places.home, world.places.name, wanted.discard_volumes
                )
            before = world.wanted
            await self._booking.put_down(wanted=wanted)
            self._wishes.tell(before, wanted, words("down", message))
        await self._until(message, caller, names, "gone")
        if not services and not await self._departure.depart(forget=bool(message["volumes"])):
            raise OrchestraError(f"stack {world.places.name} was started anew meanwhile", "orchestra ps shows it")
        return {}

    async def rm(self, message: Message, _: list[int], caller: Caller) -> Reply:
        names = self._names(message)
        if not message.get("force"):
            await self._lending.refuse_if_used(message.get("services"), "remove")
        self._tell_asked("rm", message)
        world = self._world

        def wanted() -> Wanted:
            if not message.get("stop"):
                names[:] = [name for name in names if not (name in world.seen and world.seen[name].alive)]
            return apply.without(world.wanted, world.seen, names, None)

        await self._want(message, wanted)
        await self._until(message, caller, names, "gone")
        return {"removed": names}

    async def follow(self, message: Message, _: list[int], caller: Caller) -> Reply:
        """Wait on for what an earlier supervisor was asked for."""
        world, services, goal = self._world, message["services"], message["until"]
        self.touched = True
        names = [
            name
            for name in apply.names_of(world.wanted, world.seen, None)
            if (world.wanted.targets.get(name) or world.seen[name]).service.name in services
        ]
        asked = apply.changed(world.wanted, names, stopped=goal == "stopped", held=False)
        await self._until(message, caller, names, goal, services, asked)
        return {}

    async def run(self, message: Message, descriptors: list[int], caller: Caller) -> Reply:
        async with self._booking.turn:
            self.touched = True
            before = self._world.wanted
            name, wanted, stack = self._oneoffs.plan(message, await with_files(_stack(message["stack"])))
            files = dict(self._world.page.files)
            files.update({f"secret/{key}": source for key, source in stack.secrets.items()})
            files.update({f"config/{key}": source for key, source in stack.configs.items()})
            self._performer.expect(name, descriptors)
            try:
                await self._booking.admit(wanted, stack, files)
            except BaseException:
                self._performer.expect_no_more(name)
                raise
            self._wishes.tell(before, wanted, words("run", message))
            self._borrowing.ask_again()
        with self._wishes.follow() as changed:
            return await self._oneoffs.run(name, message, caller, changed)

    # Helping

    def _refuse_another(self, given: Stack) -> None:
        """Nobody is asked whether a stack that another one wants to use may take the place of what runs."""
        world = self._world
        runs = world.page.stack
        if not (world.wanted.targets or world.seen) or not any(map(os.path.exists, runs.files)):
            return
        if not is_same_project(runs.directory, runs.files, given.directory, given.files):
            raise OrchestraError(
                f"stack {runs.name} runs from another file: {runs.files[0]}, not {given.files[0]}",
                "name that one in `uses`, or take it down",
            )

    def _tell_asked(self, what: str, message: Message) -> None:
        """Who wanted it, beside what then happens."""
        services = message.get("services")
        of = f" of {' '.join(services)}" if services else ""
        by = str(message.get("by") or f"orchestra {what}")[:80]
        about = {"do": what, "by": by, **({"services": " ".join(services)} if services else {})}
        self._world.journal.tell("asked", f"{what} was asked for{of} ({by})", attributes=about)

    def _names(self, message: Message) -> list[str]:
        self.touched = True
        return apply.names_of(self._world.wanted, self._world.seen, message.get("services"), message["do"])

    async def _want(self, message: Message, wanted: Callable[[], Wanted]) -> None:
        """In turn: a change that is being written down would take this one back."""
        async with self._booking.turn:
            before, after = self._world.wanted, wanted()
            self._world.change(wanted=after)
            self._wishes.tell(before, after, words(message["do"], message))
            self._world.ring()

    async def _until(
        self,
        message: Message,
        caller: Caller,
        names: Collection[str],
        goal: Goal,
        services: Collection[str] = (),
        asked: Wanted | None = None,
    ) -> None:
        """Answer with the rows that change until the goal is reached, nobody of `services` is about to replace
        another or to go, and those of them that another stack owns are there. Raises OrchestraError when it cannot
        be, or when others want something else meanwhile than what is wanted now, or was `asked` for before."""
        world = self._world
        if goal == "accepted":
            return
        with self._wishes.follow() as changed:
            if asked is not None:
                changed.update(dict.fromkeys(names, "another command"))
            before = asked or world.wanted
            # What comes now is waiting, and others may have their turn.
            await caller.send({"re": message["id"], "accepted": True})
            teller = Teller(world, caller, message["id"], names, services)
            while True:
                await teller.wait()
                facts = world.facts()
                moving = replacing.moving(world.wanted, facts, services)
                teller.watch(moving)
                try:
                    refuse_overtaken(goal, names, before, world.wanted, changed)
                    late = unmet(goal, names, world.wanted, facts, world.plan, time.monotonic(), services)
                    reached = not late and not moving
                except OrchestraError:
                    await teller.tell()
                    raise
                if reached:
                    await teller.tell()
                    return
                await teller.tell_in_time()


def _stack(raw: Any) -> Stack:
    """Raises OrchestraError where whoever asks means something else by a stack."""
    try:
        return decode(Stack, raw)
    except ValueError:
        what = "this stack is run by another version of orchestra, which knows other keys of a stack"
        raise OrchestraError(what, "take it down with orchestra down, then up again") from None
