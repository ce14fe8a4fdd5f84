"""Whoever has no session keeps nobody out, whatever they send."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from whole.stage import Stage

from orchestra.dashboard import terminal
from orchestra.dashboard.complaints import Complaints
from orchestra.dashboard.protocols import LONGEST_REQUEST
from orchestra.dashboard.serve import LARGEST_HEAD
from orchestra.dashboard.visitors import MOST_KNOWN, MOST_STRANGERS, Visitors

from .conftest import Dashboard, Visitor

pytestmark = pytest.mark.kernel
MANY = 1000
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
NONSENSE = {
    "bytes": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50,
    "no request": b"hello\r\n\r\n",
    "other version": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two lengths": b"POST /api/leave HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "negative length": b"POST /api/leave HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n",
    "bad chunk": b"POST /api/leave HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "long head": b"GET / HTTP/1.1\r\n{host}X: " + b"x" * 2 * LARGEST_HEAD,
    "long target": b"GET /" + b"x" * 2 * LARGEST_HEAD,
    "many at once": b"GET /healthz HTTP/1.1\r\n{host}\r\n" * 200 + b"\0",
    "odd names": b"GET /%ff%00%e2%80%ae?token=%ff&key=%00 HTTP/1.1\r\n{host}Cookie: \xff\xfe=;;\r\n\r\n",
    "other upgrade": b"GET / HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "no handshake": b"GET /api/stacks/t/exec HTTP/1.1\r\n{host}" + UPGRADE + b"\r\n\xff\xff\xff",
    "a socket with a length": b"GET /x HTTP/1.1\r\n{host}Origin: http://{netloc}\r\nCookie: {cookie}\r\n"
    + UPGRADE
    + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nContent-Length: many\r\n\r\n",
    "half a body": b"POST /api/stacks/t/actions HTTP/1.1\r\n{host}Cookie: {cookie}\r\nX-Orchestra-Key: {key}\r\n"
    b'Content-Length: 100\r\n\r\n{"do"',
    "an answer": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the dashboard writes on its terminal."""
    return tmp_path_factory.mktemp("said") / "stderr"


@pytest.fixture(scope="module")
def dashboard(stage: Stage, said: Path) -> Iterator[Dashboard]:
    with open(said, "w") as stderr:
        dashboard = Dashboard(stage, stderr=stderr)
    yield dashboard
    dashboard.close()


@pytest.fixture(scope="module")
def visitor(dashboard: Dashboard) -> Visitor:
    visitor = Visitor(dashboard.url)
    visitor.enter(dashboard.token)
    return visitor


def connected(dashboard: Dashboard) -> socket.socket:
    return socket.create_connection(("127.0.0.1", dashboard.port), 30)


def is_cut(connection: socket.socket) -> bool:
    """Whether the other side closes, in whatever way, within the time-out."""
    try:
        while connection.recv(65536):
            continue
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def test_a_thousand_unfinished_requests_block_nobody(dashboard: Dashboard, visitor: Visitor) -> None:
    """Who is in is answered, on a new connection and on an old one, and who is not may still open the link."""
    stream, open_ = visitor.open("GET", "/api/stream")
    with contextlib.ExitStack() as flood:
        flood.callback(open_.close)
        held = []
        for number in range(MANY):
            one = flood.enter_context(connected(dashboard))
            one.sendall((b"", b"GET /enter?token=", b"GET / HTTP/1.1\r\nHost: x\r\n")[number % 3])
            held.append(one)
        assert visitor.ask("GET", "/api/state")[0] == 200
        assert Visitor(dashboard.url).ask("GET", "/enter?token=wrong")[0] == 401
        assert stream.readline().startswith(b"retry")
        assert all(is_cut(one) for one in held[: MANY - MOST_STRANGERS - 10])
        # The newest wait for their time to be over.
        begun = time.monotonic()
        held[-1].settimeout(3 * LONGEST_REQUEST)
        assert is_cut(held[-1])
        assert time.monotonic() - begun < 3 * LONGEST_REQUEST
        assert not stream.closed  # an answer may take as long as it likes
        assert visitor.ask("GET", "/api/state")[0] == 200


@pytest.mark.parametrize("name", NONSENSE)
@pytest.mark.parametrize("end", ["closed", "reset"])
def test_nonsense_leaves_no_traceback(
    dashboard: Dashboard, visitor: Visitor, said: Path, name: str, end: str
) -> None:
    """Whatever comes in, and however it ends: the next one is answered, and the terminal stays readable."""
    words = NONSENSE[name]
    for key, value in {
        b"{host}": b"Host: {netloc}\r\n",
        b"{netloc}": visitor.netloc.encode(),
        b"{cookie}": visitor.cookie.encode(),
        b"{key}": visitor.key.encode(),
    }.items():
        words = words.replace(key, value)
    with connected(dashboard) as connection:
        connection.settimeout(0.2)
        with contextlib.suppress(OSError):
            connection.sendall(words)
            connection.recv(4096)
        if end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert visitor.ask("GET", "/api/state")[0] == 200
    assert "Traceback" not in said.read_text()
    assert len(said.read_text().splitlines()) <= 1


def test_a_body_that_does_not_come_is_not_waited_for(dashboard: Dashboard, visitor: Visitor) -> None:
    """Nor with a session."""
    with connected(dashboard) as connection:
        connection.settimeout(3 * LONGEST_REQUEST)
        head = f"Host: {visitor.netloc}\r\nCookie: {visitor.cookie}\r\nX-Orchestra-Key: {visitor.key}\r\n"
        connection.sendall(f"POST /api/stacks/t/actions HTTP/1.1\r\n{head}Content-Length: 5\r\n\r\n12".encode())
        assert is_cut(connection)


class Typing:
    """In place of a socket: somebody types one word, and goes."""

    def __init__(self) -> None:
        self._messages = [{"type": "websocket.receive", "bytes": b"word"}, {"type": "websocket.disconnect"}]

    async def receive(self) -> dict:
        return self._messages.pop(0)


def test_who_types_when_the_process_has_ended_is_told_its_end() -> None:
    """And the server has nothing to complain of."""
    process, master = os.pipe()
    os.close(process)
    os.set_blocking(master, False)
    try:
        anyio.run(terminal._type, Typing(), master)
    finally:
        os.close(master)


def test_only_errors_of_its_own_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """In one line that commands no terminal, and not again soon; what is cut off at the end is no error."""
    complaints = Complaints()

    def said(error: BaseException) -> str:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "odd\nmore", None, (type(error), error, None))
        complaints.handle(record)
        return capsys.readouterr().err

    assert said(asyncio.CancelledError()) == ""
    assert said(ValueError("\x1b[2J")) == "dashboard: odd: ValueError: \\x1b[2J\n"
    assert said(ValueError("again")) == ""


class Line:
    def __init__(self) -> None:
        self.over = False

    def abort(self) -> None:
        self.over = True


def test_places_are_taken_from_who_has_most() -> None:
    """The oldest of its connections; not from who has shown a session, nor from who has few."""
    visitors = Visitors()
    known, few, flood = Line(), Line(), [Line() for _ in range(MANY)]
    visitors.came(("10.0.0.1", 1), known)
    visitors.is_known(("10.0.0.1", 1))
    visitors.came(("10.0.0.2", 1), few)
    for port, one in enumerate(flood):
        visitors.came(("10.0.0.3", port), one)
    assert not known.over
    assert not few.over
    assert [one.over for one in flood] == [True] * (MANY - MOST_STRANGERS + 1) + [False] * (MOST_STRANGERS - 1)


def test_who_is_known_is_bounded_too() -> None:
    """A port that was used again is another connection."""
    visitors = Visitors()
    lines = [Line() for _ in range(MOST_KNOWN + 1)]
    for port, one in enumerate(lines):
        visitors.came(("10.0.0.1", port), one)
        visitors.is_known(("10.0.0.1", port))
    assert [one.over for one in lines] == [True] + [False] * MOST_KNOWN
    again = Line()
    visitors.came(("10.0.0.1", 5), again)
    visitors.left(("10.0.0.1", 5), lines[0])
    visitors.is_known(("10.0.0.1", 5))
    assert lines[1].over
