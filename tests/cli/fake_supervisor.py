"""A supervisor made of canned answers: it serves the frames protocol in a thread of the test.

`answers` maps what is asked ("do") to a function that gets the request and the `Talk` to reply with; requests are
kept in `seen`. Rows are made by `row`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from orchestra.keeper.claim import LOCK
from orchestra.places import Places
from orchestra.wire.frames import Reader, encode

Request = dict[str, Any]


class Talk:
    """One request: what may be replied to it."""

    def __init__(self, connection: socket.socket, number: int, descriptors: list[int]) -> None:
        self._connection = connection
        self._number = number
        self.descriptors = descriptors

    def say(self, descriptors: Sequence[int] = (), **answer: Any) -> None:
        body = encode({"re": self._number, **answer, **({"fds": len(descriptors)} if descriptors else {})})
        socket.send_fds(self._connection, [body], list(descriptors))

    def rows(self, *rows: dict[str, Any]) -> None:
        self.say(rows=list(rows))

    def done(self, **answer: Any) -> None:
        self.say(done=True, **answer)

    def fail(self, what: str, hint: str | None = None, status: int = 1) -> None:
        self.say(error={"what": what, "hint": hint, "status": status})

    def hang_up(self) -> None:
        self._connection.shutdown(socket.SHUT_RDWR)


Answer = Callable[[Request, Talk], None]


class FakeSupervisor:
    """Use as a context; every request is answered in a thread of its own, so that an answer may take its time."""

    def __init__(self, places: Places, answers: dict[str, Answer]) -> None:
        self.places = places
        self.answers = {"status": status(), "owner": owner, **answers}
        self.seen: list[Request] = []
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> FakeSupervisor:
        os.makedirs(self.places.run, mode=0o700, exist_ok=True)
        # A real keeper that is started by mistake finds the stack taken and ends at once.
        self._lock = os.open(f"{self.places.run}/{LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._socket = listening(self.places.run, "api.sock")
        self._open: list[socket.socket] = []
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.vanish()
        for thread in self.threads:
            thread.join(5)
        os.close(self._lock)

    def vanish(self) -> None:
        """Be gone as after `down`: nobody listens any more, and every connection is closed."""
        for each in (self._socket, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def asked(self, what: str) -> list[Request]:
        return [request for request in self.seen if request["do"] == what]

    def _start(self, function: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=function, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(connection)
            self._start(self._converse, connection)

    def _converse(self, connection: socket.socket) -> None:
        reader = Reader()
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 8)
            except OSError:
                return
            if not data:
                return
            for request in reader.feed(data):
                self.seen.append(request)
                taken, descriptors = descriptors[: request.get("fds", 0)], descriptors[request.get("fds", 0) :]
                self._start(self._reply, request, Talk(connection, request["id"], taken))

    def _reply(self, request: Request, talk: Talk) -> None:
        answer = self.answers.get(request["do"])
        try:
            if answer is None:
                talk.fail(f"the fake does not know {request['do']}")
            else:
                answer(request, talk)
        except OSError:  # the client has gone
            pass


def owner(request: Request, talk: Talk) -> None:
    """Every service is the stack's own."""
    talk.done(owner="", service=request["service"])


def listening(directory: str, name: str) -> socket.socket:
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        found.bind(f"/proc/self/fd/{folder}/{name}")
        found.listen()
        return found
    finally:
        os.close(folder)


def row(service: str, replica: int = 1, stack: str = "store", **fields: Any) -> dict[str, Any]:
    """A container that has been running since the epoch's second 1000."""
    name = f"{stack}-{service}-{replica}"
    return {
        "name": name,
        "service": service,
        "replica": replica,
        "oneoff": False,
        "state": "running",
        "health": "",
        "pid": 4711,
        "run": 1,
        "restarts": 0,
        "created": 1000.0,
        "started": 1000.0,
        "ended": None,
        "exit_code": None,
        "last_exit": "",
        "why": "",
        "ports": [],
        "addresses": {"default": "10.89.0.2"},
        "networks": [f"{stack}_default"],
        "mounts": [],
        "command": f"python -m {service}",
        "logs": f"/nonexistent/{name}",
        "labels": {},
        **fields,
    }


def status(*rows: dict[str, Any], stack: str = "store") -> Answer:
    """Answers `status` with these containers."""

    def answer(_: Request, talk: Talk) -> None:
        talk.done(
            stack=stack,
            directory="/srv/store",
            files=["/srv/store/store.yml"],
            supervisor=2,
            keeper=1,
            rows=list(rows),
            networks={"default": "10.89.0.0/24"},
            notices=[],
            uses=[],
            used_by=[],
            lent=[],
        )

    return answer
