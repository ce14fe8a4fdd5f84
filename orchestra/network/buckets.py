"""What all links of a container together may receive and send: one token bucket for each direction.

A container's links, those of its networks and those by which other stacks share it, meet in its own network namespace
only. There each of them is led through one link for what comes in, and one for what goes out (`redirects`), and these
have the buckets. They go with the namespace. Every function works in the namespace that this thread is in.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from orchestra.network import links, qdiscs, redirects

if TYPE_CHECKING:
    from orchestra.network.netlink import Channel

_IN, _OUT = "bucket-in", "bucket-out"
_SIDES = {_IN: redirects.RECEIVED, _OUT: redirects.SENT}
_PLUG = re.compile(r"eth\d+|g[0-9a-f]{8}")  # as `plan/addresses` names them; others are of the container's own making


def hold(channel: Channel, ingress: int | None, egress: int | None, *, lift: bool) -> None:
    """So many bits a second hold from now on for all plugs that are here. With `lift`, None lets everything pass.

    Raises OrchestraError where the kernel has not what it takes.
    """
    for name, bits in ((_IN, ingress), (_OUT, egress)):
        if bits is not None:
            way = redirects.new_way(channel, name)
            channel.perform([qdiscs.bucket(way, name, bits, qdiscs.UNSEEN_QUEUE)])
        elif lift:
            # Before the plugs are let go: whoever is just leading one there fails to, or is undone below.
            channel.perform([links.delete_link(name)])
            channel.perform([redirects.let_go(_SIDES[name], index, plug) for index, plug in _plugs()])
    follow(channel)


def follow(channel: Channel) -> None:
    """Every plug that is here is led through the buckets that are here."""
    for name, side in _SIDES.items():
        way = links.index_of(name)
        if way is not None:
            redirects.lead(channel, side, _plugs(), way)


def rates(channel: Channel) -> tuple[int | None, int | None]:
    """Bits a second into and out of the container; None where not every plug is held to it."""
    return _rate(channel, _IN), _rate(channel, _OUT)


def _rate(channel: Channel, name: str) -> int | None:
    way = links.index_of(name)
    led = way is not None and all(
        redirects.way_of(channel, _SIDES[name], index, plug) == way for index, plug in _plugs()
    )
    return qdiscs.rate_of(name) if led else None


def _plugs() -> list[tuple[int, str]]:
    return [(index, name) for index, name in socket.if_nameindex() if _PLUG.fullmatch(name)]
