"""Frames between processes: four bytes of length, big endian, then that much JSON. Bytes in, messages out.

A `Reader` never touches a socket, so a test can feed it one byte at a time. A frame over `LIMIT` is refused, not
cut. Descriptors travel beside the bytes (SCM_RIGHTS); a message says with "fds": N that N of them belong to it.
"""

from __future__ import annotations

from .compact import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LIMIT = 16 * 1024 * 1024
Message = dict[str, "Any"]


class BadFrame(Exception):
    """The other side does not keep to the protocol; the connection is of no more use."""


def descriptors_of(message: Message, arrived: list[int]) -> list[int]:
    """The descriptors that a message says are its own, taken from those that have arrived. Raises BadFrame."""
    count = message.get("fds", 0)
    if not isinstance(count, int) or not 0 <= count <= len(arrived):
        raise BadFrame("descriptors are missing")
    own = arrived[:count]
    del arrived[:count]
    return own


def encode(message: Message) -> bytes:
    body = dumps(message).encode()
    if len(body) > LIMIT:
        raise BadFrame(f"a message of {len(body)} bytes is over the limit of {LIMIT}")
    return len(body).to_bytes(4, "big") + body


class Reader:
    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        self._rest += data
        while len(self._rest) >= 4:
            length = int.from_bytes(self._rest[:4], "big")
            if length > LIMIT:
                raise BadFrame(f"a frame of {length} bytes is over the limit of {LIMIT}")
            if len(self._rest) < 4 + length:
                return
            body = bytes(self._rest[4 : 4 + length])
            del self._rest[: 4 + length]
            try:
                message = loads(body.decode())
            except (ValueError, RecursionError) as error:  # or nested so deeply that it can only be meant to hurt
                raise BadFrame(f"not JSON: {error}") from None
            if not isinstance(message, dict):
                raise BadFrame("not an object")
            yield message
