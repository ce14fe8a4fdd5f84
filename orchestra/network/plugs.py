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
from orchestra.network import links
from orchestra.network.inside import enter, inside, is_pinned, on_own_thread
from orchestra.network.routers import BRIDGE

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


def _open(plug: Plug, pins: contextlib.ExitStack) -> int:
    try:
        fd = os.open(plug.net_pin, os.O_RDONLY | os.O_CLOEXEC)
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
    with links.rtnetlink() as channel:
        requests = [
            links.new_veth(
                plug.port,
                [("IFLA_IFNAME", plug.interface), ("IFLA_ADDRESS", plug.mac), ("IFLA_NET_NS_FD", fd)],
                master=bridge,
                up=True,
            )
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
    # A link-local address would be a way between containers that no rule of ours knows; ::1 stays.
    with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "w") as s:
        s.write("1")


def ensure_loopback(net_pins: Sequence[str]) -> None:
    """127.0.0.1 and ::1 in namespaces that have no plug (`network_mode: none`)."""

    def bring_up() -> None:
        for pin in net_pins:
            enter(pin)
            with links.rtnetlink() as channel:
                channel.perform([links.link_up(1, "lo")])

    on_own_thread(bring_up)


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


def unplug(plugs: Sequence[Plug]) -> None:
    """Pull the plugs out; those whose router or port is gone are out already."""
    by_router: dict[str, list[Plug]] = {}
    for plug in plugs:
        by_router.setdefault(plug.router, []).append(plug)
    for pin, its_plugs in by_router.items():
        if is_pinned(pin):
            inside(pin, partial(_delete_ports, its_plugs))


def _delete_ports(plugs: Iterable[Plug]) -> None:
    found = [(index, plug.port) for plug in plugs if (index := links.index_of(plug.port)) is not None]
    with links.rtnetlink() as channel:
        channel.perform([links.put_in_group(index, port, _GOING) for index, port in found])
        if found:
            channel.perform([links.delete_group(_GOING)])
