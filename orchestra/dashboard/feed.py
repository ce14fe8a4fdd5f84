"""What the pages are told: numbered changes, the last of them kept for whoever was away for a moment.

A page that comes back says which number it heard last (`Last-Event-ID`); it gets what it missed, or, where that is
not kept any more, a new beginning. A change is encoded once, however many pages there are.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

KEPT = 2000
"""Changes that are kept for pages that were away."""
LONGEST_QUEUE = 1000
"""Changes that a page may be behind; then it is cut off, and comes back when it can."""


def frame(kind: str, message: Any, number: str | None = None) -> bytes:
    """One event of a stream (HTML, server-sent events)."""
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {kind}\ndata: {json.dumps(message, separators=(',', ':'))}\n\n".encode()


class Feed:
    def __init__(self) -> None:
        self._life = secrets.token_hex(4)  # numbers of another life of this server mean nothing here
        self._last = 0
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._pages: set[MemoryObjectSendStream[bytes]] = set()

    @property
    def mark(self) -> str:
        """The number of the last change."""
        return f"{self._life}-{self._last}"

    def publish(self, kind: str, message: Any) -> None:
        self._last += 1
        encoded = frame(kind, message, self.mark)
        self._kept.append((self._last, encoded))
        for page in list(self._pages):
            offer(page, encoded)

    def missed(self, mark: str) -> list[bytes] | None:
        """What came after `mark`; None where that cannot be told."""
        life, _, number = mark.partition("-")
        if life != self._life or not number.isdigit():
            return None
        last = int(number)
        if (
            last > self._last
            or (self._kept and last < self._kept[0][0] - 1)
            or (not self._kept and last < self._last)
        ):
            return None
        return [encoded for each, encoded in self._kept if each > last]

    @contextmanager
    def listen(self) -> Iterator[tuple[MemoryObjectSendStream[bytes], MemoryObjectReceiveStream[bytes]]]:
        """Changes from now on. The sending end is for what only this page asked for. It closes on who is too slow."""
        given, heard = anyio.create_memory_object_stream[bytes](LONGEST_QUEUE)
        self._pages.add(given)
        try:
            yield given, heard
        finally:
            self._pages.discard(given)
            given.close()
            heard.close()


def offer(page: MemoryObjectSendStream[bytes], encoded: bytes) -> None:
    """To a page that does not read any more: let it go rather than leave something out in the middle."""
    try:
        page.send_nowait(encoded)
    except anyio.WouldBlock:
        page.close()
    except (anyio.ClosedResourceError, anyio.BrokenResourceError):
        return  # it has just gone
