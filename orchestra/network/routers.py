"""Routers: a network namespace with a bridge, the gateway's address and an uplink to the host.

`ensure_router` says what must be true and may be said at any time: a second time it does nothing, and after somebody
deleted a part it makes that part again. Steps are ordered so that an interruption anywhere leaves something which
`ensure_router` completes and `remove_router` removes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

from orchestra.errors import OrchestraError
from orchestra.network import antispoof, conntrack, firewall, foreign, links, nft
from orchestra.network.inside import begin, inside, is_pinned, pin_new_namespace, set_sysctl, unpin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestra.network.netlink import Channel
    from orchestra.plan.wiring import Publication, Router, Uplink

BRIDGE = "br0"
_UPLINK_INSIDE = "up0"
_UPLINK_PREFIX = 31
_ELSEWHERE = "240.0.0.1"  # reserved, in no subnet: to ask where the default route leads

# Written on entering, before there is a link that would pick up something else.
_ROUTER_SETTINGS = {
    "net/ipv6/conf/all/disable_ipv6": "1",  # IPv6 comes by the held ports only
    "net/ipv4/conf/all/rp_filter": "1",  # a container cannot send under an address of elsewhere
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    # Traffic between containers is bridged, it need not run through the hooks of iptables.
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
}

_HOST_END_SETTINGS = {
    "net/ipv6/conf/LINK/disable_ipv6": "1",
    "net/ipv4/conf/LINK/route_localnet": "1",  # 127.0.0.1:8080 leads out of it; `early` keeps others from coming in
    "net/ipv4/conf/LINK/accept_redirects": "0",
    "net/ipv4/conf/LINK/forwarding": "1",
}


class SubnetTaken(OrchestraError):
    """The machine routes the network's subnet, or that of its uplink, elsewhere."""

    def __init__(self, router: Router, subnet: str) -> None:
        super().__init__(
            f"network {router.label}: its subnet {subnet} is routed elsewhere on this machine",
            "`ip route` shows where; take that route away, or give the network another subnet",
        )
        self.subnet = subnet


def ensure_router(router: Router) -> list[str]:
    """Make the router be there, whole. What a person should know about it comes back as sentences.

    What `set_publications` and `allow_host` said is kept while the table lives, but not made again.
    Raises SubnetTaken, with nobody's route changed, where somebody else was there first.
    """
    if not is_pinned(router.pin):
        unpin(router.pin)
        pin_new_namespace(router.pin)
    inside(router.pin, _settle)
    if router.uplink is None:
        return inside(router.pin, lambda: _ensure_bridge(router))
    notices = _ensure_forwarding()
    with nft.nfnetlink() as channel, links.rtnetlink() as routes:
        index = _ensure_link(routes, router, router.uplink)
        _claim(routes, router, router.uplink, index)
        # Before there is a way in or out: the router's end is down, or it has been protected before.
        firewall.ensure_table(channel, router, router.uplink)
        notices += _ensure_ways(routes, router, router.uplink, index)
        return notices + foreign.ensure_forward_accept(channel, router, router.uplink)


def _settle() -> None:
    for setting, value in _ROUTER_SETTINGS.items():
        with contextlib.suppress(FileNotFoundError):
            set_sysctl(setting, value)


def _ensure_bridge(router: Router) -> list[str]:
    prefix = int(router.subnet.partition("/")[2])
    pinned = antispoof.ensure_table()
    with links.rtnetlink() as channel:
        channel.perform([links.new_bridge(BRIDGE, links.mac_of(router.gateway)), links.link_up(1, "lo")])
        bridge = _index(BRIDGE, router)
        channel.perform([links.link_up(bridge, BRIDGE), links.address(bridge, BRIDGE, router.gateway, prefix)])
    if pinned:
        return []
    return [
        f"network {router.label}: a container with NET_RAW or NET_ADMIN can take its neighbours' addresses, "
        "since this kernel has no CONFIG_NF_TABLES_BRIDGE"
    ]


def _ensure_link(channel: Channel, router: Router, uplink: Uplink) -> int:
    """The uplink, up at the host's end; its index."""
    if not _is_whole(router, uplink):
        _make_uplink(channel, router, uplink)
    for setting, value in _HOST_END_SETTINGS.items():
        with contextlib.suppress(FileNotFoundError):
            set_sysctl(setting.replace("LINK", uplink.link), value)
    index = _index(uplink.link, router)
    channel.perform([links.link_up(index, uplink.link)])
    return index


def _claim(channel: Channel, router: Router, uplink: Uplink, index: int) -> None:
    """Two installations know nothing of each other and may choose the same subnet at the same moment: whose route
    is there first has it. Raises SubnetTaken."""
    wanted = {f"{uplink.host_address}/{_UPLINK_PREFIX}": uplink.router_address, router.subnet: router.gateway}
    codes = channel.perform([links.claim(subnet, index, uplink.link) for subnet in wanted])
    for (subnet, address), code in zip(wanted.items(), codes, strict=True):
        if code and links.route_of(channel, address) != index:
            raise SubnetTaken(router, subnet)


def _ensure_ways(channel: Channel, router: Router, uplink: Uplink, index: int) -> list[str]:
    notices = inside(router.pin, lambda: _wire_inside(router, uplink))
    channel.perform(
        [
            links.address(index, uplink.link, uplink.host_address, _UPLINK_PREFIX, routed=False),
            links.route(router.subnet, index, uplink.link, uplink.router_address),
        ]
    )
    return notices


def _make_uplink(channel: Channel, router: Router, uplink: Uplink) -> None:
    channel.perform([links.delete_link(uplink.link)])
    inside(router.pin, lambda: _delete_link(_UPLINK_INSIDE))
    pin = os.open(router.pin, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        channel.perform([links.new_veth(uplink.link, _UPLINK_INSIDE, pin)])
    finally:
        os.close(pin)


def _is_whole(router: Router, uplink: Uplink) -> bool:
    """Whether the host's end leads to this router: a link of that name may be left from an older namespace."""
    index = links.index_of(uplink.link)
    if index is None:
        return False

    def peer() -> tuple[str, int] | None:
        with links.rtnetlink() as channel:
            return links.peer_of(channel, _UPLINK_INSIDE)

    found = inside(router.pin, peer)
    return found is not None and found[1] == index


def _wire_inside(router: Router, uplink: Uplink) -> list[str]:
    notices = _ensure_bridge(router)
    set_sysctl("net/ipv4/ip_forward", "1")
    index = _index(_UPLINK_INSIDE, router)
    with links.rtnetlink() as channel:
        channel.perform(
            [
                links.link_up(index, _UPLINK_INSIDE),
                links.address(index, _UPLINK_INSIDE, uplink.router_address, _UPLINK_PREFIX),
                links.route(None, index, _UPLINK_INSIDE, uplink.host_address),
            ]
        )
    return notices


def _delete_link(name: str) -> None:
    with links.rtnetlink() as channel:
        channel.perform([links.delete_link(name)])


def _forwards() -> bool:
    with open("/proc/sys/net/ipv4/ip_forward") as setting:
        return setting.read().strip() != "0"


def _ensure_forwarding() -> list[str]:
    if _forwards():
        return []
    set_sysctl("net/ipv4/ip_forward", "1")
    return [
        "IPv4 forwarding was off and is on now (net.ipv4.ip_forward): "
        "unless its firewall says otherwise, this machine forwards between its other links too"
    ]


_ONE_ADDRESS = 32


def ensure_resolver(router: Router) -> None:
    """The address of a stack's own resolver in an external network, on its bridge."""

    def add() -> None:
        bridge = _index(BRIDGE, router)
        with links.rtnetlink() as channel:
            channel.perform([links.address(bridge, BRIDGE, router.resolver, _ONE_ADDRESS)])

    inside(router.pin, add)


def remove_resolver(router: Router) -> None:
    def remove() -> None:
        bridge = links.index_of(BRIDGE)
        if bridge is not None:
            with links.rtnetlink() as channel:
                channel.perform([links.remove_address(bridge, BRIDGE, router.resolver, _ONE_ADDRESS)])

    if is_pinned(router.pin):
        inside(router.pin, remove)


def remove_router(router: Router) -> None:
    """Take away everything that `ensure_router` made, however much of it is there."""
    if router.uplink is not None:
        remove_host_side(router.id, router.uplink.link)
    unpin(router.pin)


def remove_host_side(router_id: str, link: str) -> None:
    # Side by side: the kernel lets its readers finish (RCU) for both, 20 and 12 ms, and can do so at the same time.
    link_is_gone = begin(lambda: _delete_link(link))
    try:
        with nft.nfnetlink() as channel:
            foreign.remove_forward_accept(channel, router_id, link)
            table = firewall.table_of(router_id)
            if nft.has_table(channel, table):
                nft.commit(channel, [nft.delete_table(table)])
    finally:
        link_is_gone()


def alive(router: Router) -> bool:
    """A cheap look whether all parts are there; `ensure_router` (and then `set_publications`) mends them."""
    if not is_pinned(router.pin):
        return False
    if router.uplink is None:
        return inside(router.pin, _has_bridge)
    index = links.index_of(router.uplink.link)
    if index is None or not _forwards() or not inside(router.pin, _is_whole_inside):
        return False
    with links.rtnetlink() as channel:
        if links.route_of(channel, router.gateway) != index:
            return False
    with nft.nfnetlink() as channel:
        return nft.has_table(channel, firewall.table_of(router.id)) and foreign.is_let_through(channel, router)


def _has_bridge() -> bool:
    return links.index_of(BRIDGE) is not None and antispoof.is_whole()


def _is_whole_inside() -> bool:
    index = links.index_of(_UPLINK_INSIDE)
    if index is None or not _has_bridge() or not _forwards():
        return False
    with links.rtnetlink() as channel:
        return links.route_of(channel, _ELSEWHERE) == index


def set_publications(router: Router, publications: Sequence[Publication]) -> None:
    """What this router publishes from now on; replicas behind one port are taken in turn."""
    with nft.nfnetlink() as channel:
        firewall.publish(channel, router, publications)
        conntrack.forget_misled(channel, publications)


def allow_host(router: Router, containers: Sequence[str]) -> None:
    """Which containers, by address, may reach what listens on the host; none of the others may.

    The host is there for them at `router.uplink.host_address` (`host-gateway` of the Compose Specification).
    """
    if router.uplink is not None:
        with nft.nfnetlink() as channel:
            firewall.open_host(channel, router, containers)


def dns_sockets(router: Router) -> tuple[socket.socket, socket.socket]:
    """UDP and listening TCP on port 53 of the gateway (or of the resolver's own address), non-blocking."""
    return inside(router.pin, lambda: _bind_dns(router))


def _bind_dns(router: Router) -> tuple[socket.socket, socket.socket]:
    with contextlib.ExitStack() as undo:
        datagrams = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        streams = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        streams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            for opened in (datagrams, streams):
                opened.setblocking(False)
                opened.bind((router.nameserver, 53))
            streams.listen(128)
        except OSError as refusal:
            busy = refusal.errno == errno.EADDRINUSE
            raise OrchestraError(
                f"cannot answer names on {router.nameserver} of network {router.label}: {refusal.strerror}",
                "another supervisor answers there; stop it" if busy else None,
            ) from refusal
        undo.pop_all()
        return datagrams, streams


def _index(name: str, router: Router) -> int:
    index = links.index_of(name)
    if index is None:
        raise OrchestraError(f"cannot find the link {name} of network {router.label}", "run the command again")
    return index
