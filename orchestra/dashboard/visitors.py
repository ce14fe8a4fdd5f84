"""Who is connected, and who has to go when there are too many.

A connection is a stranger's until a request on it has shown a session. Strangers have places of their own: however
many come, they cost nobody who is in a place, and of the strangers the oldest goes first, so that a new one is heard.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

MOST_STRANGERS = 128
MOST_KNOWN = 512
"""More than a few pages in each of a few browsers, which open six connections to a host."""

Peer = tuple[str, int]
"""Address and port."""


class Connection(Protocol):
    def abort(self) -> None: ...


class Visitors:
    def __init__(self) -> None:
        self._strangers: dict[Peer, Connection] = {}  # the oldest first, here and below
        self._known: dict[Peer, Connection] = {}

    def came(self, peer: Peer, connection: Connection) -> None:
        _make_room(self._strangers, MOST_STRANGERS)
        self._strangers[peer] = connection

    def is_known(self, peer: Peer) -> None:
        """It has shown that it may come in."""
        if connection := self._strangers.pop(peer, None):
            _make_room(self._known, MOST_KNOWN)
            self._known[peer] = connection

    def left(self, peer: Peer, connection: Connection) -> None:
        """Idempotent. The port may be another connection's already."""
        for held in (self._strangers, self._known):
            if held.get(peer) is connection:
                del held[peer]


def _make_room(held: dict[Peer, Connection], most: int) -> None:
    """The oldest of the address that has most."""
    while len(held) >= most:
        ((host, _),) = Counter(host for host, _ in held).most_common(1)
        held.pop(next(peer for peer in held if peer[0] == host)).abort()
