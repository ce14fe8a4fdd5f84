"""One stream per page: everything that it shows live comes over it, since a browser opens only six connections to a
host, whatever the number of its tabs.

It begins with `hello` and either what the page has missed or a `snapshot`; then changes as they come; a `beat` while
nothing does, so that a page knows a quiet stream from one that is dead and has not been closed. What only this
page wants (lines of logs) is a topic, that it asks for beside it.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import anyio.abc
from anyio.streams.memory import MemoryObjectSendStream
from starlette.types import Receive, Scope, Send

from ..errors import OrchestraError
from .board import Board
from .feed import Feed, frame, offer
from .gate import Session

HEARTBEAT = 15.0
"""Seconds; proxies cut what is silent for a minute."""
RETRY = 1000
"""Milliseconds after which a browser comes back (HTML, server-sent events)."""
MOST_TOPICS = 16
LARGEST_WRITE = 256 * 1024

Say = Callable[[Any], None]
Topic = Callable[[Mapping[str, Any], Say], Awaitable[None]]


class Page:
    """One open stream and the topics on it."""

    def __init__(self, session: Session, tasks: anyio.abc.TaskGroup, given: MemoryObjectSendStream[bytes]) -> None:
        self.session = session
        self._tasks = tasks
        self._given = given
        self._topics: dict[str, anyio.CancelScope] = {}

    def begin(self, number: str, topic: Topic, wish: Mapping[str, Any]) -> None:
        """Say what comes of a topic, as messages `topic` with its number. One of the same number ends first."""
        self.end(number)
        if len(self._topics) >= MOST_TOPICS:
            raise OrchestraError(f"a page may follow {MOST_TOPICS} things at a time", "close some")
        scope = anyio.CancelScope()
        self._topics[number] = scope
        self._tasks.start_soon(self._follow, number, scope, topic, wish)

    def end(self, number: str) -> None:
        if scope := self._topics.pop(number, None):
            scope.cancel()

    async def _follow(self, number: str, scope: anyio.CancelScope, topic: Topic, wish: Mapping[str, Any]) -> None:
        def say(message: Any) -> None:
            offer(self._given, frame("topic", {"topic": number, **message}))

        with scope:
            try:
                await topic(wish, say)
            except OrchestraError as error:
                say({"error": {"what": error.what, "hint": error.hint}})
            say({"over": True})
        if self._topics.get(number) is scope:
            del self._topics[number]


class Pages:
    def __init__(self, board: Board, feed: Feed, greeting: Mapping[str, Any]) -> None:
        self._board = board
        self._feed = feed
        self._greeting = greeting
        self._open: dict[str, Page] = {}
        self._closing = anyio.Event()

    def close(self) -> None:
        """End every stream: the server is about to."""
        self._closing.set()

    def find(self, name: str, session: Session) -> Page:
        page = self._open.get(name)
        if page is None or page.session != session:
            raise OrchestraError("this stream has ended", "the page opens another by itself")
        return page

    async def serve(self, session: Session, mark: str, scope: Scope, receive: Receive, send: Send) -> None:
        """The stream, until the page goes away, is too slow, or the server ends."""
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        name = secrets.token_urlsafe(9)
        with self._feed.listen() as (given, heard):
            async with anyio.create_task_group() as tasks:
                page = self._open[name] = Page(session, tasks, given)
                try:
                    tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
                    tasks.start_soon(self._until_closing, tasks.cancel_scope)
                    await _write(send, self._beginning(name, mark))
                    while True:
                        await _write(send, await _next(heard))
                except (anyio.EndOfStream, anyio.ClosedResourceError, OSError):
                    pass  # it was too slow, or has gone
                finally:
                    assert self._open.pop(name) is page
                    tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _beginning(self, name: str, mark: str) -> bytes:
        hello = f"retry: {RETRY}\n".encode() + frame("hello", {"page": name, **self._greeting})
        missed = self._feed.missed(mark) if mark else None
        if missed is None:
            return hello + frame("snapshot", self._board.snapshot(), self._feed.mark)
        return hello + b"".join(missed)

    async def _until_closing(self, scope: anyio.CancelScope) -> None:
        await self._closing.wait()
        scope.cancel()


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    scope.cancel()


async def _next(heard: Any) -> bytes:
    """What there is to say, all of it at once; a heartbeat after a while."""
    with anyio.move_on_after(HEARTBEAT):
        parts = [await heard.receive()]
        size = len(parts[0])
        while size < LARGEST_WRITE:
            try:
                parts.append(heard.receive_nowait())
            except (anyio.WouldBlock, anyio.EndOfStream):
                break
            size += len(parts[-1])
        return b"".join(parts)
    return frame("beat", {})


async def _write(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
