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

from ..errors import is_exhausted
from .conversations import Conversation, Conversations
from .ports import HeldPorts, Key

BLOCK = 1 << 16
IDLE = 60.0
"""Seconds after which a silent UDP conversation is forgotten (as conntrack's default for streams, rounded)."""
CONNECTING = 10.0
"""Seconds that a container may take to accept a connection."""
KEEPALIVE = {socket.TCP_KEEPIDLE: 300, socket.TCP_KEEPINTVL: 30, socket.TCP_KEEPCNT: 4}
"""tcp(7): a peer that is gone without a word is found out."""
PAUSE = 0.05
"""Seconds between two tries to accept while there is no descriptor for it."""

Address = tuple[str, int]
Backends = Callable[[Key], Sequence[tuple[str, int]]]
Tell = Callable[[str], None]


class Relay:
    """`look` starts serving sockets that are not served yet; closing a socket ends its task."""

    def __init__(self, held: HeldPorts, backends: Backends, tasks: anyio.abc.TaskGroup, tell: Tell) -> None:
        """`tell` is told in words when a port has as many connections as it may have, once."""
        self._held = held
        self._backends = backends
        self._tasks = tasks
        self._tell = tell
        self._told: set[Key] = set()
        self._served: dict[Key, anyio.CancelScope] = {}
        self._talks = Conversations(self._is_full)

    def look(self) -> None:
        keys = self._held.taken()
        for gone in set(self._served) - keys:
            self._served.pop(gone).cancel()
            self._told.discard(gone)
        for key in keys - set(self._served):
            scope = self._served[key] = anyio.CancelScope()
            self._tasks.start_soon(self._serve, key, scope)

    def _is_full(self, key: Key, most: int) -> None:
        if key in self._told or key not in self._served:
            return
        self._told.add(key)
        _, port, protocol = key
        self._tell(
            f"port {port}/{protocol} has {most} connections by IPv6, which is as many as it may have: "
            "for new ones those end that have been silent for longest"
        )

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
                except OSError as error:
                    if is_exhausted(error):
                        self._talks.make_room()
                    await anyio.sleep(PAUSE)
                    continue
                talk = self._talks.enter(key)
                if talk is None:
                    client.close()
                    continue
                client.setblocking(False)
                tasks.start_soon(self._carry, key, client, talk)

    async def _carry(self, key: Key, client: socket.socket, talk: Conversation) -> None:
        with contextlib.ExitStack() as ends:
            ends.callback(self._talks.leave, talk)
            ends.enter_context(client)
            with talk.scope:
                try:
                    server = ends.enter_context(
                        socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
                    )
                    server.setblocking(False)
                    with anyio.fail_after(CONNECTING):
                        await _connect(server, random.choice(list(self._backends(key))))
                    for end in (client, server):
                        _keep_alive(end)
                except (OSError, IndexError):
                    return
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._pump, client, server, talk)
                    tasks.start_soon(self._pump, server, client, talk)

    async def _pump(self, source: socket.socket, sink: socket.socket, talk: Conversation) -> None:
        """Everything from one side to the other, then the end of it as well, so that half-closed connections work."""
        try:
            while data := await _read(source):
                self._talks.heard(talk)
                await _write(sink, data)
            sink.shutdown(socket.SHUT_WR)
            talk.half_close()
        except OSError:
            talk.scope.cancel()

    async def _udp(self, key: Key, bound: socket.socket) -> None:
        conversations: dict[Address, tuple[socket.socket, Conversation]] = {}
        async with anyio.create_task_group() as tasks:
            while await _something_came(bound):
                try:
                    data, asker = bound.recvfrom(BLOCK)
                except OSError:
                    continue
                server, talk = conversations.get(asker) or self._begun(key) or (None, None)
                if server is None or talk is None:
                    continue
                if asker not in conversations:
                    conversations[asker] = server, talk
                    tasks.start_soon(self._answer, bound, asker, conversations)
                self._talks.heard(talk)
                with contextlib.suppress(OSError):
                    server.send(data)

    def _begun(self, key: Key) -> tuple[socket.socket, Conversation] | None:
        """A socket for a new asker; None where there is nobody to ask, or no room."""
        backends = list(self._backends(key))
        talk = self._talks.enter(key) if backends else None
        if talk is None:
            return None
        try:
            return _connected(random.choice(backends)), talk
        except OSError:  # its network is just being made or taken away, or no descriptor is left
            self._talks.leave(talk)
            return None

    async def _answer(
        self,
        bound: socket.socket,
        asker: Address,
        conversations: dict[Address, tuple[socket.socket, Conversation]],
    ) -> None:
        server, talk = conversations[asker]
        try:
            with server, talk.scope:
                while True:
                    with anyio.move_on_after(IDLE) as waiting:
                        await anyio.wait_readable(server)
                    if waiting.cancelled_caught:
                        break
                    try:
                        bound.sendto(server.recv(BLOCK), asker)
                    except OSError:
                        break
                    self._talks.heard(talk)
        finally:
            self._talks.leave(talk)
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


async def _read(source: socket.socket) -> bytes:
    """What comes next; nothing at its end."""
    while True:
        await anyio.wait_readable(source)
        with contextlib.suppress(BlockingIOError):
            return source.recv(BLOCK)


async def _write(sink: socket.socket, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[sink.send(left) :]
        except BlockingIOError:
            await anyio.wait_writable(sink)


def _keep_alive(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        end.setsockopt(socket.IPPROTO_TCP, option, value)
