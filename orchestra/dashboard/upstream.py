"""A connection to one stack's supervisor. Several requests are under way on it; each hears only its own answers."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from ..client import dial
from ..errors import OrchestraError
from ..places import Places
from ..wire.frames import BadFrame, Message, Reader, encode

BLOCK = 1 << 16
MOST_DESCRIPTORS = 8


class Gone(OrchestraError):
    """The supervisor went away while it was asked."""

    def __init__(self, stack: str) -> None:
        super().__init__(f"the supervisor of stack {stack} went away", "try again in a moment")


class Upstream:
    """Made connected; `listen` has to run for as long as anybody asks. Raises OSError when nobody is there."""

    def __init__(self, places: Places) -> None:
        self.stack = places.name
        self._socket = socket.socket(fileno=dial(places.run, "api.sock").detach())
        self._socket.setblocking(False)
        self._waiting: dict[int, MemoryObjectSendStream[Message]] = {}
        self._last = 0
        self._sending = anyio.Lock()
        self._over = False
        self.descriptors: list[int] = []  # what came along with answers and was not taken yet

    def close(self) -> None:
        """Ends everything that is under way here; what was asked of the supervisor goes on there."""
        self._end_all()
        self._socket.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()

    def _end_all(self) -> None:
        self._over = True
        for asker in self._waiting.values():
            asker.close()
        self._waiting.clear()

    async def listen(self) -> None:
        """Hand out answers until the supervisor goes away; whoever still waits for one gets Gone."""
        reader = Reader()
        try:
            while data := await self._read():
                for answer in reader.feed(data):
                    asker = self._waiting.get(answer.get("re", 0))
                    if asker is not None:
                        asker.send_nowait(answer)
        except (OSError, BadFrame):
            return
        finally:
            self._end_all()

    async def _read(self) -> bytes:
        while True:
            await anyio.wait_readable(self._socket)
            try:
                data, came, _, _ = socket.recv_fds(self._socket, BLOCK, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                continue
            self.descriptors += came
            return data

    async def answers(self, request: Mapping[str, Any]) -> AsyncIterator[Message]:
        """Every answer, the one with "done" last. Raises OrchestraError for an "error", Gone when it went away."""
        if self._over:
            raise Gone(self.stack)
        self._last += 1
        number = self._last
        # Never full: a supervisor bounds what it sends without being asked again, and whoever asks here reads on.
        asker, answers = anyio.create_memory_object_stream[Message](math.inf)
        self._waiting[number] = asker
        try:
            await self._send({**request, "id": number})
            async for answer in answers:
                if trouble := answer.get("error"):
                    raise OrchestraError(trouble["what"], trouble.get("hint"), trouble.get("status", 1))
                yield answer
                if answer.get("done"):
                    return
            raise Gone(self.stack)
        finally:
            self._waiting.pop(number, None)
            asker.close()
            answers.close()

    async def call(self, request: Mapping[str, Any]) -> Message:
        """The last answer."""
        last: Message = {}
        async for answer in self.answers(request):
            last = answer
        return last

    async def _send(self, message: Message) -> None:
        rest = memoryview(encode(message))
        async with self._sending:
            while rest:
                try:
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._socket)
                except OSError:
                    raise Gone(self.stack) from None
