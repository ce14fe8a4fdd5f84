"""What one container asks of the resolver costs the others, and the supervisor, nothing."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import anyio.to_thread
import dns.message
import dns.rcode
import pytest

from orchestra.places import Home
from orchestra.plan.wiring import Router
from orchestra.supervisor.book import empty_page
from orchestra.supervisor.journal import Journal
from orchestra.supervisor.names import MOST_OF_ONE, Resolver
from orchestra.supervisor.world import World
from orchestra.values import replace

GREEDY, MODEST = "127.0.0.2", "127.0.0.3"


@pytest.fixture
def resolver(tmp_path: Path) -> Iterator[tuple[Resolver, int]]:
    """Of a network on the loopback, and its port."""
    places = Home.of({"ORCHESTRA_HOME": str(tmp_path)}, 0).stack("t")
    router = Router("0", "default", "", "127.0.0.0/24", "127.0.0.1", None)
    world = World(places, replace(empty_page(places), routers={"default": router}), Journal())
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(tcp.getsockname())
        tcp.setblocking(False)
        udp.setblocking(False)
        yield Resolver(world, "default", udp, tcp), tcp.getsockname()[1]


def asked_over_tcp(port: int) -> dns.rcode.Rcode:
    """What the resolver says to another container that asks who 127.0.0.9 is."""
    query = dns.message.make_query("9.0.0.127.in-addr.arpa.", "PTR").to_wire()
    with socket.create_connection(("127.0.0.1", port), 10, (MODEST, 0)) as connection:
        connection.sendall(struct.pack(">H", len(query)) + query)
        (length,) = struct.unpack(">H", connection.recv(2, socket.MSG_WAITALL))
        return dns.message.from_wire(connection.recv(length, socket.MSG_WAITALL)).rcode()


def test_connections_of_one_container_are_bounded(resolver: tuple[Resolver, int]) -> None:
    """It holds some and is turned away with the rest, and another one is answered meanwhile."""
    names, port = resolver
    before = len(os.listdir("/proc/self/fd"))

    def ask() -> None:
        with ExitStack() as open_:
            greedy = [
                open_.enter_context(socket.create_connection(("127.0.0.1", port), 10, (GREEDY, 0)))
                for _ in range(3 * MOST_OF_ONE)
            ]
            assert asked_over_tcp(port) == dns.rcode.NXDOMAIN
            for connection in greedy[MOST_OF_ONE:]:
                assert connection.recv(1) == b""
            assert len(os.listdir("/proc/self/fd")) - before < 5 * MOST_OF_ONE

    async def serve() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(names.serve)
            await anyio.to_thread.run_sync(ask)
            tasks.cancel_scope.cancel()

    anyio.run(serve)
