"""Carries what reaches the held sockets of published ports: IPv6, and whatever the firewall's rules do not lead.

Ordinary IPv4 traffic never comes here: DNAT takes it before a socket sees it.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable, Sequence

import anyio
import anyio.abc

from .ports import HeldPorts, Key

BLOCK = 1 << 16
IDLE = 60.0
"""Seconds after which a silent UDP conversation is forgotten (as conntrack's default for streams, rounded)."""
MOST_UDP = 1024

Address = tuple[str, int]
Backends = Callable[[Key], Sequence[tuple[str, int]]]


class Relay:
    """`look` starts serving sockets that are not served yet; closing a socket ends its task."""

    def __init__(self, held: HeldPorts, backends: Backends, tasks: anyio.abc.TaskGroup) -> None:
        self._held = held
        self._backends = backends
        self._tasks = tasks
        self._served: dict[Key, anyio.CancelScope] = {}

    def look(self) -> None:
        keys = self._held.taken()
        for gone in set(self._served) - keys:
            self._served.pop(gone).cancel()
        for key in keys - set(self._served):
            scope = self._served[key] = anyio.CancelScope()
            self._tasks.start_soon(self._serve, key, scope)

    async def _serve(self, key: Key, scope: anyio.CancelScope) -> None:
        serve = self._tcp if key[2] == "tcp" else self._udp
        with scope:
            async with anyio.create_task_group() as tasks:
                for one in self._held.sockets(key):
                    tasks.start_soon(serve, key, one)

    async def _tcp(self, key: Key, listening: socket.socket) -> None:
        async with anyio.create_task_group() as tasks:
            while await _something_came(listening):
                try:
                    client, _ = listening.accept()
                except BlockingIOError:
                    continue
                except OSError:
                    await anyio.sleep(0.05)
                    continue
                client.setblocking(False)
                tasks.start_soon(self._carry, key, client)

    async def _carry(self, key: Key, client: socket.socket) -> None:
        backends = list(self._backends(key))
        with contextlib.ExitStack() as ends:
            ends.enter_context(client)
            try:
                server = ends.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
                server.setblocking(False)
                await _connect(server, random.choice(backends))
            except (OSError, IndexError):
                return
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_pump, client, server)
                tasks.start_soon(_pump, server, client)

    async def _udp(self, key: Key, bound: socket.socket) -> None:
        conversations: dict[Address, socket.socket] = {}
        async with anyio.create_task_group() as tasks:
            while await _something_came(bound):
                try:
                    data, asker = bound.recvfrom(BLOCK)
                except OSError:
                    continue
                server = conversations.get(asker)
                if server is None:
                    backends = list(self._backends(key))
                    if not backends or len(conversations) >= MOST_UDP:
                        continue
                    try:
                        server = _connected(random.choice(backends))
                    except OSError:  # its network is just being made or taken away, or no descriptor is left
                        continue
                    conversations[asker] = server
                    tasks.start_soon(self._answer, bound, asker, server, conversations)
                try:
                    server.send(data)
                except OSError:
                    continue

    async def _answer(
        self, bound: socket.socket, asker: Address, server: socket.socket, conversations: dict[Address, socket.socket]
    ) -> None:
        with server:
            while True:
                with anyio.move_on_after(IDLE) as waiting:
                    await anyio.wait_readable(server)
                if waiting.cancelled_caught:
                    break
                try:
                    bound.sendto(server.recv(BLOCK), asker)
                except OSError:
                    break
            conversations.pop(asker, None)


def _connected(address: Address) -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        server.connect(address)
    except OSError:
        server.close()
        raise
    return server


async def _something_came(held: socket.socket) -> bool:
    """False once the port has been released."""
    if held.fileno() < 0:
        return False
    try:
        await anyio.wait_readable(held)
    except anyio.ClosedResourceError:
        return False
    return True


async def _connect(server: socket.socket, address: tuple[str, int]) -> None:
    try:
        server.connect(address)
    except BlockingIOError:
        await anyio.wait_writable(server)
        if error := server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, "connect") from None


async def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Everything from one side to the other, then the end of it as well, so that half-closed connections work."""
    try:
        while True:
            await anyio.wait_readable(source)
            try:
                data = memoryview(source.recv(BLOCK))
            except BlockingIOError:
                continue
            if not data:
                break
            while data:
                try:
                    data = data[sink.send(data) :]
                except BlockingIOError:
                    await anyio.wait_writable(sink)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            _end(end)


def _end(side: socket.socket) -> None:
    """Wake the other direction up; it may have gone already."""
    try:
        side.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
