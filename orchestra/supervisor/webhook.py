"""One message to one receiver of alerts: a POST, nothing followed, nothing kept.

What goes wrong is told with the receiver's name and host only: its address and headers may hold secrets.
"""

from __future__ import annotations

import json
import os
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
    """Blocks for at most some `timeout`s. Raises OrchestraError, or Temporary where trying again makes sense.

    `message`: the fields of the JSON; "title" and "text" are what a plain receiver (ntfy and its like) gets, with
    the title, an urgency and a tag in headers as ntfy.sh has them (docs.ntfy.sh/publish).
    """
    parts = urlsplit(receiver.url)
    place = f"{receiver.name} ({parts.hostname})"
    headers = {"User-Agent": "orchestra", **_headers(receiver, message), **receiver.headers}
    body = str(message["text"]) if receiver.format == "text" else json.dumps(message)
    connection = _connection(receiver, parts.scheme, parts.hostname or "", parts.port)
    try:
        path = parts.path or "/"
        connection.request("POST", f"{path}?{parts.query}" if parts.query else path, body.encode(), headers)
        answer = connection.getresponse()
        answer.read(MOST_ANSWER)
    except TimeoutError:
        raise Temporary(f"{place} did not answer within {receiver.timeout:g} s") from None
    except OSError as error:
        raise Temporary(f"{place} cannot be reached: {_words(error)}") from None
    except Exception as error:  # noqa: BLE001 - http.client has many, some with the address in their words
        raise OrchestraError(f"{place} answers what is not HTTP ({type(error).__name__})") from None
    finally:
        connection.close()
    if answer.status == 429 or answer.status >= 500:
        raise Temporary(f"{place} answered {answer.status}")
    if not 200 <= answer.status < 300:
        raise OrchestraError(f"{place} answered {answer.status}", "an address that leads elsewhere is not followed")


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
