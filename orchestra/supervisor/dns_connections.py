"""The resolver's connections (DNS over TCP, RFC 7766): many questions on each, as long as its client keeps up.

Whoever sends in part, does not read, or says nothing is let go. How many connections there are is bounded for one
client and for all of them; where there is no room, the oldest one of the client that has most of them makes it.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

from ..wire import dns
from . import dns_stream

IDLE = 10.0
"""Seconds in which the next question has to be there, whole, and in which an answer has to be taken."""
PIPELINED = 16
"""Questions of one connection that are passed on at a time; the next one is read when one is answered."""
MOST_AT_ONCE, MOST_OF_ONE = 128, 32
"""Each connection holds a descriptor of the supervisor's."""
UNREAD = 1 << 17
"""Bytes of answers that the kernel keeps for a client."""

Answer = Callable[[dns.Query, str], "bytes | None"]
PassOn = Callable[[dns.Query, bytes, str], Awaitable[bytes]]


class Conversations:
    """`answer` is asked first, and for what it does not know `pass_on`; both are told who asks."""

    def __init__(self, listener: socket.socket, answer: Answer, pass_on: PassOn) -> None:
        self._listener = listener
        self._answer = answer
        self._pass_on = pass_on
        self._held: dict[str, list[anyio.CancelScope]] = {}  # by who asks, the oldest first

    async def serve(self) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                await anyio.wait_readable(self._listener)
                try:
                    connection, (asker, _) = self._listener.accept()
                except OSError:
                    await anyio.sleep(0.01)
                    continue
                if self._makes_room(asker):
                    connection.setblocking(False)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD)
                    held = anyio.CancelScope()
                    self._held.setdefault(asker, []).append(held)
                    tasks.start_soon(self._converse, connection, asker, held)
                else:
                    connection.close()

    def _makes_room(self, asker: str) -> bool:
        own = len(self._held.get(asker, ()))
        if own >= MOST_OF_ONE:
            return False
        if sum(map(len, self._held.values())) >= MOST_AT_ONCE:
            greediest = max(self._held.values(), key=len)
            if len(greediest) <= own:
                return False
            greediest.pop(0).cancel()
        return True

    async def _converse(self, connection: socket.socket, asker: str, held: anyio.CancelScope) -> None:
        try:
            with connection, held:
                await _Conversation(connection, asker, self._answer, self._pass_on).hold()
        finally:
            if held in (own := self._held.get(asker, [])):
                own.remove(held)
            if not own:
                self._held.pop(asker, None)


class _Conversation:
    def __init__(self, connection: socket.socket, asker: str, answer: Answer, pass_on: PassOn) -> None:
        self._connection = connection
        self._asker = asker
        self._answer = answer
        self._pass_on = pass_on
        self._writing = anyio.Lock()
        self._room = anyio.Semaphore(PIPELINED)

    async def hold(self) -> None:
        """Until the client has no more to ask; what it has asked until then is answered, which is all that one that
        has shut down its half waits for."""
        async with anyio.create_task_group() as tasks:
            while (data := await self._next()) is not None:
                try:
                    query = dns.parse(data)
                except dns.BadQuery as bad:
                    if bad.reply is None:
                        return
                    await self._write(bad.reply, tasks.cancel_scope)
                    continue
                answer = self._answer(query, self._asker)
                if answer is not None:
                    await self._write(answer, tasks.cancel_scope)
                else:
                    await self._room.acquire()
                    tasks.start_soon(self._bring, query, data, tasks.cancel_scope)

    async def _next(self) -> bytes | None:
        with anyio.move_on_after(IDLE):
            try:
                return await dns_stream.receive(self._connection)
            except (OSError, EOFError):
                return None
        return None

    async def _bring(self, query: dns.Query, data: bytes, conversation: anyio.CancelScope) -> None:
        try:
            answer = await self._pass_on(query, data, self._asker)
        finally:
            self._room.release()
        await self._write(answer, conversation)

    async def _write(self, answer: bytes, conversation: anyio.CancelScope) -> None:
        """Whole answers only, one after the other. Who does not take them has left the conversation."""
        with anyio.move_on_after(IDLE):
            async with self._writing:
                try:
                    await dns_stream.send(self._connection, answer)
                    return
                except OSError:
                    pass
        conversation.cancel()
