"""From what the book says to what the network workshop makes true: routers, plugs, publications, files of names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..plan.addresses import interfaces, mac_of, port_of
from ..plan.launch import hostname_of
from ..plan.resolv import hosts, resolv_conf
from ..plan.wiring import Plug, Publication, Router
from ..stack.model import Service
from .world import World


def net_pin(world: World, name: str, service: Service) -> str:
    """The network namespace that a container runs in; "" is the host's."""
    if service.network_mode == "host":
        return ""
    if service.network_mode.startswith("service:"):
        provider = service.network_mode.removeprefix("service:")
        return next(
            world.places.net_pin(other)
            for other, seen in world.seen.items()
            if seen.service.name == provider and seen.made
        )
    return world.places.net_pin(name)


def own_net_pin(world: World, name: str, service: Service) -> str:
    """The one that is made for it; "" when it uses somebody else's."""
    shared = service.network_mode == "host" or service.network_mode.startswith("service:")
    return "" if shared else world.places.net_pin(name)


def plugs_of(world: World, name: str, service: Service) -> Iterator[tuple[str, Plug]]:
    """(network key, plug) for each network of a container."""
    internal = frozenset(key for key, router in world.page.routers.items() if router.uplink is None)
    for interface, join, is_default in interfaces(service, internal):
        router = world.page.routers[join.network]
        address = world.page.addresses[join.network][name]
        yield (
            join.network,
            Plug(
                container=name,
                net_pin=world.places.net_pin(name),
                router=router.pin,
                interface=interface,
                port=port_of(address),
                address=address,
                prefix=int(router.subnet.partition("/")[2]),
                mac=join.mac_address or mac_of(address),
                gateway=router.gateway if is_default else None,
            ),
        )


def publications_of(world: World, router: Router) -> list[Publication]:
    """Everything that goes through this router, of containers that are made."""
    return [
        one
        for name, published in sorted(world.page.ports.items())
        if (seen := world.seen.get(name)) and seen.made
        for one in published
        if one.router == router.id
    ]


def opened_to_host(world: World, key: str, leave_out: Iterable[str] = ()) -> list[str]:
    """Addresses of the containers in a network whose extra_hosts ask for host-gateway."""
    return [
        address
        for name, address in world.page.addresses.get(key, {}).items()
        if name not in leave_out
        and (seen := world.seen.get(name))
        and any(real == "host-gateway" for _, real in seen.service.extra_hosts)
    ]


def files_of(world: World, name: str, service: Service) -> dict[str, str]:
    """hosts, hostname and resolv.conf. A container in somebody else's network sees that one's names."""
    owner, owner_service = name, service
    if service.network_mode.startswith("service:"):
        provider = service.network_mode.removeprefix("service:")
        owner, owner_service = next(
            (other, seen.service) for other, seen in world.seen.items() if seen.service.name == provider
        )
    own = {key: held[owner] for key, held in world.page.addresses.items() if owner in held}
    routers = [world.page.routers[join.network] for _, join, _ in interfaces(owner_service, frozenset())]
    uplink = next((router.uplink for router in routers if router.uplink), None)
    if service.network_mode == "host":
        with open("/etc/resolv.conf") as file:
            resolv = file.read()
    else:
        resolv = resolv_conf(service, [router.gateway for router in routers])
    return {
        "hosts": hosts(hostname_of(service), service, own, uplink.host_address if uplink else "127.0.0.1"),
        "hostname": hostname_of(service) + "\n",
        "resolv.conf": resolv,
    }
