"""What other stacks use of this one: who they are, what they are told, and when nobody is left.

A service that runs for others only ends with the last lease on it; with the last such service the whole stack goes,
unless a person has asked for something of it. That is decided here, in the stack's own turn, so that whoever is
just coming to use it comes before or after, and not in between.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from typing import Any

import anyio
import anyio.to_thread

from ..errors import OrchestraError
from ..plan import apply, sharing
from ..plan.replacing import serves
from ..state import shares
from ..state.shares import Share
from ..state.turns import try_turn
from ..wire.api import UserRow
from ..wire.codec import encode
from ..wire.frames import Message
from .api import Caller, Handler
from .booking import Booking
from .departure import Departure
from .world import World

Reply = dict[str, Any]
PAUSE = 2.0
"""Seconds between two looks at the leases."""
IDLE_PAUSE = 10.0
"""The same for a stack of which nobody is known to use anything."""
GLANCE = 0.05
"""Seconds between two looks at who has joined what replaces another."""


class Lending:
    def __init__(self, world: World, booking: Booking, departure: Departure) -> None:
        self._world = world
        self._booking = booking
        self._departure = departure
        self._looking = anyio.Lock()
        self._tellers: dict[str, Caller] = {}  # user -> the connection on which it tells what it has joined
        self._going = anyio.Event()  # nobody wants anything of the stack any more

    async def run(self) -> None:
        while not self._world.leaving:
            await self.look()
            with anyio.move_on_after(PAUSE if self._world.users or sharing.lent(self._world.wanted) else IDLE_PAUSE):
                await self._going.wait()
            if self._going.is_set():
                await self._departure.depart()
                self._going = anyio.Event()  # or it has been asked for anew

    async def look(self) -> bool:
        """Let go of what nobody wants; whether the whole stack goes."""
        async with self._looking:
            world = self._world
            if self._going.is_set():
                return True
            if sharing.still_lent(world.wanted, await self._leased()) is world.wanted:
                return False
            turn = try_turn(world.places, f"stack {world.places.name}, which nobody uses any more")
            if turn is None:
                return False  # somebody changes it just now: look again later
            try:
                async with self._booking.turn:
                    # Again, now that nobody can take a lease meanwhile.
                    wanted = sharing.still_lent(world.wanted, await self._leased())
                    if wanted is not world.wanted:
                        nothing = not wanted.targets
                        await self._booking.put_down(wanted=apply.nothing(wanted, False, None) if nothing else wanted)
                        world.journal.tell(
                            "notice", "nobody uses what was started for other stacks only: it is stopped"
                        )
                        if nothing:
                            self._going.set()
            finally:
                os.close(turn)
            return self._going.is_set()

    async def _leased(self) -> set[str]:
        users = await anyio.to_thread.run_sync(shares.on, self._world.places.home, self._world.places.name)
        self._world.users = {(share.user, share.service): share for share in users}
        return {share.service for share in users}

    async def hold(self) -> None:
        """Keep what was replaced for as long as somebody elsewhere needs it."""
        world, said = self._world, dict[str, str]()
        while True:
            pulses = world.pulses
            now = sharing.waits(world.wanted, world.users, world.holders, time.monotonic())
            if now.needed != world.needed:
                world.needed = dict(now.needed)
                world.ring()
            for name, why in now.given_up.items():
                if said.get(name) != why:
                    world.journal.tell("notice", f"{name} is not kept any longer, although {why}", "", name)
            said = dict(now.given_up)
            if world.wanted.draining and world.users:
                await anyio.sleep(GLANCE)
            else:
                await world.changed_since(pulses)

    # Requests

    def handlers(self) -> dict[str, Handler]:
        return {"borrow": self.borrow, "joined": self.joined, "returned": self.returned}

    async def returned(self, _: Message, __: list[int], ___: Caller) -> Reply:
        return {"leaving": await self.look()}

    async def borrow(self, message: Message, _: list[int], caller: Caller) -> Reply:
        """Tell of these services until the user goes away."""
        world, user = self._world, message["stack"]
        services: list[str] = message["services"]
        await self._leased()
        caller.stack = user
        told: Any = None
        try:
            while True:
                pulses = world.pulses
                now = {service: self._lent(service) for service in services}
                if _gist(now) != told:
                    told = _gist(now)
                    await caller.send({"re": message["id"], "lent": now})
                await world.changed_since(pulses)
        finally:
            if self._tellers.get(user) is caller:
                del self._tellers[user]
                world.holders.pop(user, None)
                world.pulse()

    async def joined(self, message: Message, _: list[int], caller: Caller) -> Reply:
        self._tellers[caller.stack] = caller
        before = self._world.holders.get(caller.stack, sharing.Holding())
        led_to, now = frozenset(message["led_to"]), time.monotonic()
        since = before.since if before.led_to == led_to else now
        self._world.holders[caller.stack] = sharing.Holding(frozenset(message["joined"]), led_to, since)
        self._world.pulse()
        return {}

    def _lent(self, service: str) -> list[dict[str, Any]]:
        world = self._world
        holds = {hold.container: hold for hold in world.plan.holds}
        found = []
        for name in sorted({*world.wanted.targets, *world.seen}):
            seen, target = world.seen.get(name), world.wanted.targets.get(name)
            one = seen or target
            if one is None or one.oneoff or one.service.name != service:
                continue
            row = world.row(name)
            guest = sharing.guest_of(
                target,
                seen,
                serving=row["state"] == "running" and row["health"] in ("", "healthy"),
                apart=not serves(world.wanted, name),
                leaving=target is None or row["state"] == "stopping",
                text=row["health_text"] or row["why"],
                hopeless=(name in holds and holds[name].hopeless) or row["state"] == "dead",
            )
            found.append({"row": row, "guest": encode(guest)})
        return found

    # Whom it concerns

    def users(self) -> list[UserRow]:
        """Who uses services of this stack, as last looked at."""
        return [_user_row(self._world, share) for _, share in sorted(self._world.users.items())]

    async def refuse_if_used(self, services: Collection[str] | None, verb: str) -> None:
        """Raises OrchestraError that names who uses one of these services, or any where None is named."""
        leased = await self._leased()
        concerned = leased if services is None else leased & set(services)
        users = sorted({user for user, service in self._world.users if service in concerned})
        if users:
            who = f"stack{'s' if len(users) > 1 else ''} {', '.join(users)}"
            raise OrchestraError(
                f"cannot {verb} {' and '.join(sorted(concerned))} of stack {self._world.places.name}: used by {who}",
                f"orchestra -p {users[0]} down, or --force to take it from them",
            )


def _gist(told: dict[str, list[dict[str, Any]]]) -> Any:
    """Without what changes by the mere passing of time."""
    return {
        service: [
            (one["guest"], one["row"]["name"], one["row"]["state"], one["row"]["health"], one["row"]["run"])
            for one in every
        ]
        for service, every in told.items()
    }


def _user_row(world: World, share: Share) -> UserRow:
    return {
        "service": share.service,
        "stack": share.user,
        "name": ", ".join(share.names),
        "file": share.file,
        "since": share.since,
        "connected": share.user in world.holders,
        "joined": sorted(
            name
            for name in world.holders.get(share.user, sharing.Holding()).joined
            if (seen := world.seen.get(name)) and seen.service.name == share.service
        ),
    }
