"""The resolver of every network: answers on the gateway for what the network has, passes on the rest.

Its sockets are made inside of the router and stored with the keeper, so that a question asked while the supervisor
is replaced waits a moment instead of being refused.
"""

from __future__ import annotations

import random
import socket
import struct
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
from ..wire import dns
from .hostnames import hostname_of
from .world import World

LARGEST = 4096
PATIENCE = 3.0
"""Seconds that an upstream resolver may take before the next one is asked."""
MOST_AT_ONCE = 256
MOST_OF_ONE = 32
"""Questions that are passed on, and connections, of all askers and of one address: each holds a descriptor, and a
container is not to take them from the supervisor, nor from its neighbours."""


class Resolver:
    """Serves one network."""

    def __init__(self, world: World, key: str, udp: socket.socket, tcp: socket.socket) -> None:
        self._world = world
        self._key = key
        self._udp = udp
        self._tcp = tcp
        self._under_way: Counter[str] = Counter()  # by the address that asks

    async def serve(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._serve_tcp, tasks)
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
        elif self._enters(asker[0]):
            tasks.start_soon(self._pass_on_udp, query, data, asker)
        else:
            self._reply(dns.failure(query, dns.SERVFAIL), asker)

    def _enters(self, asker: str) -> bool:
        """Whether there is room for one more of this asker; whoever has entered leaves."""
        if self._under_way[asker] >= MOST_OF_ONE or self._under_way.total() >= MOST_AT_ONCE:
            return False
        self._under_way[asker] += 1
        return True

    def _leaves(self, asker: str) -> None:
        self._under_way[asker] -= 1
        if not self._under_way[asker]:
            del self._under_way[asker]

    def _reply(self, answer: bytes, asker: tuple[str, int]) -> None:
        try:
            self._udp.sendto(answer, asker)
        except OSError:
            return  # the asker is gone or its buffer full: it asks again

    def _own_answer(self, query: dns.Query, limit: int | None, asker: str) -> bytes | None:
        address = reversed_address(query.name) if query.kind == dns.PTR else None
        for table in self._tables(asker):
            if address is not None:
                if (name := reverse(table, query.name)) is not None:
                    return dns.pointer(query, name, limit)
            elif (found := lookup(table, query.name)) is not None:
                return dns.addresses(query, random.sample(found, len(found)), limit)
        router = self._world.page.routers.get(self._key)  # none of a network that has just gone
        own = router is not None and address and address.startswith(router.subnet.rpartition(".")[0] + ".")
        return dns.failure(query, dns.NXDOMAIN) if own else None

    def _tables(self, asker: str) -> Iterator[Mapping[str, Sequence[str]]]:
        """What the asker may know, one after the other: this network, the others that it is in, its neighbours from
        other stacks. A resolver of the C library asks the first server only, so that one has to know everything."""
        world = self._world
        yield table_of(world, self._key)
        names = (name for name, address in world.page.addresses.get(self._key, {}).items() if address == asker)
        seen = world.seen.get(next(names, ""))
        keys = [join.network for join in seen.service.networks if join.network in world.networks] if seen else []
        yield from (table_of(world, key) for key in keys if key != self._key)
        for key in keys or [self._key]:
            if (router := world.page.routers.get(key)) and router.external:
                yield world.neighbours.names(router.external)

    async def _pass_on_udp(self, query: dns.Query, data: bytes, asker: tuple[str, int]) -> None:
        try:
            self._reply(await self._ask_upstream(query, data, asker[0]), asker)
        finally:
            self._leaves(asker[0])

    async def _ask_upstream(self, query: dns.Query, data: bytes, asker: str) -> bytes:
        for server in self._upstreams(asker):
            family = socket.AF_INET6 if ":" in server else socket.AF_INET
            try:
                with socket.socket(
                    family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
                ) as upstream:
                    upstream.connect((server, 53))
                    number = random.getrandbits(16)
                    upstream.send(dns.with_id(data, number))
                    with anyio.move_on_after(PATIENCE):
                        while True:
                            await anyio.wait_readable(upstream)
                            answer = upstream.recv(65535)
                            if dns.answers(answer, number, query):
                                return dns.with_id(answer, query.id)
            except OSError:
                continue
        return dns.failure(query, dns.SERVFAIL)

    def _upstreams(self, asker: str) -> Sequence[str]:
        """`dns:` of the service that asks, else the host's resolvers."""
        for name, address in self._world.page.addresses.get(self._key, {}).items():
            if address == asker and (seen := self._world.seen.get(name)) and seen.service.dns:
                return seen.service.dns
        return host_resolvers()

    async def _serve_tcp(self, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            await anyio.wait_readable(self._tcp)
            try:
                connection, asker = self._tcp.accept()
            except OSError:
                await anyio.sleep(0.01)
                continue
            if not self._enters(asker[0]):
                connection.close()
                continue
            connection.setblocking(False)
            tasks.start_soon(self._converse, connection, asker[0])

    async def _converse(self, connection: socket.socket, asker: str) -> None:
        try:
            await self._answer_over(connection, asker)
        finally:
            self._leaves(asker)

    async def _answer_over(self, connection: socket.socket, asker: str) -> None:
        with connection, anyio.move_on_after(10):
            try:
                (length,) = struct.unpack(">H", await _exactly(connection, 2))
                data = await _exactly(connection, length)
                query = dns.parse(data)
                answer = self._own_answer(query, dns.LARGEST, asker) or await self._ask_upstream(query, data, asker)
                connection.send(struct.pack(">H", len(answer)) + answer)
            except (OSError, EOFError, dns.BadQuery):
                return


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


def host_resolvers() -> list[str]:
    """From the host's resolv.conf, read anew: a laptop changes its network (resolv.conf(5))."""
    try:
        with open("/etc/resolv.conf") as file:
            words = [line.split() for line in file]
    except OSError:
        return []
    return [line[1].partition("%")[0] for line in words if len(line) > 1 and line[0] == "nameserver"]


async def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        await anyio.wait_readable(connection)
        part = connection.recv(length - len(data))
        if not part:
            raise EOFError
        data += part
    return data
