"""Address and MAC of each plug, pinned where no container reaches: in the router, at the port of the bridge.

A frame passes if its port, its sender's MAC and its IPv4 source (of ARP: both pairs of sender's addresses, RFC 826)
are those of one plug. So nobody claims the address of a neighbour or of the gateway, nor fills the bridge's table,
which learns only from what passes; and nothing passes that is neither IPv4 nor ARP, whatever rights a container has
over its own end (NET_RAW, NET_ADMIN).
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from orchestra.network import nft
from orchestra.network.expressions import (
    ACCEPT,
    ARP_SENDER,
    ARP_SOURCE,
    DROP,
    FRAME_SENDER,
    IP_SOURCE,
    SENDER_LENGTH,
    SENDER_TYPE,
    carries,
    is_sent_by_one_of,
    link_of,
    sender,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from orchestra.network.netlink import Channel
    from orchestra.plan.wiring import Plug

_TABLE, _CHAIN, _SET = "orchestra", "senders", "plugs"
_HOOK = nft.Hook("filter", nft.PREROUTING, -300, policy=DROP)
_IPV4, _ARP = 0x0800, 0x0806
_RULES = (
    carries(_IPV4) + is_sent_by_one_of(_SET, FRAME_SENDER, IP_SOURCE) + verdict(ACCEPT),
    carries(_ARP)
    + is_sent_by_one_of(_SET, FRAME_SENDER, ARP_SOURCE)
    + is_sent_by_one_of(_SET, ARP_SENDER, ARP_SOURCE)
    + verdict(ACCEPT),
)
_PORT = "v"  # plan/addresses.port_of
_UNKNOWN_FAMILY = (errno.EOPNOTSUPP, errno.EAFNOSUPPORT)


def ensure_table() -> bool:
    """In the router's namespace: only frames of pinned plugs pass from now on. False where the kernel cannot
    (CONFIG_NF_TABLES_BRIDGE)."""
    with nft.nfnetlink() as channel:
        if not _has_family(channel):
            return False
        rules = [nft.add_rule(_TABLE, _CHAIN, rule, nft.BRIDGE) for rule in _RULES]
        nft.commit(
            channel,
            [
                nft.new_set(_TABLE, _SET, SENDER_TYPE, SENDER_LENGTH, nft.BRIDGE),
                nft.new_chain(_TABLE, _CHAIN, _HOOK, nft.BRIDGE),
                nft.flush_chain(_TABLE, _CHAIN, nft.BRIDGE),
                *rules,
            ],
        )
        return True


def _has_family(channel: Channel) -> bool:
    """The table is there after this, or cannot be."""
    return nft.commit(channel, [nft.new_table(_TABLE, nft.BRIDGE, tolerate=_UNKNOWN_FAMILY)]) == [0]


def pin(plugs: Sequence[Plug]) -> None:
    """In the router's namespace, before the plugs are there: these addresses are theirs, and no others are."""
    wanted = {sender(plug.port, plug.mac, plug.address) for plug in plugs}
    _change({plug.port for plug in plugs}, wanted)


def unpin(ports: Collection[str]) -> None:
    """In the router's namespace."""
    _change(ports, set())


def _change(ports: Collection[str], wanted: set[bytes]) -> None:
    with nft.nfnetlink() as channel:
        elements = nft.elements(channel, _TABLE, _SET, nft.BRIDGE)
        if elements is None:
            return
        held = {element for element in elements if link_of(element) in ports}
        nft.commit(
            channel,
            [
                *nft.delete_elements(_TABLE, _SET, sorted(held - wanted), nft.BRIDGE),
                *nft.add_elements(_TABLE, _SET, sorted(wanted - held), nft.BRIDGE),
            ],
        )


def is_pinned(plug: Plug) -> bool:
    """In the router's namespace. Where the kernel cannot pin, there is nothing to be missed."""
    with nft.nfnetlink() as channel:
        elements = nft.elements(channel, _TABLE, _SET, nft.BRIDGE)
    return elements is None or sender(plug.port, plug.mac, plug.address) in elements


def is_whole() -> bool:
    """In the router's namespace: the rules are there, and whoever is plugged in is pinned."""
    ports = _ports()
    with nft.nfnetlink() as channel:
        elements = nft.elements(channel, _TABLE, _SET, nft.BRIDGE)
        if elements is None:
            return not _has_family(channel)
        chain = nft.Chain(nft.BRIDGE, _TABLE, _CHAIN, _HOOK.number, _HOOK.policy)
        if len(nft.rules(channel, chain)) != len(_RULES):
            return False
    # Somebody may have been plugged in, or pulled out, between two of these looks.
    return ports & _ports() <= {link_of(element) for element in elements}


def _ports() -> set[str]:
    return {name for _, name in socket.if_nameindex() if name.startswith(_PORT)}
