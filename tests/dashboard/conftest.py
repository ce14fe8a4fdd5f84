"""A dashboard over a home of its own, and a browser in a network without doors but to it."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPResponse
from typing import IO, Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from whole.room import Room
from whole.stage import COMMAND, Stage

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Dashboard:
    """`orchestra dashboard`, from its link to its end."""

    def __init__(
        self, stage: Stage, *options: str, stderr: IO[str] | None = None, desktop: Mapping[str, str] | None = None
    ) -> None:
        """`desktop`: variables by which there is a browser to be opened."""
        self.process = subprocess.Popen(
            [*COMMAND, "dashboard", *([] if desktop else ["--no-open"]), "--port", "0", *options],
            env={**stage.environ, **(desktop or {})},
            cwd=stage.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"(http://127\.0\.0\.1:(\d+))/enter\?token=(\S+)", line)
        assert found, line
        self.url, self.port, self.token = found[1], int(found[2]), found[3]
        self.link = found[0]

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(10) == 0
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()


class Visitor:
    """Asks without a browser, so that it can say whatever it likes of itself."""

    def __init__(self, url: str) -> None:
        self.netloc = urlsplit(url).netloc
        self.cookie = self.key = ""

    def enter(self, token: str) -> None:
        status, headers, text = self.ask("GET", f"/enter?token={token}")
        assert status == 200, text
        self.cookie = headers["set-cookie"].partition(";")[0]
        found = re.search(r'content="([^"]+)"', text)
        assert found
        self.key = found[1]

    def ask(
        self, method: str, path: str, body: str | None = None, **headers: str | None
    ) -> tuple[int, dict[str, str], str]:
        """Headers are spelled with underscores; None leaves out one that it would send."""
        response, connection = self.open(method, path, body, **headers)
        try:
            text = response.read().decode()
        finally:
            connection.close()
        return response.status, {name.lower(): value for name, value in response.headers.items()}, text

    def open(
        self, method: str, path: str, body: str | None = None, **headers: str | None
    ) -> tuple[HTTPResponse, HTTPConnection]:
        said: dict[str, Any] = {"Host": self.netloc, "Cookie": self.cookie, "X-Orchestra-Key": self.key}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection(self.netloc, timeout=20)
        connection.putrequest(method, path, skip_host=True)
        for name, value in said.items():
            if value:
                connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode() if body is not None else None)
        return connection.getresponse(), connection


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One installation for the tests of a module."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    room = Room(CHROMIUM)
    yield room
    room.close()


@pytest.fixture(scope="module")
def browser(room: Room) -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=room.program, args=ARGUMENTS)
        yield browser
        browser.close()


class Watched:
    """What a page did that it must not do."""

    def __init__(self, page: Page, url: str) -> None:
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("console", lambda message: self.wrong.append(message.text) if _is_wrong(message) else None)
        page.on(
            "request", lambda request: self.wrong.append(request.url) if not request.url.startswith(url) else None
        )


def _is_wrong(message: ConsoleMessage) -> bool:
    """A browser also complains of what a supervisor says no to, and that is shown to the person."""
    return message.type == "error" and "409 (Conflict)" not in message.text
