"""The one way into a running stack: a blocking connection to its supervisor, for command line and dashboard.

Imports stay few on purpose: a command has to feel instant.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .errors import OrchestraError
from .places import Places
from .wire.frames import BadFrame, Message, Reader, encode

BLOCK = 1 << 16
MOST_DESCRIPTORS = 8


class NotRunning(OrchestraError):
    """No supervisor answers for this stack."""

    def __init__(self, stack: str) -> None:
        super().__init__(f"stack {stack} is not running", "orchestra up starts it")


class Connection:
    """Requests out, answers in; use as a context. `descriptors` gathers what came along with the answers."""

    def __init__(self, places: Places, patience: float = 0.0) -> None:
        """Connect, trying again for `patience` seconds (a supervisor that is just starting).

        Raises NotRunning when nobody answers.
        """
        self._socket = _connect(places, patience)
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

    def send(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> int:
        """Send a request without waiting; returns its number."""
        self._last += 1
        message: Message = {**request, "id": self._last}
        if not descriptors:
            self._socket.sendall(encode(message))
            return self._last
        message["fds"] = len(descriptors)
        body = encode(message)
        sent = socket.send_fds(self._socket, [body], list(descriptors))
        self._socket.sendall(body[sent:])
        return self._last

    def receive(self) -> list[Message]:
        """What one read brings: no, one or several answers. Raises EOFError when the supervisor went away."""
        data, descriptors, _, _ = socket.recv_fds(self._socket, BLOCK, MOST_DESCRIPTORS)
        self.descriptors += descriptors
        if not data:
            raise EOFError("the supervisor closed the connection")
        return list(self._reader.feed(data))

    def answers(self, number: int) -> Iterator[Message]:
        """Every answer to one request, the one with "done" last. Raises OrchestraError for an "error"."""
        while True:
            try:
                arrived = self.receive()
            except (EOFError, ConnectionError, BadFrame) as error:
                raise OrchestraError(f"the supervisor went away: {error}", "run the command again") from None
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


def _connect(places: Places, patience: float) -> socket.socket:
    end = time.monotonic() + patience
    while True:
        try:
            return dial(places.run, "api.sock")
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() >= end:
                raise NotRunning(places.name) from None
        except PermissionError:
            raise OrchestraError(
                f"stack {places.name} belongs to somebody else: {places.run} is not yours to enter",
                "run orchestra as the user who started it, or with sudo",
            ) from None
        time.sleep(0.003)


def dial(directory: str, name: str) -> socket.socket:
    """Connect to a unix socket whose path may be longer than sun_path's 108 bytes (unix(7))."""
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connected.connect(f"/proc/self/fd/{folder}/{name}")
        except OSError:
            connected.close()
            raise
        return connected
    finally:
        os.close(folder)
