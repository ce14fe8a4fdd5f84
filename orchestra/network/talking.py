"""Who talks to whom: the TCP connections of containers as their network namespaces see them. One that was closed less
than a minute ago still stands there on the side that closed it (TIME-WAIT, RFC 9293 3.6), so short ones are seen too.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orchestra.errors import OrchestraError, is_exhausted
from orchestra.network.incoming import LISTEN, OPEN, Socket, is_loopback, packed, sockets
from orchestra.network.inside import enter, on_own_thread

_TIME_WAIT = "06"


class Talk(NamedTuple):
    """Connections of one container to or from one other place; `port` is the listening side's."""

    peer: str
    port: int
    inward: bool  # the container is the one that was called
    open: int
    recent: int  # closed within the last minute


def talks(pins: Mapping[str, str]) -> dict[str, list[Talk]]:
    """Container -> what it has, loopback left out. Containers whose namespace is gone are left out as well."""

    def read() -> dict[str, list[Talk]]:
        found = {}
        for name, pin in pins.items():
            try:
                enter(pin)
            except OrchestraError as error:
                if is_exhausted(error):
                    raise
                continue  # it went away meanwhile
            found[name] = summed(sockets())
        return found

    return on_own_thread(read)


def summed(found: Iterable[Socket]) -> list[Talk]:
    """Lines of the table, put together by peer and port."""
    found = list(found)
    listening = {one.port for one in found if one.state == LISTEN}
    counts: Counter[tuple[str, int, bool, bool]] = Counter()
    for one in found:
        if one.state not in OPEN and one.state != _TIME_WAIT:
            continue
        peer = packed(one.peer)
        if is_loopback(peer):
            continue
        inward = one.port in listening
        port = int(one.port if inward else one.peer_port, 16)
        counts[_spelled(peer), port, inward, one.state in OPEN] += 1
    places = dict.fromkeys((peer, port, inward) for peer, port, inward, _ in counts)
    return [Talk(*place, open=counts[(*place, True)], recent=counts[(*place, False)]) for place in places]


def _spelled(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)
