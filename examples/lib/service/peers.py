"""Calls to other services: short timeouts, and patience with a peer that is being started again.

A peer that crashed is back within a second, so "connection refused" is worth waiting out. That is safe for
every call, since nothing was sent. After the request went out nobody knows whether it was carried out, so
only what may be said twice is said again: GET, PUT, DELETE, and a POST with an idempotency key.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from service.server import Refused

PATIENCE = 2.0  # seconds until a peer is said to be away
CONNECT_TIMEOUT = 0.5
ANSWER_TIMEOUT = 3.0
PAUSES = (0.02, 0.05, 0.1, 0.2)  # between tries; the last one repeats


class Away(Refused):
    """A peer does not answer, or answers that it cannot work just now. To our own caller that is a 503."""

    def __init__(self, peer: str) -> None:
        super().__init__(503, f"{peer} is away; try again")
        self.peer = peer


class _NotSent(Exception):
    """The peer could not be reached, so it cannot have done anything."""


class Peer:
    """Another service, found by its name: $ACCOUNTS_URL, or http://accounts:8080."""

    def __init__(self, name: str) -> None:
        self.name = name
        url = urlsplit(os.environ.get(f"{name.upper()}_URL", f"http://{name}:8080"))
        self._host = url.hostname or name
        self._port = url.port or 80

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str = "",
        key: str = "",
        patience: float = PATIENCE,
    ) -> dict[str, Any]:
        """Ask, and return the JSON object of the answer. Raises Refused as the peer said it, or Away."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if key:
            headers["Idempotency-Key"] = key
        status, answer = self._patiently(method, path, json.dumps(body or {}), headers, time.monotonic() + patience)
        if status >= 500:
            raise Away(self.name)
        if status >= 400:
            raise Refused(status, str(answer.get("error", "refused")))
        return answer

    def _patiently(
        self, method: str, path: str, body: str, headers: dict[str, str], until: float
    ) -> tuple[int, dict[str, Any]]:
        repeatable = method != "POST" or "Idempotency-Key" in headers
        tries = 0
        while True:
            try:
                return self._once(method, path, body, headers)
            except _NotSent as error:
                cause: Exception = error
            except (OSError, HTTPException, ValueError) as error:
                if not repeatable or isinstance(error, TimeoutError):
                    raise Away(self.name) from error
                cause = error
            pause = PAUSES[min(tries, len(PAUSES) - 1)]
            if time.monotonic() + pause > until:
                raise Away(self.name) from cause
            time.sleep(pause)
            tries += 1

    def _once(self, method: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        connection = HTTPConnection(self._host, self._port, timeout=CONNECT_TIMEOUT)
        try:
            try:
                connection.connect()
            except OSError as error:  # refused, no such name, no route: a container that is just being replaced
                raise _NotSent from error
            connection.sock.settimeout(ANSWER_TIMEOUT)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            if not isinstance(answer, dict):
                raise ValueError("not a JSON object")
            return response.status, answer
        finally:
            connection.close()
