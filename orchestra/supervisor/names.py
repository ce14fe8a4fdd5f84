"""The resolver of every network: answers on the gateway for what the network has, passes on the rest.

Its sockets are made inside of the router and stored with the keeper, so that a question asked while the supervisor
is replaced waits a moment instead of being refused.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Sequence

import anyio
import anyio.abc

from ..plan.names import lookup, reverse, reversed_address
from ..wire import dns
from .world import World

LARGEST = 4096
PATIENCE = 3.0
"""Seconds that an upstream resolver may take before the next one is asked."""
MOST_AT_ONCE = 256


class Resolver:
    """Serves one network."""

    def __init__(self, world: World, key: str, udp: socket.socket, tcp: socket.socket) -> None:
        self._world = world
        self._key = key
        self._udp = udp
        self._tcp = tcp
        self._room = anyio.CapacityLimiter(MOST_AT_ONCE)

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
        answer = self._own_answer(query, None)
        if answer is not None:
            self._reply(answer, asker)
        elif self._room.available_tokens > 0:
            tasks.start_soon(self._pass_on_udp, query, data, asker)
        else:
            self._reply(dns.failure(query, dns.SERVFAIL), asker)

    def _reply(self, answer: bytes, asker: tuple[str, int]) -> None:
        try:
            self._udp.sendto(answer, asker)
        except OSError:
            return  # the asker is gone or its buffer full: it asks again

    def _own_answer(self, query: dns.Query, limit: int | None) -> bytes | None:
        table = table_of(self._world, self._key)
        if query.kind == dns.PTR and (address := reversed_address(query.name)):
            name = reverse(table, query.name)
            if name is not None:
                return dns.pointer(query, name, limit)
            own = self._world.page.routers[self._key].subnet.rpartition(".")[0]
            return dns.failure(query, dns.NXDOMAIN) if address.startswith(f"{own}.") else None
        found = lookup(table, query.name)
        if found is None:
            return None
        shuffled = random.sample(found, len(found))
        return dns.addresses(query, shuffled, limit)

    async def _pass_on_udp(self, query: dns.Query, data: bytes, asker: tuple[str, int]) -> None:
        async with self._room:
            self._reply(await self._ask_upstream(query, data, asker[0]), asker)

    async def _ask_upstream(self, query: dns.Query, data: bytes, asker: str) -> bytes:
        for server in self._upstreams(asker):
            family = socket.AF_INET6 if ":" in server else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as upstream:
                try:
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
            connection.setblocking(False)
            tasks.start_soon(self._converse, connection, asker[0])

    async def _converse(self, connection: socket.socket, asker: str) -> None:
        with connection, anyio.move_on_after(10):
            try:
                (length,) = struct.unpack(">H", await _exactly(connection, 2))
                data = await _exactly(connection, length)
                query = dns.parse(data)
                answer = self._own_answer(query, dns.LARGEST) or await self._ask_upstream(query, data, asker)
                connection.send(struct.pack(">H", len(answer)) + answer)
            except (OSError, EOFError, dns.BadQuery):
                return


def table_of(world: World, key: str) -> dict[str, list[str]]:
    """Names in one network: services, aliases, containers, `service.stack`; only of who runs, healthy ones first.

    A service of which no replica is healthy answers with all that run: better a slow start than none.
    """
    table: dict[str, list[str]] = {}
    weak: dict[str, list[str]] = {}
    for name, address in world.page.addresses.get(key, {}).items():
        seen = world.seen.get(name)
        if seen is None or not seen.made:
            continue
        service = seen.service
        join = next((join for join in service.networks if join.network == key), None)
        known = [name.lower()]
        if not seen.oneoff:
            known += [service.name.lower(), f"{service.name}.{world.places.name}".lower()]
        if join is not None:
            known += [alias.lower() for alias in join.aliases]
        fit = seen.alive and seen.health != "unhealthy" and (seen.health == "healthy" or not service.healthcheck)
        for alias in dict.fromkeys(known):
            (table if fit else weak).setdefault(alias, []).append(address)
    return {**weak, **table}


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
