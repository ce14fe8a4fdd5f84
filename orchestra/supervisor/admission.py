"""Before anything is started: does what is wanted fit on this machine? Subnets, addresses, host ports, id ranges.

Everything is decided and held, or an error says why not and nothing has changed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from ..errors import OrchestraError
from ..network.leftovers import host_subnets
from ..places import Places
from ..plan.addresses import allocate, interfaces, joins_of
from ..plan.facts import Target, Wanted
from ..plan.subnets import choose_subnet, choose_uplink, gateway_of
from ..plan.wiring import Publication, Router, Uplink
from ..stack.model import FileSource, Network
from ..state.leases import Leases, leases
from .book import Page
from .ports import HeldPorts

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Admitted:
    routers: Mapping[str, Router]
    addresses: Mapping[str, Mapping[str, str]]
    ports: Mapping[str, tuple[Publication, ...]]
    bases: Mapping[str, int]


def admit(places: Places, page: Page, wanted: Wanted, files: Mapping[str, FileSource], held: HeldPorts) -> Admitted:
    """What each container gets. Blocks for files and netlink. Raises OrchestraError for what does not fit."""
    _readable(files)
    for name, target in wanted.targets.items():
        if not (target.service.command or target.service.entrypoint):
            raise OrchestraError(
                f"cannot start {name}: service {target.service.name} has no command", "add `command:`"
            )
    with leases(places.home.leases) as held_leases:
        routers = {key: _router(places, page, key, network, held_leases) for key, network in wanted.networks.items()}
        bases = {name: held_leases.range_of(f"{places.scope}/{name}") for name in wanted.targets}
    # What is still there keeps its router and address until it is removed.
    routers = {**page.routers, **routers}
    addresses = {
        key: allocate(router.subnet, router.gateway, page.addresses.get(key, {}), joins_of(wanted.targets, key))
        for key, router in routers.items()
    }
    ways = _ways(wanted.targets, routers, addresses)
    ports = held.choose(wanted.targets, page.ports, ways)
    leaving = set(page.seen) - set(wanted.targets)
    return Admitted(
        routers,
        {key: {**_only(page.addresses.get(key, {}), leaving), **given} for key, given in addresses.items()},
        {**_only(page.ports, leaving), **ports},
        {**page.bases, **bases},
    )


def _readable(files: Mapping[str, FileSource]) -> None:
    """`files`: "secret/NAME" and "config/NAME" -> where its bytes come from."""
    for key, source in files.items():
        kind, _, name = key.partition("/")
        if source.file is not None and not os.path.isfile(source.file):
            raise OrchestraError(
                f"{kind} {name}: there is no file {source.file}", f"create it, or correct `file:` of {kind}s.{name}"
            )


def _only(held: Mapping[str, T], names: set[str]) -> dict[str, T]:
    return {name: value for name, value in held.items() if name in names}


def _router(places: Places, page: Page, key: str, network: Network, held: Leases) -> Router:
    before = page.routers.get(key)
    if before is not None and page.networks.get(key, network) == network:
        return before
    ident = places.network_id(key)
    taken = [subnet for subnet, _, _ in (entry for other, entry in held.subnets.items() if other != ident)]
    around = [*host_subnets(), *taken]
    lease = held.subnets.get(ident)
    if network.subnet is not None:
        subnet = network.subnet
    elif lease is not None and before is not None:
        subnet = lease[0]
    else:
        subnet = choose_subnet(around)
    host, router = choose_uplink([*(entry[1] for other, entry in held.subnets.items() if other != ident), *around])
    held.subnets[ident] = [subnet, host, router]
    gateway = network.gateway or gateway_of(subnet)
    uplink = None if network.internal else Uplink(f"orc{ident}", host, router)
    return Router(ident, network.name, places.router_pin(key), subnet, gateway, uplink)


def _ways(
    targets: Mapping[str, Target], routers: Mapping[str, Router], addresses: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[str, str]]:
    """Container -> (router id, address) through which its ports are published: where its default route goes."""
    internal = frozenset(key for key, router in routers.items() if router.uplink is None)
    return {
        name: (routers[join.network].id, addresses[join.network][name])
        for name, target in targets.items()
        for _, join, is_default in interfaces(target.service, internal)
        if is_default
    }
