"""What is in the host's network: subnets to choose around, and traces of routers that nobody owns any more."""

from __future__ import annotations

import re
import socket

from orchestra.network import links, nft
from orchestra.network.routers import remove_host_side

_LINK = re.compile(r"orc([0-9a-f]{10})")
_TABLE = re.compile(r"orchestra-([0-9a-f]{10})")


def host_subnets() -> list[str]:
    """Every IPv4 subnet and address that the host has a route to, other than the default route."""
    with links.rtnetlink() as channel:
        return links.subnets(channel)


def leftovers(ids: set[str]) -> list[str]:
    """Ids of routers that have an uplink or a table on this host and are not among `ids`."""
    with nft.nfnetlink() as channel:
        tables = nft.tables(channel)
    names = [_LINK.fullmatch(name) for _, name in socket.if_nameindex()] + [_TABLE.fullmatch(name) for name in tables]
    return sorted({name[1] for name in names if name} - ids)


def remove_leftover(router_id: str) -> None:
    """The host's side of a router of which only the id is known."""
    remove_host_side(router_id, f"orc{router_id}")
