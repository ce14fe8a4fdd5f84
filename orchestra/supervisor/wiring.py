"""From what the book says to what the network workshop makes true: routers, plugs, publications, files of names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import OrchestraError
from ..plan.addresses import guest_interface, interfaces, mac_of, port_of
from ..plan.clashes import rests
from ..plan.launch import capabilities
from ..plan.portranges import range_of
from ..plan.replacing import serves
from ..plan.resolv import LOCALHOST, hosts, resolv_conf, resolv_conf_of_machine
from ..plan.sharing import guest_name
from ..plan.wiring import Plug, Publication, Router
from ..stack.model import Service
from .hostnames import hostname_of
from .world import World

LARGEST = 1 << 18
"""Characters of the machine's /etc/hosts, which may be a list of all that somebody does not want to see."""


def net_pin(world: World, name: str, service: Service) -> str:
    """The network namespace that a container runs in; "" is the host's. Raises OrchestraError where whose network it
    uses is gone."""
    owner, its = _provider(world, name, service)
    return "" if its.network_mode == "host" else world.places.net_pin(owner)


def _provider(world: World, name: str, service: Service) -> tuple[str, Service]:
    """The container whose network it is: its own, or that of another service, which may use somebody else's too."""
    known = list(world.seen.items())  # a copy: the tasks go on changing theirs meanwhile
    owner, its, passed = name, service, {name}
    while (provider := its.network_mode.removeprefix("service:")) != its.network_mode:
        found = next((one for one in known if one[1].service.name == provider and one[1].made), None)
        if found is None or found[0] in passed:  # of what ran before, one may point back at the other
            raise OrchestraError(
                f"{name} uses the network of {provider}, which is not there", f"orchestra up -d {provider} makes it"
            )
        owner, its = found[0], found[1].service
        passed.add(owner)
    return owner, its


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
                ingress=service.limits.ingress,
                egress=service.limits.egress,
                powerful="CAP_NET_ADMIN" in capabilities(service)["bounding"],
            ),
        )


def ports_of(world: World, name: str, service: Service) -> Iterator[tuple[str, str, str, str]]:
    """(network key, interface, router pin, port in it) for each network of a container that is there."""
    for interface, join, _ in interfaces(service, frozenset()):
        router = world.page.routers.get(join.network)
        address = world.page.addresses.get(join.network, {}).get(name)
        if router is not None and address is not None:
            yield join.network, interface, router.pin, port_of(address)


def guest_plug(world: World, lease: str, container: str, key: str) -> Plug | None:
    """The plug of another stack's container in a network of ours; None where it has no address there."""
    owner = lease.partition("/")[0]
    router = world.page.routers.get(key)
    address = world.page.guests.get(key, {}).get(guest_name(lease, container))
    if router is None or address is None:
        return None
    return Plug(
        container=container,
        net_pin=world.places.home.stack(owner).net_pin(container),
        router=router.pin,
        interface=guest_interface(address),
        port=port_of(address),
        address=address,
        prefix=int(router.subnet.partition("/")[2]),
        mac=mac_of(address),
        gateway=None,
    )


def publications_of(world: World, router: Router) -> list[Publication]:
    """Everything that goes through this router, of containers that are made and serve; one that is stopped leaves its
    port to another service that wants it."""
    return [
        one
        for name, published in sorted(world.page.ports.items())
        if (seen := world.seen.get(name)) and seen.made and serves(world.wanted, name)
        if not (_rests(world, name) and any(not _rests(world, other) for other in rivals(world, name)))
        for one in published
        if one.router == router.id
    ]


def rivals(world: World, name: str) -> list[str]:
    """Containers of other services that publish a host port of this one: at most one of them is to run."""
    mine = [range_of(one) for one in world.page.ports.get(name, ())]
    if not mine:
        return []
    # Of single ports there may be hundreds: those are looked up.
    single = {(one.first, one.protocol) for one in mine if one.first == one.last}
    long = [one for one in mine if one.first != one.last]

    def meets(its: Publication) -> bool:
        if its.count == 1 and (its.host_port, its.protocol) in single:
            return True
        return any(range_of(its).meets(one) for one in (long if its.count == 1 else mine))

    service = world.seen[name].service.name
    return [
        other
        for other, ports in world.page.ports.items()
        if (seen := world.seen.get(other)) and seen.service.name != service
        if any(map(meets, ports))
    ]


def _rests(world: World, name: str) -> bool:
    target = world.wanted.targets.get(name)
    return target is not None and rests(target, world.seen.get(name))


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
    owner, its = _provider(world, name, service)
    own = {key: held[owner] for key, held in world.page.addresses.items() if owner in held}
    routers = [world.page.routers[join.network] for _, join, _ in interfaces(its, frozenset())]
    uplink = next((router.uplink for router in routers if router.uplink), None)
    others = LOCALHOST
    if its.network_mode == "host":
        others = _text("/etc/hosts") or LOCALHOST
        resolv = resolv_conf_of_machine(service, _text("/etc/resolv.conf"))
    else:
        resolv = resolv_conf(service, [router.nameserver for router in routers])
    hostname = hostname_of(world.places, name, service)
    return {
        "hosts": hosts(hostname, service, own, uplink.host_address if uplink else "127.0.0.1", others),
        "hostname": hostname + "\n",
        "resolv.conf": resolv,
    }


def _text(path: str) -> str:
    """Of a file of the machine's; "" of none, and of one that is too long to be given to a container."""
    try:
        with open(path, errors="replace") as file:
            text = file.read(LARGEST + 1)
    except OSError:
        return ""
    return text if len(text) <= LARGEST else ""
