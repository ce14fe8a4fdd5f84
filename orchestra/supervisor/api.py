"""The API socket: who may talk, requests in, answers out. What a request does is in `requests`."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import anyio
import anyio.abc

from .. import ours
from ..errors import OrchestraError
from ..places import Places
from ..wire.frames import BadFrame, Message, Reader, descriptors_of, encode

BLOCK = 1 << 16
MOST_DESCRIPTORS = 16
BACKLOG = 128

Handler = Callable[[Message, list[int], "Caller"], Awaitable[dict[str, Any]]]


class Caller:
    """One connection of a client. Answers of several requests share it, frame by frame."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = anyio.Lock()
        self.stack = ""  # the stack whose supervisor it is, once it has said so

    async def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Raises OSError when the client has gone."""
        extra = {"fds": len(descriptors)} if descriptors else {}
        rest = memoryview(encode({**message, **extra}))
        given = list(descriptors)
        async with self._sending:
            while rest:
                try:
                    sent = socket.send_fds(self._connection, [rest], given) if given else self._connection.send(rest)
                except BlockingIOError:
                    await anyio.wait_writable(self._connection)
                    continue
                given = []
                rest = rest[sent:]


class Api:
    """Listens as soon as it is made, so that a client that comes early waits in the queue and is not turned away."""

    def __init__(self, places: Places, handlers: dict[str, Handler]) -> None:
        self._handlers = handlers
        self._places = places
        self._listen()

    def _listen(self) -> None:
        self._socket = listen(self._places.run, "api.sock")
        self._place = os.lstat(self._places.api_socket)
        self._accepting = anyio.CancelScope()

    def is_there(self) -> bool:
        """Whether clients find the socket."""
        try:
            return os.path.samestat(os.lstat(self._places.api_socket), self._place)
        except OSError:
            return False

    def listen_anew(self) -> None:
        """Raises OSError."""
        before, accepting = self._socket, self._accepting
        self._listen()
        accepting.cancel()
        before.close()

    async def serve(self) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                with self._accepting:
                    await self._accept(tasks)

    async def _accept(self, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            await anyio.wait_readable(self._socket)
            try:
                connection, _ = self._socket.accept()
            except OSError:  # gone again, or no descriptor left: the next one may do better
                await anyio.sleep(0.01)
                continue
            if _may_enter(connection):
                tasks.start_soon(self._converse, connection)
            else:
                connection.close()

    async def _converse(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        caller = Caller(connection)
        with contextlib.closing(connection):
            async with anyio.create_task_group() as tasks:
                with contextlib.suppress(BadFrame, OSError):
                    async for message, descriptors in _messages(connection):
                        tasks.start_soon(self._answer, message, descriptors, caller)
                tasks.cancel_scope.cancel()  # nobody is there to hear the answers

    async def _answer(self, message: Message, descriptors: list[int], caller: Caller) -> None:
        number = message.get("id")
        try:
            handler = self._handlers.get(str(message.get("do")))
            if handler is None:
                raise OrchestraError(
                    f"the supervisor does not know {message.get('do')!r}", "is orchestra newer than what runs?"
                )
            done = await handler(message, descriptors, caller)
            await caller.send({"re": number, "done": True, **done})
        except OrchestraError as error:
            trouble = {"what": error.what, "hint": error.hint, "status": error.status}
            with contextlib.suppress(OSError):
                await caller.send({"re": number, "error": trouble})
        except ConnectionError:
            return  # the client has gone; what it asked for goes on
        except OSError as error:  # want of room, descriptors, memory: nobody's fault
            trouble = {
                "what": f"the system refuses it: {error}",
                "hint": "see what it lacks",
                "status": 1,
            }
            with contextlib.suppress(OSError):
                await caller.send({"re": number, "error": trouble})
        except Exception:  # noqa: BLE001 - a fault of ours in one request must not take the others along
            traceback.print_exc()
            trouble = {"what": "a fault in orchestra", "hint": f"see {self._places.own_log}", "status": 1}
            with contextlib.suppress(OSError):
                await caller.send({"re": number, "error": trouble})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


async def _messages(connection: socket.socket) -> AsyncIterator[tuple[Message, list[int]]]:
    """Each message with the descriptors that belong to it, until the client goes away."""
    reader = Reader()
    arrived: list[int] = []
    try:
        while True:
            await anyio.wait_readable(connection)
            try:
                data, descriptors, _, _ = socket.recv_fds(
                    connection, BLOCK, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                continue
            if not data:
                return
            arrived += descriptors
            for message in reader.feed(data):
                yield message, descriptors_of(message, arrived)
    finally:
        for unclaimed in arrived:
            os.close(unclaimed)


def listen(directory: str, name: str) -> socket.socket:
    """A unix socket that only its owner can reach; the path may be longer than sun_path (unix(7))."""
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        temporary = f".{name}.{os.getpid()}"
        ours.clear(f"{directory}/{temporary}")
        fresh.bind(f"/proc/self/fd/{folder}/{temporary}")
        os.chmod(temporary, 0o600, dir_fd=folder)
        fresh.listen(BACKLOG)
        fresh.setblocking(False)
        # Renamed over the old one: a client finds either somebody who listens or nobody, never a half-made socket.
        ours.put(f"{directory}/{temporary}", f"{directory}/{name}")
        return fresh
    finally:
        os.close(folder)


def _may_enter(connection: socket.socket) -> bool:
    """Only root and whoever this supervisor runs as (SO_PEERCRED, unix(7))."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return uid in (0, os.getuid())
