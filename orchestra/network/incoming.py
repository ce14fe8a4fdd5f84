"""Connections that others have to a container: TCP as its own network namespace sees it (proc_net_tcp in the kernel's
Documentation/networking), whichever way they came: by name over the bridge, by a published port, through the relay.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

from orchestra.network.inside import inside

LISTEN = "0A"
# Established, being established, or with something that may still be under way: include/net/tcp_states.h.
OPEN = frozenset(("01", "03", "04", "08", "09", "0B"))
_MAPPED = bytes(10) + b"\xff\xff"
_ONESELF = bytes(15) + b"\x01"
_TABLES = ("/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6")


class Socket(NamedTuple):
    """A line of the table, in hex as it stands there."""

    address: str
    port: str
    peer: str
    peer_port: str
    state: str


def incoming(net_pin: str) -> int:
    """How many are open to ports on which somebody listens there; those within the container do not count."""
    return inside(net_pin, lambda: _count(list(sockets())))


def _count(found: list[Socket]) -> int:
    listening = {one.port for one in found if one.state == LISTEN}
    return sum(one.state in OPEN and one.port in listening and not is_loopback(packed(one.address)) for one in found)


def sockets() -> Iterator[Socket]:
    """The TCP sockets of the network namespace that this thread is in."""
    for table in _TABLES:
        try:
            with open(table) as lines:
                next(lines)
                for line in lines:
                    _, local, far, state, _ = line.split(maxsplit=4)
                    address, _, port = local.partition(":")
                    peer, _, peer_port = far.partition(":")
                    yield Socket(address, port, peer, peer_port, state)
        except FileNotFoundError:
            continue  # a machine without IPv6


def packed(address: str) -> bytes:
    """In network order; four bytes where it is one of IPv4 mapped into IPv6. Addresses stand there as words in the
    machine's byte order."""
    words = [bytes.fromhex(address[at : at + 8]) for at in range(0, len(address), 8)]
    return b"".join(word[::-1] if sys.byteorder == "little" else word for word in words).removeprefix(_MAPPED)


def is_loopback(address: bytes) -> bool:
    """127.0.0.0/8 or ::1."""
    return address[0] == 127 if len(address) == 4 else address == _ONESELF
