"""Egress of those who have rights over their own links: held on the router's side, where they cannot lift it.

What comes in at the router's end of the plug is led through a link of its own (the valve) that has a token bucket.
A valve goes when its plug is pulled out, or with the router.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestra.network import links, qdiscs, redirects

if TYPE_CHECKING:
    from orchestra.network.netlink import Channel


def valve_of(port: str) -> str:
    return "e" + port[1:]


def set_to(channel: Channel, port: str, index: int, bits: int | None) -> None:
    """What comes from the port, a link of this namespace, is held to this from now on; None lets everything pass.

    Raises OrchestraError where the kernel has not what it takes.
    """
    valve = valve_of(port)
    if bits is None:
        channel.perform([redirects.let_go(redirects.RECEIVED, index, port), links.delete_link(valve)])
        return
    way = redirects.new_way(channel, valve)
    channel.perform([qdiscs.bucket(way, valve, bits, qdiscs.UNSEEN_QUEUE)])
    redirects.lead(channel, redirects.RECEIVED, [(index, port)], way)


def rate_of(channel: Channel, port: str) -> int | None:
    """Bits a second; None where nothing holds it."""
    index, way = links.index_of(port), links.index_of(valve_of(port))
    if index is None or way is None or redirects.way_of(channel, redirects.RECEIVED, index, port) != way:
        return None
    return qdiscs.rate_of(valve_of(port))
