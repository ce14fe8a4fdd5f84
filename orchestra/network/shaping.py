"""Bandwidth of containers: what all plugs of one together may receive (ingress) and send (egress).

It is held in the container's network namespace (`buckets`), where all its plugs meet. That of a container with rights
over its own links, which it could lift there, is held on the router's side as well, plug by plug: what the router's
end sends by a token bucket there, what comes in at it by a valve (`valves`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from orchestra.network import buckets, links, qdiscs, valves
from orchestra.network.inside import enter, inside, on_own_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestra.plan.wiring import Plug


def ensure_shapes(plugs: Sequence[Plug], *, lift: bool = False) -> None:
    """The rates that the containers of these plugs have hold from now on. With `lift`, one that they have not holds
    no longer. Raises OrchestraError where the kernel cannot hold one."""
    limited = [plug for plug in plugs if lift or plug.ingress is not None or plug.egress is not None]
    by_router: dict[str, list[Plug]] = {}
    for plug in limited:
        if plug.powerful:
            by_router.setdefault(plug.router, []).append(plug)
    for pin, its_plugs in by_router.items():
        on_own_thread(partial(_shape_in_router, pin, its_plugs, lift))
    for pin, plug in {plug.net_pin: plug for plug in limited}.items():
        inside(pin, partial(_shape_inside, plug, lift))


def follow_shapes(plug: Plug) -> None:
    """Whatever its container is held to, this plug of it is as well."""

    def follow() -> None:
        with links.rtnetlink() as channel:
            buckets.follow(channel)

    inside(plug.net_pin, follow)


def _shape_in_router(pin: str, plugs: Sequence[Plug], lift: bool) -> None:
    enter(pin)
    with links.rtnetlink() as channel:
        qdiscs.hold(channel, {plug.port: plug.ingress for plug in plugs if plug.ingress is not None or lift})
        for plug in plugs:
            index = links.index_of(plug.port)
            if index is not None and (plug.egress is not None or lift):
                valves.set_to(channel, plug.port, index, plug.egress)


def _shape_inside(plug: Plug, lift: bool) -> None:
    with links.rtnetlink() as channel:
        buckets.hold(channel, plug.ingress, plug.egress, lift=lift)


def shapes(plugs: Sequence[Plug]) -> tuple[int | None, int | None]:
    """Bits a second into and out of a container, as the kernel holds them now for these plugs, which are all its own;
    None where it holds none, or not for all of them."""

    def in_router(plug: Plug) -> tuple[int | None, int | None]:
        with links.rtnetlink() as channel:
            return qdiscs.rate_of(plug.port), valves.rate_of(channel, plug.port)

    def in_container() -> tuple[int | None, int | None]:
        with links.rtnetlink() as channel:
            return buckets.rates(channel)

    if not plugs:
        return None, None
    found = [inside(plug.router, partial(in_router, plug)) for plug in plugs if plug.powerful]
    ingress, egress = zip(inside(plugs[0].net_pin, in_container), *found, strict=True)
    return _if_same(ingress), _if_same(egress)


def _if_same(rates: Sequence[int | None]) -> int | None:
    return rates[0] if len(set(rates)) == 1 else None


def all_shaped(plugs: Sequence[Plug]) -> bool:
    """Of one container."""
    return not plugs or shapes(plugs) == (plugs[0].ingress, plugs[0].egress)
