"""How many conversations the relay carries: a share of the supervisor's descriptors, for one port half of it.

Where there is no room left, the one that has been silent for longest makes way, if it has been so for a while; else
the new one is turned away.
"""

from __future__ import annotations

import resource
import time
from collections import OrderedDict
from collections.abc import Callable

import anyio

from .ports import Key

SHARE = 4
"""One in so many of the descriptors that a process may have is the relay's; a conversation has two."""
QUIET = 5.0
"""Seconds of silence after which a conversation may have to make way."""
HALF_CLOSED = 120.0
"""Seconds of silence after which a connection ends of which one side has (nf_conntrack_tcp_timeout_fin_wait)."""


class Conversation:
    def __init__(self, key: Key) -> None:
        self.key = key
        self.scope = anyio.CancelScope()
        self.heard = time.monotonic()
        self._half_closed = False

    def hear(self) -> None:
        """Somebody has said something."""
        self.heard = time.monotonic()
        if self._half_closed:
            self.half_close()

    def half_close(self) -> None:
        """One side has ended: the other one has not for ever."""
        self._half_closed = True
        self.scope.deadline = anyio.current_time() + HALF_CLOSED

    def silent(self) -> float:
        """Seconds since somebody said something."""
        return time.monotonic() - self.heard


class Conversations:
    """By port, the one that has been silent for longest first."""

    def __init__(self, full: Callable[[Key, int], None]) -> None:
        """`full` is told which port has as many as it may have, and how many those are."""
        self._full = full
        self._by_port: dict[Key, OrderedDict[Conversation, None]] = {}

    def enter(self, key: Key) -> Conversation | None:
        """A new one; None where there is no room. Whoever has entered leaves."""
        most = max(2, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SHARE // 2)
        own = self._by_port.get(key, ())
        if len(own) >= most // 2:
            self._full(key, most // 2)
            if not self._make_room(key):
                return None
        elif sum(map(len, self._by_port.values())) >= most and not self._make_room(*self._by_port):
            return None
        fresh = Conversation(key)
        self._by_port.setdefault(key, OrderedDict())[fresh] = None
        return fresh

    def heard(self, one: Conversation) -> None:
        """Somebody has said something in it."""
        one.hear()
        port = self._by_port.get(one.key)
        if port is not None and one in port:
            port.move_to_end(one)

    def leave(self, one: Conversation) -> None:
        port = self._by_port.get(one.key)
        if port is not None:
            port.pop(one, None)
            if not port:
                del self._by_port[one.key]

    def make_room(self) -> bool:
        """End one that has been silent for a while; False where there is none."""
        return self._make_room(*self._by_port)

    def _make_room(self, *keys: Key) -> bool:
        oldest = min((next(iter(self._by_port[key])) for key in keys), key=lambda one: one.heard, default=None)
        if oldest is None or oldest.silent() < QUIET:
            return False
        self.leave(oldest)
        oldest.scope.cancel()
        return True
