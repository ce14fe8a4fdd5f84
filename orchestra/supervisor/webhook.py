"""One message to one receiver of alerts: a POST, nothing followed, nothing kept.

What goes wrong is told with the receiver's name and host only: its address and headers may hold secrets.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import OrchestraError
from ..stack.model import Receiver

if TYPE_CHECKING:
    from http.client import HTTPConnection

MOST_ANSWER = 4096
Message = Mapping[str, object]


class Temporary(OrchestraError):
    """It may go better later: no connection, no answer in time, 429 or 5xx."""


def send(receiver: Receiver, message: Message) -> None:
    """Blocks for the receiver's `timeout` at most, from the look-up of its name to the last byte of its answer,
    however slowly that comes. Raises OrchestraError, or Temporary where trying again makes sense.

    `message`: the fields of the JSON; "title" and "text" are what a plain receiver (ntfy and its like) gets, with
    the title, an urgency and a tag in headers as ntfy.sh has them (docs.ntfy.sh/publish).
    """
    parts = urlsplit(receiver.url)
    place = f"{receiver.name} ({parts.hostname})"
    headers = {"User-Agent": "orchestra", **_headers(receiver, message), **receiver.headers}
    body = str(message["text"]) if receiver.format == "text" else json.dumps(message)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    connection = _connection(receiver, parts.scheme, parts.hostname or "", parts.port)
    try:
        status = _Exchange(connection, path, body.encode(), headers).within(receiver.timeout)
    except TimeoutError:
        raise Temporary(f"{place} did not answer within {receiver.timeout:g} s") from None
    except OSError as error:
        raise Temporary(f"{place} cannot be reached: {_words(error)}") from None
    except Exception as error:  # noqa: BLE001 - http.client has many, some with the address in their words
        raise OrchestraError(f"{place} answers what is not HTTP ({type(error).__name__})") from None
    if status == 429 or status >= 500:
        raise Temporary(f"{place} answered {status}")
    if not 200 <= status < 300:
        raise OrchestraError(f"{place} answered {status}", "an address that leads elsewhere is not followed")


class _Exchange:
    """A request and its answer on a thread of their own: the timeout of a socket begins anew with each byte, and
    getaddrinfo(3) has none, so that only who waits for the thread can hold to a time."""

    def __init__(self, connection: HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self._request = (path, body, headers)
        self._over = False
        self._status = 0
        self._failure: Exception | None = None

    def within(self, seconds: float) -> int:
        """The status. Raises TimeoutError, or what went wrong."""
        thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            self._over = True
            self._cut()
            raise TimeoutError
        if self._failure is not None:
            raise self._failure
        return self._status

    def _run(self) -> None:
        path, body, headers = self._request
        try:
            self._connection.connect()
            if not self._over:  # nothing is sent of which it has been said that it could not be
                self._connection.request("POST", path, body, headers)
                answer = self._connection.getresponse()
                answer.read(MOST_ANSWER)
                self._status = answer.status
        except Exception as failure:  # noqa: BLE001 - raised again for who waits
            self._failure = failure
        finally:
            self._connection.close()

    def _cut(self) -> None:
        """End the thread: what it waits for on the socket is over."""
        opened = self._connection.sock
        if opened is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(opened, socket.SHUT_RDWR)


def _connection(receiver: Receiver, scheme: str, host: str, port: int | None) -> HTTPConnection:
    from http.client import HTTPConnection, HTTPSConnection  # only once there is something to send

    if scheme == "http":
        return HTTPConnection(host, port, timeout=receiver.timeout)
    import ssl

    return HTTPSConnection(host, port, timeout=receiver.timeout, context=ssl.create_default_context())


def _headers(receiver: Receiver, message: Message) -> dict[str, str]:
    if receiver.format == "json":
        return {"Content-Type": "application/json"}
    firing = message["status"] == "firing"
    return {
        "Content-Type": "text/plain; charset=utf-8",
        "Title": str(message["title"]).encode("ascii", "replace").decode(),
        "Priority": "high" if firing else "default",
        "Tags": "warning" if firing else "white_check_mark",
    }


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else type(error).__name__
