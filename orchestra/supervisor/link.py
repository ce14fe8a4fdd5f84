"""The supervisor's way to its keeper: requests out, replies and events in, over the keeper's socket."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio

from ..client import dial
from ..errors import OrchestraError
from ..places import Places
from ..wire.frames import BadFrame, Message, Reader, descriptors_of, encode

BLOCK = 1 << 16
MOST_DESCRIPTORS = 250  # SCM_MAX_FD is 253 (unix(7))


class KeeperGone(OrchestraError):
    def __init__(self) -> None:
        super().__init__("the keeper went away")


class Refused(OrchestraError):
    """The keeper could not do it; `failure` is keeping.Failure, whose errno is the cause."""

    def __init__(self, failure: Mapping[str, Any]) -> None:
        super().__init__(str(failure.get("what", "refused")))
        self.failure = failure
        if number := failure.get("errno"):
            self.__cause__ = OSError(number, os.strerror(number))


class _Waiting:
    """One request under way."""

    __slots__ = ("descriptors", "done", "reply")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.reply: Message | None = None
        self.descriptors: list[int] = []


class Link:
    """One connection. `serve` must run as a task for the replies to arrive; it ends when the keeper does."""

    def __init__(self, places: Places, on_event: Callable[[Message], None]) -> None:
        self._places = places
        self._on_event = on_event
        self._socket: socket.socket | None = None
        self._reader = Reader()
        self._waiting: dict[int, _Waiting] = {}
        self._arrived: list[int] = []
        self._last = 0
        self._sending = anyio.Lock()

    @property
    def connected(self) -> bool:
        return self._socket is not None

    @property
    def peer(self) -> int:
        """The keeper's pid, 0 without a connection (SO_PEERCRED)."""
        if self._socket is None:
            return 0
        size = struct.calcsize("3i")
        pid, _, _ = struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return int(pid)

    def connect(self) -> None:
        """Raises OSError when no keeper listens."""
        self._socket = socket.socket(fileno=dial(self._places.run, "keeper.sock").detach())
        self._socket.setblocking(False)
        self._reader = Reader()

    async def serve(self) -> None:
        """Read until the keeper goes away; whoever still waits gets KeeperGone."""
        assert self._socket is not None
        try:
            while await self._read_once(self._socket):
                pass
        finally:
            self._socket.close()
            self._socket = None
            for unclaimed in self._arrived:
                os.close(unclaimed)
            self._arrived = []
            waiting, self._waiting = self._waiting, {}
            for one in waiting.values():
                one.done.set()

    async def request(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> tuple[Message, list[int]]:
        """The reply and its descriptors. Raises Refused with the keeper's words, or KeeperGone."""
        if self._socket is None:
            raise KeeperGone
        self._last += 1
        number = self._last
        waiting = self._waiting[number] = _Waiting()
        extra = {"fds": len(descriptors)} if descriptors else {}
        try:
            await self._send(encode({**message, **extra, "id": number}), descriptors)
            await waiting.done.wait()
        except BaseException:  # whoever asked has gone: what comes is for nobody
            self._waiting.pop(number, None)
            for unclaimed in waiting.descriptors:
                os.close(unclaimed)
            raise
        if waiting.reply is None:
            raise KeeperGone
        if failure := waiting.reply.get("error"):
            raise Refused(failure)
        return waiting.reply, waiting.descriptors

    async def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        async with self._sending:
            rest = memoryview(data)
            given = list(descriptors)
            while rest:
                if self._socket is None:
                    raise KeeperGone
                try:
                    sent = socket.send_fds(self._socket, [rest], given) if given else self._socket.send(rest)
                except BlockingIOError:
                    await anyio.wait_writable(self._socket)
                    continue
                except OSError:
                    raise KeeperGone from None
                given = []
                rest = rest[sent:]

    async def _read_once(self, connection: socket.socket) -> bool:
        await anyio.wait_readable(connection)
        try:
            data, descriptors, _, _ = socket.recv_fds(connection, BLOCK, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        self._arrived += descriptors  # they come with the first byte of their message, which may end in a later read
        try:
            for message in self._reader.feed(data):
                self._take(message)
        except BadFrame:
            return False
        return True

    def _take(self, message: Message) -> None:
        if "event" in message:
            self._on_event(message)
            return
        descriptors = descriptors_of(message, self._arrived)
        waiting = self._waiting.pop(message.get("re", 0), None)
        if waiting is None:
            for unclaimed in descriptors:
                os.close(unclaimed)
            return
        waiting.descriptors = descriptors
        waiting.reply = message
        waiting.done.set()
