"""The resolver of every network: answers on the gateway for what the network has, passes on the rest.

Its sockets are made inside of the router and stored with the keeper, so that a question asked while the supervisor
is replaced waits a moment instead of being refused.
"""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import anyio
import anyio.abc

from ..plan.facts import Seen
from ..plan.names import lookup, reverse, reversed_address
from ..plan.phase import Phase, phase_of
from ..plan.replacing import serves
from ..plan.sharing import guest_name
from ..plan.sharing import key as sharing_key
from ..plan.subnets import overlap
from ..wire import dns
from . import upstream
from .dns_connections import Conversations
from .hostnames import hostname_of
from .world import World

LARGEST = 4096
MOST_AT_ONCE = 256
MOST_OF_ONE = 32
"""Questions that are passed on, of all askers and of one address: each holds a descriptor, and a container is not to
take them from the supervisor, nor from its neighbours."""


class Resolver:
    """Serves one network."""

    def __init__(self, world: World, key: str, udp: socket.socket, tcp: socket.socket) -> None:
        self._world = world
        self._key = key
        self._udp = udp
        self._conversations = Conversations(tcp, self._answer_over_tcp, self._pass_on)
        self._under_way: Counter[str] = Counter()  # by the address that asks

    async def serve(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._conversations.serve)
            while True:
                await anyio.wait_readable(self._udp)
                for _ in range(64):
                    try:
                        data, asker = self._udp.recvfrom(LARGEST)
                    except OSError:
                        break
                    self._asked(data, asker, tasks)

    def _asked(self, data: bytes, asker: tuple[str, int], tasks: anyio.abc.TaskGroup) -> None:
        """Own names are answered on the spot, without a task."""
        try:
            query = dns.parse(data)
        except dns.BadQuery as bad:
            if bad.reply is not None:
                self._reply(bad.reply, asker)
            return
        answer = self._own_answer(query, None, asker[0])
        if answer is not None:
            self._reply(answer, asker)
        elif self._has_room(asker[0]):
            tasks.start_soon(self._pass_on_udp, query, data, asker)
        else:
            self._reply(dns.failure(query, dns.SERVFAIL), asker)

    def _reply(self, answer: bytes, asker: tuple[str, int]) -> None:
        try:
            self._udp.sendto(answer, asker)
        except OSError:
            return  # the asker is gone or its buffer full: it asks again

    async def _pass_on_udp(self, query: dns.Query, data: bytes, asker: tuple[str, int]) -> None:
        self._reply(dns.fitting(query, await self._pass_on(query, data, asker[0])), asker)

    async def _pass_on(self, query: dns.Query, data: bytes, asker: str) -> bytes:
        if not self._has_room(asker):
            return dns.failure(query, dns.SERVFAIL)
        self._under_way[asker] += 1
        try:
            return await upstream.ask(self._servers(asker, self._keys(asker)), query, data)
        finally:
            self._under_way[asker] -= 1
            if not self._under_way[asker]:
                del self._under_way[asker]

    def _has_room(self, asker: str) -> bool:
        return self._under_way[asker] < MOST_OF_ONE and self._under_way.total() < MOST_AT_ONCE

    def _answer_over_tcp(self, query: dns.Query, asker: str) -> bytes | None:
        return self._own_answer(query, dns.LARGEST, asker)

    def _own_answer(self, query: dns.Query, limit: int | None, asker: str) -> bytes | None:
        """None for what others are to be asked for.

        Nobody outside is, for a container without a way out: that would be one (CVE-2024-29018). It hears NXDOMAIN;
        after docker's REFUSED musl would wait five seconds for a better answer.
        """
        keys = self._keys(asker)
        address = reversed_address(query.name)
        if address is not None:
            if (name := self._name_of(address, keys)) is not None:
                return dns.pointer(query, name, limit)
        elif (found := self._addresses_of(query.name, keys)) is not None:
            return dns.addresses(query, random.sample(found, len(found)), limit)
        routers = [router for key in keys if (router := self._world.page.routers.get(key))]  # less those just gone
        own = address is not None and any(overlap(router.subnet, address) for router in routers)
        if own or not (self._leads_out(asker, keys) or self._servers(asker, keys)):
            return dns.failure(query, dns.NXDOMAIN)
        return None

    def _who(self, asker: str) -> Seen | None:
        """The container of ours that has an address in this network."""
        names = (name for name, held in self._world.page.addresses.get(self._key, {}).items() if held == asker)
        return self._world.seen.get(next(names, ""))

    def _keys(self, asker: str) -> list[str]:
        """The networks that an asker is in, this one first: a resolver of the C library asks the first server only,
        so that one has to know everything."""
        seen = self._who(asker)
        joined = [join.network for join in seen.service.networks] if seen else []
        return [self._key, *(key for key in joined if key != self._key and key in self._world.networks)]

    def _leads_out(self, asker: str, keys: Sequence[str]) -> bool:
        """Whether one of these networks is a way out for the asker. None of ours is for a guest, which goes out by
        its own stack's networks and asks there."""
        page = self._world.page
        if asker in page.guests.get(self._key, {}).values():
            return False
        for key in keys:
            router, up = page.routers.get(key), self._world.networks.get(key)
            # The book may be ahead of what is up.
            if router is not None and router.uplink is not None and not (up is not None and up.internal):
                return True
        return False

    def _servers(self, asker: str, keys: Sequence[str]) -> list[upstream.Server]:
        """`dns:` of the service that asks, else the host's resolvers. One in a network of the asker is asked from
        there, also if that is internal; the others from the host, for who has a way out. None is this one."""
        routers = self._world.page.routers
        seen = self._who(asker)
        ours = {router.nameserver for router in routers.values()}
        leads_out = self._leads_out(asker, keys)
        servers = []
        for address in (seen and seen.service.dns) or upstream.host_resolvers():
            pins = [routers[key].pin for key in keys if key in routers and _is_in(address, routers[key].subnet)]
            if address not in ours and (pins or leads_out):
                servers.append(upstream.Server(address, pins[0] if pins else ""))
        return servers

    def _addresses_of(self, name: str, keys: Sequence[str]) -> tuple[str, ...] | None:
        """In these networks, then of neighbours from other stacks there."""
        for key in keys:
            if (found := lookup(table_of(self._world, key), name)) is not None:
                return found
        for network in self._external(keys):
            if (found := lookup(self._world.neighbours.names(network), name)) is not None:
                return found
        return None

    def _name_of(self, address: str, keys: Sequence[str]) -> str | None:
        world = self._world
        tables: list[tuple[Mapping[str, Sequence[str]], str]]
        tables = [(table_of(world, key), world.places.name) for key in keys]
        for network in self._external(keys):
            tables += [(member.names, member.stack) for member in world.neighbours.members(network)]
        return next((name for table, stack in tables if (name := reverse(table, address, stack))), None)

    def _external(self, keys: Sequence[str]) -> Iterator[str]:
        routers = self._world.page.routers
        return (routers[key].external for key in keys if key in routers and routers[key].external)


def _is_in(address: str, subnet: str) -> bool:
    return ":" not in address and overlap(subnet, address)


def table_of(world: World, key: str) -> dict[str, list[str]]:
    """Names in one network: services, aliases, containers, hostnames, `service.stack`; only of who runs, healthy ones
    first.

    A service of which no replica is healthy answers with all that run or are about to: better a slow start than none.
    One that has ended for good has no address, and its name is still not asked for outside.
    """
    table: dict[str, list[str]] = {}
    weak: dict[str, list[str]] = {}
    services = {seen.service.name.lower() for seen in world.seen.values()}
    services |= {use.name.lower() for use in world.wanted.uses.values()}
    for name, address in world.page.addresses.get(key, {}).items():
        seen = world.seen.get(name)
        if seen is None or not seen.made:
            continue
        service = seen.service
        join = next((join for join in service.networks if join.network == key), None)
        known = [name.lower()]
        its = serves(world.wanted, name)  # else it has but the container's own name
        if its and not seen.oneoff:
            known += [service.name.lower(), f"{service.name}.{world.places.name}".lower()]
        if its and join is not None:
            known += [alias.lower() for alias in join.aliases]
        hostname = hostname_of(world.places, name, service).lower()
        if (its or not service.hostname) and hostname not in services:  # another service's name stays its own
            known.append(hostname)
        fit = seen.alive and seen.health != "unhealthy" and (seen.health == "healthy" or not service.healthcheck)
        over = _is_over(world, name, seen)
        for alias in dict.fromkeys(known):
            if over:
                weak.setdefault(alias, [])
                continue
            (table if fit else weak).setdefault(alias, []).append(address)
    for guest, known in guests_of(world, key):
        here = world.page.guests.get(key, {}).get(guest_name(*guest))
        if here is None:
            continue
        serving = world.shared[guest[0]].guests[guest[1]].serving
        for alias in known:
            (table if serving else weak).setdefault(alias, []).append(here)
    return {**weak, **table}


def guests_of(world: World, key: str) -> Iterator[tuple[tuple[str, str], list[str]]]:
    """((lease, container), its names) of containers of other stacks that are joined to a network."""
    for use in world.wanted.uses.values():
        join = next((join for join in use.networks if join.network == key), None)
        shared = world.shared.get(sharing_key(use))
        if join is None or shared is None:
            continue
        names = [use.name, f"{use.name}.{world.places.name}", f"{use.service}.{use.stack}", *join.aliases]
        for container, guest in shared.guests.items():
            if key in guest.joined and guest.made:
                known = [container] if guest.apart else [container, *names]
                yield (sharing_key(use), container), list(dict.fromkeys(map(str.lower, known)))


def _is_over(world: World, name: str, seen: Seen) -> bool:
    """Whether it does not run and is not about to: stopped, finished, given up."""
    target = world.wanted.targets.get(name)
    if target is None:
        return not seen.alive
    return phase_of(target, seen, time.monotonic()) in (Phase.STOPPED, Phase.FINISHED, Phase.GAVE_UP)
