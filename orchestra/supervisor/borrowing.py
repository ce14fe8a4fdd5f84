"""What this stack uses of others: leases, a line to each owner, and plugs into the containers of shared services.

What to do is decided by `plan/sharing` from what is gathered here. The owner's supervisor tells of its containers for
as long as the line stands; while it is replaced, what was last heard holds. A container is joined by a plug of our
own router in its pinned network namespace; its owner is told, so that it can wait for us when it replaces it.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread

from ..errors import OrchestraError
from ..keeper.start import answers, ensure_keeper
from ..network import plugs
from ..network.inside import is_pinned
from ..places import Places
from ..plan import sharing
from ..plan.addresses import allocate
from ..plan.facts import Guest, Shared
from ..plan.steps import GiveBack, Join, Lease, Part, SharingStep
from ..stack.model import Join as Membership
from ..stack.model import Network, Use
from ..state import shares
from ..state.turns import holder, try_turn
from ..values import replace
from ..wire.codec import decode, encode
from . import wiring
from .booking import Booking
from .line import Hung, Line
from .world import World

SOON = 0.02
"""Seconds between two tries while an owner's supervisor is on its way."""
LATER = 0.25
"""Seconds between two looks whether an owner that is away has come back."""
GLANCE = 1.0
"""Seconds between two looks whether an owner that is about to go still is."""
PATIENCE = 60.0
"""Seconds that an owner's supervisor may take to answer."""

END_PATIENCE = 5.0
"""Seconds that its keeper may take to end."""


class Borrowing:
    def __init__(self, world: World, booking: Booking) -> None:
        self._world = world
        self._booking = booking
        self._lines: dict[str, Line] = {}  # owner -> where it tells us
        self._following: dict[tuple[str, tuple[str, ...]], anyio.CancelScope] = {}

    async def recall(self) -> None:
        """What an earlier supervisor of this stack had: leases on disk, plugs in the book."""
        world = self._world
        held = await anyio.to_thread.run_sync(shares.of, world.places.home, world.places.name)
        world.leases = {sharing.key_of(share.owner, share.service) for share in held}
        for network, guests in list(world.page.guests.items()):
            for guest in list(guests):
                lease, _, container = guest.rpartition("/")
                if lease not in world.leases:
                    self._forget_addresses({guest}, network)
                    continue
                shared = world.shared.get(lease) or Shared()
                known = shared.guests.get(container) or Guest(made=True, alive=True, serving=True)
                known = replace(known, joined=known.joined | {network})
                world.shared[lease] = replace(shared, guests={**shared.guests, container: known})
        await self.check()

    async def check(self) -> None:
        """Whether what was joined still is: somebody may have pulled it out."""
        world = self._world
        for lease, shared in list(world.shared.items()):
            owner = lease.partition("/")[0]
            for container, guest in list(shared.guests.items()):
                pin = self._owner(owner).net_pin(container)
                world.spaces.setdefault(sharing.guest_name(lease, container), _namespace(pin))
                for network in guest.joined:
                    plug = wiring.guest_plug(world, lease, container, network)
                    if plug is None or not await anyio.to_thread.run_sync(plugs.is_plugged, plug):
                        self._note_parted(lease, container, network)

    def _note_parted(self, lease: str, container: str, network: str) -> None:
        if (shared := self._world.shared.get(lease)) and (guest := shared.guests.get(container)):
            self._put(lease, shared, container, replace(guest, joined=guest.joined - {network}))

    async def run(self) -> None:
        """Keep a line to each owner of whom something is used."""
        self._following.clear()
        async with anyio.create_task_group() as tasks:
            while True:
                wanted: dict[str, set[str]] = {}
                for lease in self._world.leases:
                    owner, _, service = lease.partition("/")
                    wanted.setdefault(owner, set()).add(service)
                lines = {(owner, tuple(sorted(services))) for owner, services in wanted.items()}
                for gone in set(self._following) - lines:
                    self._following.pop(gone).cancel()
                for line in lines - set(self._following):
                    scope = self._following[line] = anyio.CancelScope()
                    tasks.start_soon(self._follow, *line, scope)
                await self._world.changed()

    def ask_again(self) -> None:
        """A person wants it to run: every owner is asked, whatever was last heard of it."""
        self._world.unsure = set(self._world.leases)

    async def peek(self, uses: Mapping[str, Use]) -> dict[str, Shared]:
        """How used services are that this stack does not follow yet, for a rehearsal."""
        found = dict(self._world.shared)
        for use in uses.values():
            if sharing.key(use) in found:
                continue
            try:
                told = await self._hear(use)
                guests = {one["row"]["name"]: _guest(use.stack, one["guest"]) for one in told}
                found[sharing.key(use)] = Shared(guests, "" if told else f"stack {use.stack} does not run it")
            except (OSError, OrchestraError):
                found[sharing.key(use)] = Shared(away=f"stack {use.stack} does not run")
        return found

    async def _hear(self, use: Use) -> list[Any]:
        """What the owner has to tell of it at this moment. Raises OSError or OrchestraError."""
        with Line(self._owner(use.stack)) as line:
            number = await line.send(self._borrow([use.service]))
            async for answer in line.answers():
                if answer.get("re") == number and "lent" in answer:
                    told: list[Any] = answer["lent"].get(use.service, [])
                    return told
                if trouble := answer.get("error"):
                    raise OrchestraError(trouble["what"], trouble.get("hint"))
        raise Hung(use.stack)

    # Steps

    async def perform(self, step: SharingStep) -> None:
        """Raises OrchestraError or OSError; the caller notes it."""
        match step:
            case Lease(use):
                await self._lease(use)
            case Join(owner, service, container, network):
                await self._join(owner, sharing.key_of(owner, service), container, network)
            case Part(owner, service, container, network):
                await self._part(owner, sharing.key_of(owner, service), container, network.key)
            case GiveBack(owner, service):
                await self._give_back(owner, service)

    async def _lease(self, use: Use) -> None:
        world = self._world
        owner = self._owner(use.stack)
        names = [one.name for one in world.wanted.uses.values() if sharing.key(one) == sharing.key(use)]
        files = world.page.stack.files
        async with self._turn(owner):
            await anyio.to_thread.run_sync(
                shares.take,
                world.places.home,
                use.stack,
                use.service,
                world.places.name,
                names,
                files[0] if files else "",
                use.file,
            )
            try:
                await self._have_it_run(owner, use)
            except OrchestraError:
                if sharing.key(use) not in world.leases:
                    back = (world.places.home, use.stack, use.service, world.places.name)
                    await anyio.to_thread.run_sync(shares.give_back, *back)
                raise
        lease = sharing.key(use)
        world.unsure.discard(lease)
        if lease not in world.leases:
            world.leases.add(lease)
            world.journal.tell("lease", f"{use.service} of stack {use.stack} is used", use.name)
        world.pulse()

    @asynccontextmanager
    async def _turn(self, owner: Places) -> AsyncIterator[None]:
        """Nobody else starts or ends the owner's stack meanwhile."""
        me, told = f"stack {self._world.places.name}", False
        while (descriptor := try_turn(owner, f"{me}, which uses a service of it")) is None:
            if not told:
                who = await anyio.to_thread.run_sync(holder, owner)
                self._world.journal.tell("notice", f"stack {owner.name} is busy: waiting for {who}")
                told = True
            await anyio.sleep(SOON)
        try:
            yield
        finally:
            os.close(descriptor)

    async def _have_it_run(self, owner: Places, use: Use) -> None:
        """Its owner is asked to run it, which changes nothing where it runs already."""
        stack = self._world.page.stack.owners.get(use.stack)
        if stack is None:
            raise OrchestraError(f"nothing is known of stack {use.stack}", f"orchestra up {use.file}")
        request = {
            "do": "apply",
            "stack": encode(stack),
            "services": [use.service],
            "recreate": "never",
            "no_deps": False,
            "no_start": False,
            "remove_orphans": False,
            "timeout": None,
            "until": "accepted",
            "lent": True,
        }
        end = anyio.current_time() + PATIENCE
        while anyio.current_time() < end:
            try:
                with Line(owner) as line:
                    await line.call(request)
                # What was heard before may be of a time before it was stopped and asked for anew.
                await self._take_in(use.stack, (use.service,), {use.service: await self._hear(use)})
                return
            except (OSError, Hung):
                await anyio.to_thread.run_sync(ensure_keeper, owner)
                await anyio.sleep(SOON)
        raise OrchestraError(f"the supervisor of stack {owner.name} does not answer", f"read {owner.own_log}")

    async def _join(self, owner: str, lease: str, container: str, network: Network) -> None:
        world, key = self._world, network.key
        await self._address_of(sharing.guest_name(lease, container), key)
        plug, router = wiring.guest_plug(world, lease, container, key), world.page.routers.get(key)
        if plug is None or router is None:
            return  # it is not wanted there any more
        space = _namespace(plug.net_pin)
        await anyio.to_thread.run_sync(plugs.ensure_guest, router, plug)
        shared = world.shared.get(lease)
        guest = shared.guests.get(container) if shared else None
        if shared is None or guest is None or _namespace(plug.net_pin) != space:
            return  # the container has been made anew meanwhile
        world.spaces[sharing.guest_name(lease, container)] = space
        self._put(lease, shared, container, replace(guest, joined=guest.joined | {key}))
        what = f"{container} of stack {owner} is joined to network {network.name}"
        world.journal.tell("join", what, lease.partition("/")[2], container)
        await self._tell_owner(owner)

    async def _address_of(self, guest: str, network: str) -> None:
        """One of the network's own, written down before it is used."""
        world = self._world
        async with self._booking.turn:
            router = world.page.routers.get(network)
            held = world.page.guests.get(network, {})
            if router is None or (guest in held and _is_in(held[guest], router.subnet)):
                return
            taken = {**world.page.addresses.get(network, {}), **held}
            taken.pop(guest, None)
            given = allocate(router.subnet, router.gateway, taken, {guest: Membership(network)})
            guests = {**world.page.guests, network: {**held, guest: given[guest]}}
            await self._booking.put_down(guests=guests)

    async def _part(self, owner: str, lease: str, container: str, network: str) -> None:
        if plug := wiring.guest_plug(self._world, lease, container, network):
            await anyio.to_thread.run_sync(plugs.unplug, [(plug.router, plug.port)])
        self._note_parted(lease, container, network)
        self._forget_addresses({sharing.guest_name(lease, container)}, network)
        await self._tell_owner(owner)

    async def _give_back(self, owner: str, service: str) -> None:
        world = self._world
        lease = sharing.key_of(owner, service)
        shared = world.shared.get(lease) or Shared()
        for container, guest in shared.guests.items():
            for network in guest.joined & set(world.networks):
                await self._part(owner, lease, container, network)
        await anyio.to_thread.run_sync(shares.give_back, world.places.home, owner, service, world.places.name)
        await self._owner_looks(self._owner(owner))
        world.leases.discard(lease)
        world.unsure.discard(lease)
        self._forget_guests(lease, set(shared.guests))
        world.shared.pop(lease, None)
        world.journal.tell("give_back", f"{service} of stack {owner} is not used any more", service)
        world.pulse()

    async def _owner_looks(self, owner: Places) -> None:
        """The owner looks whether anybody else wants it; returns when it has gone, if it goes.

        Where it cannot be asked it finds out by itself, see Lending.
        """
        end = anyio.current_time() + PATIENCE
        while _is_kept(owner) and anyio.current_time() < end:
            try:
                with Line(owner) as line:
                    answer = await line.call({"do": "returned"})
                    if not answer.get("leaving"):
                        return
                    with anyio.move_on_after(GLANCE):  # somebody may want it again before it has gone
                        await line.closed()
                        break
            except (OSError, Hung):
                await self._wake(owner)
        await anyio.to_thread.run_sync(_wait_for_end, owner)

    async def _wake(self, owner: Places) -> None:
        """Have its keeper and supervisor started, where they have ended before their time."""
        try:
            await anyio.to_thread.run_sync(ensure_keeper, owner)
        except (OSError, OrchestraError) as error:
            self._world.journal.tell("trouble", f"stack {owner.name} could not be woken: {error}")
            await anyio.sleep(LATER)
        await anyio.sleep(SOON)

    # What owners tell

    def _owner(self, name: str) -> Places:
        return self._world.places.home.stack(name)

    def _borrow(self, services: list[str]) -> dict[str, Any]:
        return {"do": "borrow", "stack": self._world.places.name, "services": services}

    async def _follow(self, owner: str, services: tuple[str, ...], scope: anyio.CancelScope) -> None:
        places = self._owner(owner)
        with scope:
            while True:
                try:
                    with Line(places) as line:
                        await line.send(self._borrow(list(services)))
                        self._lines[owner] = line
                        async for answer in line.answers():
                            if "lent" in answer:
                                await self._take_in(owner, services, answer["lent"])
                            elif trouble := answer.get("error"):
                                await self._take_in(owner, services, {}, trouble["what"])
                except (OSError, Hung):
                    await anyio.sleep(SOON)
                except OrchestraError as error:
                    await self._take_in(owner, services, {}, error.what)
                    await anyio.sleep(LATER)
                finally:
                    self._lines.pop(owner, None)
                await self._nobody(places, services)

    async def _nobody(self, owner: Places, services: tuple[str, ...]) -> None:
        """The line is down: its supervisor is being replaced, or the stack is no more."""
        if _is_kept(owner):
            await self._wake(owner)
            return
        await self._take_in(owner.name, services, {}, f"stack {owner.name} does not run")
        await anyio.sleep(LATER)

    async def _take_in(
        self, owner: str, services: tuple[str, ...], told: Mapping[str, list[Any]], away: str = ""
    ) -> None:
        """What an owner says of its services, all of it."""
        world = self._world
        for service in services:
            lease = sharing.key_of(owner, service)
            old = world.shared.get(lease) or Shared()
            guests = {}
            for one in told.get(service, ()):
                row, guest = one["row"], _guest(owner, one["guest"])
                guests[row["name"]] = replace(guest, joined=self._still_joined(lease, row["name"], old))
                world.guest_rows[sharing.guest_name(lease, row["name"])] = row
            self._forget_guests(lease, set(old.guests) - set(guests))
            if sharing.is_another(old.guests.values(), guests.values()):
                world.change(wanted=sharing.leant_on(world.wanted, world.seen, lease))
            world.shared[lease] = Shared(guests, away or ("" if guests else f"stack {owner} does not run it"))
        world.ring()
        await self._tell_owner(owner)

    def _still_joined(self, lease: str, container: str, before: Shared) -> frozenset[str]:
        """Where it was joined, unless it has been made anew since."""
        known, name = before.guests.get(container), sharing.guest_name(lease, container)
        space = _namespace(self._owner(lease.partition("/")[0]).net_pin(container))
        if known is None or self._world.spaces.get(name) != space:
            return frozenset()
        return known.joined & set(self._world.networks)

    async def _tell_owner(self, owner: str) -> None:
        """Which of its containers are joined everywhere where they are to be, and which of them names lead to."""
        line = self._lines.get(owner)
        if line is None:
            return
        uses = [use for use in sharing.in_force(self._world.wanted).values() if use.stack == owner]
        joined, led_to = set(), set()
        for use in uses:
            networks = {join.network for join in use.networks}
            guests = (self._world.shared.get(sharing.key(use)) or Shared()).guests
            joined |= {name for name, guest in guests.items() if networks <= guest.joined}
            led_to |= {name for name, guest in guests.items() if not guest.apart and networks & guest.joined}
        try:
            await line.send({"do": "joined", "joined": sorted(joined), "led_to": sorted(led_to)})
        except Hung:
            return  # it asks anew when it is back

    def _put(self, lease: str, shared: Shared, container: str, guest: Guest) -> None:
        self._world.shared[lease] = replace(shared, guests={**shared.guests, container: guest})
        self._world.ring()

    def _forget_guests(self, lease: str, containers: set[str]) -> None:
        """They are no more, and with their namespaces their plugs have gone."""
        world = self._world
        names = {sharing.guest_name(lease, container) for container in containers}
        for name in names:
            world.guest_rows.pop(name, None)
            world.spaces.pop(name, None)
        for network in list(world.page.guests):
            self._forget_addresses(names, network)
        for thing in [thing for thing in world.troubles if thing.startswith("join ") and thing.split()[1] in names]:
            del world.troubles[thing]

    def _forget_addresses(self, guests: set[str], network: str) -> None:
        held = self._world.page.guests.get(network, {})
        if guests & set(held):
            rest = {name: address for name, address in held.items() if name not in guests}
            self._world.change(guests={**self._world.page.guests, network: rest})


def _guest(owner: str, raw: Any) -> Guest:
    """What an owner tells. Raises OrchestraError when that cannot be understood."""
    try:
        return decode(Guest, raw)
    except ValueError:
        raise OrchestraError(
            f"stack {owner} is run by another version of orchestra", f"orchestra -p {owner} down --force, then up"
        ) from None


def _is_kept(owner: Places) -> bool:
    """Whether there is a book of that stack: where it does not run, it only sleeps."""
    return os.path.exists(owner.wanted)


def _wait_for_end(owner: Places) -> None:
    """Its supervisor has gone, and its keeper is about to: it stops listening, and then removes what is left."""
    end = time.monotonic() + END_PATIENCE
    while answers(owner) and time.monotonic() < end:
        time.sleep(SOON / 4)
    end = time.monotonic() + LATER  # no longer: who starts the stack anew keeps its folder
    while os.path.isdir(owner.run) and time.monotonic() < end:
        time.sleep(SOON / 4)


def _namespace(pin: str) -> int:
    """What tells a pinned namespace from its successor; 0 where none is pinned."""
    return os.stat(pin).st_ino if is_pinned(pin) else 0


def _is_in(address: str, subnet: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(subnet)
