"""A line to another stack's supervisor: requests out, answers in, over its API socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio

from ..client import dial
from ..errors import OrchestraError
from ..places import Places
from ..wire.frames import BadFrame, Message, Reader, encode

BLOCK = 1 << 16


class Hung(OrchestraError):
    """The other side went away in the midst of it."""

    def __init__(self, stack: str) -> None:
        super().__init__(f"the supervisor of stack {stack} went away")


class Line:
    """One connection; use as a context. One task reads, any task may send."""

    def __init__(self, places: Places) -> None:
        """Raises OSError when nobody listens."""
        self._stack = places.name
        self._socket = dial(places.run, "api.sock")
        self._socket.setblocking(False)
        self._reader = Reader()
        self._sending = anyio.Lock()
        self._last = 0

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def send(self, request: Mapping[str, Any]) -> int:
        """The number of the request. Raises Hung."""
        self._last += 1
        number = self._last
        rest = memoryview(encode({**request, "id": number}))
        async with self._sending:
            while rest:
                try:
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._socket)
                except OSError:
                    raise Hung(self._stack) from None
        return number

    async def answers(self) -> AsyncIterator[Message]:
        """Everything that comes in, until the other side goes away."""
        while True:
            await anyio.wait_readable(self._socket)
            try:
                data = self._socket.recv(BLOCK)
                if not data:
                    return
                messages = list(self._reader.feed(data))
            except BlockingIOError:
                continue
            except (OSError, BadFrame):
                return
            for message in messages:
                yield message

    async def call(self, request: Mapping[str, Any]) -> Message:
        """The last answer. Raises OrchestraError for what went wrong there, Hung when it went away."""
        number = await self.send(request)
        async for answer in self.answers():
            if answer.get("re") != number:
                continue
            if trouble := answer.get("error"):
                raise OrchestraError(trouble["what"], trouble.get("hint"), trouble.get("status", 1))
            if answer.get("done"):
                return answer
        raise Hung(self._stack)

    async def closed(self) -> None:
        """Returns when the other side has gone."""
        async for _ in self.answers():
            pass
