"""The one way into a running stack: a blocking connection to its supervisor, for command line and dashboard.

Imports stay few on purpose: a command has to feel instant. The C half of socket does what is needed here; making
enumerations of all its constants, as `import socket` does, takes longer than a whole `ps`.
"""

from __future__ import annotations

import os
import time
from _socket import (
    AF_UNIX,
    CMSG_LEN,
    MSG_CMSG_CLOEXEC,
    SCM_RIGHTS,
    SO_PEERCRED,
    SOCK_CLOEXEC,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from struct import calcsize, pack, unpack

from .errors import OrchestraError
from .places import Places
from .wire.frames import BadFrame, Message, Reader, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

BLOCK = 1 << 16
MOST_DESCRIPTORS = 8
INT = calcsize("i")
CROWDED = 5.0  # seconds that a caller waits for room in the queue
SILENCE = 2.0  # seconds without a word after which to look whether who should answer can


class NotRunning(OrchestraError):
    """No supervisor answers for this stack."""

    def __init__(self, stack: str) -> None:
        super().__init__(f"stack {stack} is not running", "orchestra up starts it")


class SupervisorGone(OrchestraError):
    """It ended before it had answered; its successor may be asked again."""


class Stopped(OrchestraError):
    """Keeper or supervisor has been stopped by a signal: it is there, and answers nobody."""

    def __init__(self, what: str, stack: str, pid: int) -> None:
        super().__init__(
            f"the {what} of stack {stack} is stopped (SIGSTOP, pid {pid}): it answers nobody",
            f"kill -CONT {pid} lets it go on; its containers are not concerned",
        )


class Connection:
    """Requests out, answers in; use as a context. `descriptors` gathers what came along with the answers."""

    def __init__(self, places: Places, patience: float = 0.0) -> None:
        """Connect, trying again for `patience` seconds (a supervisor that is just starting).

        Raises NotRunning when nobody answers, Stopped when the supervisor cannot.
        """
        self._places = places
        self._socket = _connect(places, patience)
        self._socket.settimeout(SILENCE)
        try:
            self.look(keeper=False, patience=SILENCE)
        except Stopped:
            self._socket.close()
            raise
        self._reader = Reader()
        self._last = 0
        self.descriptors: list[int] = []

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()

    def fileno(self) -> int:
        return self._socket.fileno()

    def look(self, *, keeper: bool = True, patience: float = 0.0) -> None:
        """Raises Stopped when the supervisor, or the `keeper` that it relies on, is stopped and stays so."""
        refuse_stopped("supervisor", self._places.name, peer_of(self._socket), patience)
        if keeper:
            look_at_keeper(self._places, patience)

    def send(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> int:
        """Send a request without waiting; returns its number. Raises SupervisorGone."""
        self._last += 1
        message: Message = {**request, "id": self._last}
        besides: list[tuple[int, int, bytes]] = []
        if descriptors:
            message["fds"] = len(descriptors)
            besides = [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(descriptors)}i", *descriptors))]
        rest = memoryview(encode(message))
        while rest:
            try:
                rest = rest[self._socket.sendmsg([rest], besides) :]
                besides = []
            except TimeoutError:
                self.look(keeper=False)
            except ConnectionError as error:
                raise SupervisorGone(f"the supervisor went away: {error}", "run the command again") from None
        return self._last

    def receive(self) -> list[Message]:
        """What one read brings: no, one or several answers. Raises EOFError when the supervisor went away."""
        room = CMSG_LEN(MOST_DESCRIPTORS * INT)
        while True:
            try:
                data, besides, _, _ = self._socket.recvmsg(BLOCK, room, MSG_CMSG_CLOEXEC)
                break
            except TimeoutError:
                self.look(keeper=False)
        for level, kind, rights in besides:
            if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
                whole = len(rights) - len(rights) % INT
                self.descriptors += unpack(f"{whole // INT}i", rights[:whole])
        if not data:
            raise EOFError("the supervisor closed the connection")
        return list(self._reader.feed(data))

    def answers(self, number: int) -> Iterator[Message]:
        """Every answer to one request, the one with "done" last. Raises OrchestraError for an "error"."""
        while True:
            try:
                arrived = self.receive()
            except (EOFError, ConnectionError, BadFrame) as error:
                raise SupervisorGone(f"the supervisor went away: {error}", "run the command again") from None
            for answer in arrived:
                if answer.get("re") != number:
                    continue
                if trouble := answer.get("error"):
                    raise OrchestraError(trouble["what"], trouble.get("hint"), trouble.get("status", 1))
                yield answer
                if answer.get("done"):
                    return

    def call(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> Message:
        """Send and wait for the last answer."""
        last: Message = {}
        for answer in self.answers(self.send(request, descriptors)):
            last = answer
        return last


def _connect(places: Places, patience: float) -> socket:
    begun = time.monotonic()
    end = begun + patience
    while True:
        try:
            return dial(places.run, "api.sock")
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            if time.monotonic() >= end:
                raise NotRunning(places.name) from None
        except BlockingIOError:
            if time.monotonic() >= max(end, begun + CROWDED):
                raise OrchestraError(
                    f"the supervisor of stack {places.name} takes no more callers: too many wait for it already",
                    "look with `ps -o pid,stat,args -C orchestra-supervisor`: in state T it is stopped",
                ) from None
        except PermissionError:
            raise OrchestraError(
                f"stack {places.name} belongs to somebody else: {places.run} is not yours to enter",
                "run orchestra as the user who started it, or with sudo",
            ) from None
        time.sleep(0.003)


def look_at_keeper(places: Places, patience: float = 0.0) -> None:
    """Raises Stopped when the stack's keeper is there and stopped."""
    try:
        asked = dial(places.run, "keeper.sock")
    except OSError:
        return
    try:
        pid = peer_of(asked)
    finally:
        asked.close()
    refuse_stopped("keeper", places.name, pid, patience)


def peer_of(connected: socket) -> int:
    """The pid of who listens at the other end (SO_PEERCRED, unix(7))."""
    credentials: tuple[int, int, int] = unpack("3i", connected.getsockopt(SOL_SOCKET, SO_PEERCRED, 3 * INT))
    return credentials[0]


def refuse_stopped(what: str, stack: str, pid: int, patience: float) -> None:
    end = time.monotonic() + patience
    while _is_stopped(pid):
        if time.monotonic() >= end:
            raise Stopped(what, stack, pid)
        time.sleep(0.05)


def _is_stopped(pid: int) -> bool:
    """By its state, T or t (proc_pid_stat(5)); one that is gone is not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in b"Tt"
    except OSError:
        return False


def dial(directory: str, name: str) -> socket:
    """Connect to a unix socket whose path may be longer than sun_path's 108 bytes (unix(7)).

    Raises OSError: BlockingIOError where so many wait already that there is no room in its queue.
    """
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            connected.settimeout(0)  # who listens and never accepts would be waited for without end
            connected.connect(f"/proc/self/fd/{folder}/{name}")
            connected.settimeout(None)
        except OSError:
            connected.close()
            raise
        return connected
    finally:
        os.close(folder)
