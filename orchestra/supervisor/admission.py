"""Before anything is started: does what is wanted fit on this machine? Subnets, addresses, host ports, id ranges.

Everything is decided and held, or an error says why not and nothing has changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TypeVar

from ..errors import OrchestraError
from ..network.links import host_subnets
from ..places import Places
from ..plan.addresses import allocate, interfaces, joins_of
from ..plan.facts import Target, Wanted
from ..plan.launch import capabilities
from ..plan.portranges import PortRange
from ..plan.subnets import choose_subnet, choose_uplink, gateway_of, overlap
from ..plan.wiring import Publication, Router, Uplink
from ..runtime import seccomp
from ..stack.model import FileSource, HttpProbe, Join, Network, Service, TcpProbe
from ..state import externals
from ..state.leases import Leases, leases
from ..state.users import users
from ..values import dataclass
from .book import Page
from .ports import HeldPorts, long_ranges
from .sources import make_missing

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
    for target in wanted.targets.values():
        if (profile := target.service.security.seccomp) not in ("default", seccomp.UNCONFINED):
            seccomp.ensure_filter(places.home.cache, profile, capabilities(target.service)["bounding"])
    for name, target in wanted.targets.items():
        words = [*target.service.entrypoint, *target.service.command]
        if not words or not words[0]:
            what = "has no command" if not words else "has a command whose program is empty"
            raise OrchestraError(
                f"cannot start {name}: service {target.service.name} {what}", "say one in `command:`"
            )
    _may_listen(wanted)
    _outside_there(places, wanted)
    with leases(places.home.leases) as held_leases:
        routers = {key: _router(places, page, key, network, held_leases) for key, network in wanted.networks.items()}
        scope, had = places.scope, page.bases
        bases = {name: held_leases.range_of(f"{scope}/{name}", had.get(name)) for name in wanted.targets}
        # What is still there keeps its router and address until it is removed.
        routers = {**page.routers, **routers}
        addresses = {
            key: allocate(
                router.subnet,
                router.gateway,
                {
                    **page.guests.get(key, {}),
                    **page.addresses.get(key, {}),
                    **_of_others(places, router, held_leases),
                },
                joins_of(wanted.targets, key),
            )
            for key, router in routers.items()
        }
        _lease_outside(places, page, wanted, routers, addresses, held_leases)
        ways = _ways(wanted.targets, routers, addresses)
        others = _ranges_of_others(places, held_leases)
        chosen = held.choose(wanted.targets, _had(wanted, page), ways, others, _running(wanted, page))
        ports = {**_only(page.ports, set(page.seen) - set(wanted.targets)), **chosen}
        _lease_ranges(places, ports, held_leases)
    make_missing(page, wanted)
    return Admitted(
        routers,
        # Who leaves a network, or is replaced by one that is not in it, has its address until it has gone.
        {key: {**_only(page.addresses.get(key, {}), set(page.seen)), **given} for key, given in addresses.items()},
        ports,
        {**page.bases, **bases},
    )


_UNPRIVILEGED = "net.ipv4.ip_unprivileged_port_start"


def _may_listen(wanted: Wanted) -> None:
    """Raises OrchestraError for ports of the machine that nobody without rights over its network may have: who is in
    a user namespace has none, whatever it was given."""
    with open("/proc/sys/" + _UNPRIVILEGED.replace(".", "/")) as setting:
        first = int(setting.read())
    for name, target in wanted.targets.items():
        service = target.service
        low = [port for port in _listens_on(service) if port < first] if service.network_mode == "host" else []
        if low:
            raise OrchestraError(
                f"cannot start {name}: with network_mode: host it may not listen on port {min(low)}, "
                f"since {_UNPRIVILEGED} of this machine is {first}",
                "leave network_mode out and publish the port; or, for every user of this machine, "
                f"sysctl -w {_UNPRIVILEGED}={min(low)}",
            )


def _listens_on(service: Service) -> set[int]:
    """As far as the stack file tells."""
    texts = (text.partition("/")[0].partition("-")[0] for text in service.expose)
    found = {int(text) for text in texts if text.isdecimal()}
    probe = service.healthcheck.probe if service.healthcheck else None
    if isinstance(probe, (HttpProbe, TcpProbe)) and not probe.host:
        found.add(probe.port)
    return found


def _outside_there(places: Places, wanted: Wanted) -> None:
    """Raises OrchestraError for external networks and volumes that do not exist."""
    for network in wanted.networks.values():
        if network.external and externals.definition(places.home, network.name) is None:
            raise _missing("network", network.name)
    for volume in wanted.volumes.values():
        used = (
            target
            for target in wanted.targets.values()
            for mount in target.service.mounts
            if mount.source == volume.key
        )
        if volume.external and any(used) and not os.path.isdir(places.home.volume(volume.name)):
            raise _missing("volume", volume.name)


def _missing(kind: str, name: str) -> OrchestraError:
    return OrchestraError(f"{kind} {name} is external and does not exist", f"orchestra {kind} create {name}")


def _of_others(places: Places, router: Router, held: Leases) -> dict[str, str]:
    """Addresses in an external network that are not for containers of this stack: holder -> address."""
    if not router.external:
        return {}
    mine = f"{places.name}/"
    known = held.addresses.get(router.id, {})
    return {
        holder: address
        for holder, address in known.items()
        if holder == mine or (not holder.startswith(mine) and users(places.home, [holder]))
    }


def _lease_outside(
    places: Places,
    page: Page,
    wanted: Wanted,
    routers: Mapping[str, Router],
    addresses: Mapping[str, Mapping[str, str]],
    held: Leases,
) -> None:
    """Hold what others must not take or remove: addresses in external networks, volumes."""
    for key, router in routers.items():
        if router.external:
            given = {**_only(page.addresses.get(key, {}), set(page.seen)), **addresses[key]}
            mine = {f"{places.name}/{name}": address for name, address in given.items()}
            held.addresses[router.id] = {**_of_others(places, router, held), **mine}
    used: dict[str, list[str]] = {}
    for name, service in {
        **{name: seen.service for name, seen in page.seen.items()},
        **{name: target.service for name, target in wanted.targets.items()},
    }.items():
        for mount in service.mounts:
            if mount.type == "volume" and (volume := wanted.volumes.get(mount.source)):
                used.setdefault(volume.name, []).append(name)
    held.use_volumes(places.name, used)


def _ranges_of_others(places: Places, held: Leases) -> dict[str, list[PortRange]]:
    """Long ranges of host ports that stacks have of which something is left."""
    found: dict[str, list[PortRange]] = {}
    others = set(users(places.home, held.ports)) - {places.name}
    for holder, ranges in held.ports.items():
        stack = holder.partition("/")[0]
        if stack in others:
            found.setdefault(stack, []).extend(PortRange(*each) for each in ranges)
    return found


def _lease_ranges(places: Places, ports: Mapping[str, Iterable[Publication]], held: Leases) -> None:
    ranges = {
        name: [(each.host_ip, each.first, each.last, each.protocol) for each in long_ranges(published)]
        for name, published in ports.items()
    }
    held.hold_ports(places.name, ranges)


def _had(wanted: Wanted, page: Page) -> dict[str, tuple[Publication, ...]]:
    """What containers publish so far; one that replaces another publishes on the same host ports."""
    inherited = {
        name: page.ports[target.replaces] for name, target in wanted.targets.items() if target.replaces in page.ports
    }
    return {**inherited, **page.ports}


def _running(wanted: Wanted, page: Page) -> set[str]:
    """Those that run, and those that replace one that does."""
    alive = {name for name, one in page.seen.items() if one.alive}
    return {name for name, target in wanted.targets.items() if name in alive or target.replaces in alive}


def _readable(files: Mapping[str, FileSource]) -> None:
    """`files`: "secret/NAME" and "config/NAME" -> where its bytes come from."""
    for key, source in files.items():
        kind, _, name = key.partition("/")
        if source.file is not None and not os.path.isfile(source.file):
            state = "is not a regular file" if os.path.exists(source.file) else "does not exist"
            raise OrchestraError(
                f"{kind} {name}: {source.file} {state}", f"create it, or correct `file:` of {kind}s.{name}"
            )


def _only(held: Mapping[str, T], names: set[str]) -> dict[str, T]:
    return {name: value for name, value in held.items() if name in names}


def _router(places: Places, page: Page, key: str, network: Network, held: Leases) -> Router:
    if network.external:
        return _external_router(places, network, held)
    before = page.routers.get(key)
    if before is not None and page.networks.get(key, network) == network:
        return before
    ident = places.network_id(key)
    taken = [subnet for subnet, _, _ in (entry for other, entry in held.subnets.items() if other != ident)]
    around = [*host_subnets(), *taken]
    lease = held.subnets.get(ident)
    if network.subnet is not None:
        subnet = network.subnet
        own = {before.subnet if before else "", lease[0] if lease else ""}
        _beside(network, [other for other in around if other not in own])
    elif lease is not None and before is not None:
        subnet = lease[0]
    else:
        subnet = choose_subnet(around)
    host, router = choose_uplink([*(entry[1] for other, entry in held.subnets.items() if other != ident), *around])
    held.subnets[ident] = [subnet, host, router]
    gateway = network.gateway or gateway_of(subnet)
    uplink = None if network.internal else Uplink(f"orc{ident}", host, router)
    return Router(ident, network.name, places.router_pin(key), subnet, gateway, uplink)


def _beside(network: Network, around: Iterable[str]) -> None:
    """Raises OrchestraError when the subnet that was asked for is somebody else's: its hosts could not be reached."""
    assert network.subnet is not None
    for other in around:
        if overlap(network.subnet, other):
            raise OrchestraError(
                f"network {network.name}: its subnet {network.subnet} overlaps with {other}, "
                "which this machine has a route to or another network uses",
                "choose another ipam.config.subnet, or leave it out",
            )


def _external_router(places: Places, network: Network, held: Leases) -> Router:
    """As it was defined, with an address for a resolver of our own."""
    found = externals.definition(places.home, network.name)
    if found is None:
        raise _missing("network", network.name)
    holder, taken = f"{places.name}/", held.addresses.setdefault(found.id, {})
    taken[holder] = allocate(found.subnet, found.gateway, taken, {holder: Join(network.key)})[holder]
    uplink = None if found.internal else Uplink(f"orc{found.id}", found.host_address, found.router_address)
    pin = places.home.network_pin(found.name)
    return Router(found.id, found.name, pin, found.subnet, found.gateway, uplink, found.name, taken[holder])


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
