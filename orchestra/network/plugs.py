"""Plugs: the veth pairs between containers and their routers.

The pairs of a batch are asked for in one write, from inside the router's namespace, each with its far end already in
the container's namespace: one request makes what `ip` needs five commands for.
"""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING

from orchestra.errors import OrchestraError
from orchestra.network import antispoof, links
from orchestra.network.inside import enter, inside, is_pinned, on_own_thread, set_sysctl, without_ipv6
from orchestra.network.routers import BRIDGE
from orchestra.network.shaping import ensure_shapes, follow_shapes
from orchestra.network.valves import valve_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestra.plan.wiring import Plug, Router

_GOING = 0x6F7263  # a link group that has members only while they are deleted


def ensure_plugs(router: Router, plugs: Sequence[Plug]) -> None:
    """Each plug is there, up, with its address; those that are so already are left alone."""
    if not plugs:
        return
    with contextlib.ExitStack() as pins:
        ends = [(plug, _open(plug, pins)) for plug in plugs]
        taken = inside(router.pin, lambda: _create(router, ends))
        stale = on_own_thread(lambda: [plug for plug in taken if not _is_connected(plug, taken[plug])])
        if stale:
            _delete_both_ends(router, stale)
            again = inside(router.pin, lambda: _create(router, [end for end in ends if end[0] in stale]))
            if again:
                names = ", ".join(sorted(plug.container for plug in again))
                raise OrchestraError(f"cannot plug {names} into {router.label}: the link's name is taken")
        on_own_thread(lambda: _wire_all(plugs))
    ensure_shapes(plugs)


def _open(plug: Plug, pins: contextlib.ExitStack) -> int:
    try:
        fd = os.open(plug.net_pin, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as refusal:
        raise OrchestraError(f"cannot plug in {plug.container}: {plug.net_pin}: {refusal.strerror}") from refusal
    pins.callback(os.close, fd)
    return fd


def _create(router: Router, ends: Iterable[tuple[Plug, int]]) -> dict[Plug, int | None]:
    """Those whose names were taken, with the index of their port, if it is the port that is there."""
    ends = list(ends)
    bridge = links.index_of(BRIDGE)
    if bridge is None:
        raise OrchestraError(f"cannot plug into {router.label}: its bridge is gone", "run the command again")
    antispoof.pin([plug for plug, _ in ends])
    with links.rtnetlink() as channel:
        requests = [
            links.new_veth(plug.port, plug.interface, fd, far_mac=plug.mac, master=bridge, up=True)
            for plug, fd in ends
        ]
        codes = channel.perform(requests)
        taken = {plug: links.index_of(plug.port) for (plug, _), code in zip(ends, codes, strict=True) if code}
        # The bridge may be a new one, or somebody pulled the port out of it.
        channel.perform([links.link_up(i, plug.port, master=bridge) for plug, i in taken.items() if i is not None])
        return taken


def _is_connected(plug: Plug, port: int | None) -> bool:
    if port is None:
        return False
    enter(plug.net_pin)
    with links.rtnetlink() as channel:
        return links.peer_of(channel, plug.interface) == (plug.mac, port)


def _wire_all(plugs: Iterable[Plug]) -> None:
    for plug in plugs:
        _wire(plug)


def _wire(plug: Plug) -> None:
    """The container's side."""
    enter(plug.net_pin)
    _settle(plug.interface)
    index = links.index_of(plug.interface)
    if index is None:
        raise OrchestraError(f"cannot find {plug.interface} of {plug.container}", "run the command again")
    requests = [
        links.link_up(1, "lo"),
        links.link_up(index, plug.interface),
        links.address(index, plug.interface, plug.address, plug.prefix),
    ]
    if plug.gateway is not None:
        requests.append(links.route(None, index, plug.interface, plug.gateway))
    with links.rtnetlink() as channel:
        channel.perform(requests)


def _settle(interface: str) -> None:
    # A new namespace inherits the host's setting (ip-sysctl, devconf_inherit_init_net): a container in two networks
    # would lead from one into the other.
    set_sysctl(f"net/ipv4/conf/{interface}/forwarding", "0")
    # A link-local address would be a way between containers that no rule of ours knows; ::1 stays.
    without_ipv6(interface)


def ensure_guest(router: Router, plug: Plug) -> None:
    """Plug in a container that belongs to somebody else, whose other networks must stay apart from this one.

    It forwards nothing from one of its links to another: with the host's setting, which a new namespace inherits
    (ip-sysctl, devconf_inherit_init_net), it would be a router between them.
    """
    inside(plug.net_pin, lambda: set_sysctl("net/ipv4/ip_forward", "0"))
    ensure_plugs(router, [plug])
    inside(plug.net_pin, lambda: _keep_apart(plug.interface))
    follow_shapes(plug)


def _keep_apart(interface: str) -> None:
    set_sysctl(f"net/ipv4/conf/{interface}/rp_filter", "1")  # nobody comes by it under an address of another network
    set_sysctl(f"net/ipv4/conf/{interface}/arp_ignore", "1")  # nor learns by ARP what addresses there are elsewhere
    set_sysctl(f"net/ipv4/conf/{interface}/arp_announce", "2")


def is_plugged(plug: Plug) -> bool:
    """Whether both ends are there and belong together, and its addresses are its own."""
    if not (is_pinned(plug.router) and is_pinned(plug.net_pin)):
        return False
    port = inside(plug.router, lambda: links.index_of(plug.port) if antispoof.is_pinned(plug) else None)
    return on_own_thread(lambda: _is_connected(plug, port))


def _delete_both_ends(router: Router, plugs: Iterable[Plug]) -> None:
    def delete() -> None:
        for plug in plugs:
            enter(plug.net_pin)
            with links.rtnetlink() as channel:
                channel.perform([links.delete_link(plug.interface)])
        enter(router.pin)
        with links.rtnetlink() as channel:
            channel.perform([links.delete_link(plug.port) for plug in plugs])

    on_own_thread(delete)


def unplug(ports: Iterable[tuple[str, str]]) -> None:
    """Pull plugs out, by (router pin, port); those whose router or port is gone are out already."""
    by_router: dict[str, list[str]] = {}
    for pin, port in ports:
        by_router.setdefault(pin, []).append(port)
    for pin, its_ports in by_router.items():
        if is_pinned(pin):
            inside(pin, partial(_delete_ports, its_ports))


def _delete_ports(ports: Sequence[str]) -> None:
    names = [name for port in ports for name in (port, valve_of(port))]
    found = [(index, name) for name in names if (index := links.index_of(name)) is not None]
    with links.rtnetlink() as channel:
        channel.perform([links.put_in_group(index, name, _GOING) for index, name in found])
        if found:
            channel.perform([links.delete_group(_GOING)])
    antispoof.unpin(ports)
