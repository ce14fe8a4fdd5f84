"""The five services of the store as plain processes on loopback: no root, no containers, the same programs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"
STORE = EXAMPLES / "store"
LIB = EXAMPLES / "lib"
SERVICES = ("accounts", "catalog", "cart", "orders", "web")


def folder_of(name: str) -> Path:
    """Where the program of a service is; accounts belongs to a stack of its own."""
    return EXAMPLES / "accounts/accounts" if name == "accounts" else STORE / name


class Store:
    """Starts, kills and asks the services. Data of each lie in a folder of their own, as on its volume."""

    services: tuple[str, ...] = SERVICES

    def __init__(self, directory: Path, environment: Mapping[str, str] = {}) -> None:
        self.directory = directory
        self.ports = dict(zip(self.services, free_ports(len(self.services)), strict=True))
        self._environment = dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @staticmethod
    def folder_of(name: str) -> Path:
        return folder_of(name)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self, *names: str) -> None:
        """Start these services, or all, and wait until each says that it is healthy."""
        for name in names or self.services:
            data = self.directory / name
            data.mkdir(parents=True, exist_ok=True)
            with (self.directory / f"{name}.log").open("ab") as log:
                self._running[name] = subprocess.Popen(
                    [sys.executable, str(self.folder_of(name) / "main.py")],
                    env=self._environment_of(name),
                    stdout=log,
                    stderr=log,
                )
        for name in names or self.services:
            eventually(lambda name=name: self.is_healthy(name), f"{name} to be healthy", self.log(name))  # type: ignore[misc]

    def _environment_of(self, name: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(LIB),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOST": "127.0.0.1",
            "PORT": str(self.ports[name]),
            "DATA_DIR": str(self.directory / name),
            **{f"{peer.upper()}_URL": self.url(peer) for peer in self.services},
            **self._environment,
        }

    def is_healthy(self, name: str) -> bool:
        try:
            return self.ask(name, "GET", "/health")[0] == 200
        except OSError:
            return False

    def kill(self, name: str) -> None:
        """As by `kill -9`."""
        self._end(name, signal.SIGKILL)

    def stop(self, name: str) -> int:
        """As `orchestra stop` does it; returns the exit code."""
        return self._end(name, signal.SIGTERM)

    def stop_all(self) -> None:
        for name in list(self._running):
            self.kill(name)

    def _end(self, name: str, number: signal.Signals) -> int:
        process = self._running.pop(name)
        process.send_signal(number)
        return process.wait(timeout=10)

    def log(self, name: str) -> Callable[[], str]:
        return lambda: (self.directory / f"{name}.log").read_text()

    def ask(
        self, name: str, method: str, path: str, body: Any = None, token: str = "", key: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """One JSON request: the status, and the object of the answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["Idempotency-Key"] = key
        connection = HTTPConnection("127.0.0.1", self.ports[name], timeout=15)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def signed_in(self, email: str = "ada@example.org") -> tuple[str, str]:
        """A new account with a session: its id and the token."""
        person = {"email": email, "name": "Ada", "password": "correct horse"}
        assert self.ask("accounts", "POST", "/accounts", person)[0] == 201
        status, session = self.ask("accounts", "POST", "/sessions", person)
        assert status == 201
        return session["account"]["id"], session["token"]


class Forum(Store):
    """The forum's services, and accounts."""

    services = ("accounts", "topics", "web")

    @staticmethod
    def folder_of(name: str) -> Path:
        return folder_of(name) if name == "accounts" else EXAMPLES / "forum" / name


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def eventually(condition: Callable[[], bool], what: str, more: Callable[[], str] = str, longest: float = 15) -> None:
    """Wait until the condition holds; fail with what was waited for."""
    until = time.monotonic() + longest
    while not condition():
        assert time.monotonic() < until, f"waited {longest} s for {what}\n{more()}"
        time.sleep(0.01)
