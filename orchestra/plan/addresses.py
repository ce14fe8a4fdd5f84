"""Which address, id range and interface each container gets: decided here, kept by the caller, never changed while
the container is wanted, so that a restart or a replacement finds everything as it was.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from ..errors import OrchestraError
from ..stack.model import Join, Service
from .facts import Target

FIRST_HOST = 2
"""The gateway has the first address of a subnet; the last is broadcast."""


def allocate(
    subnet: str,
    gateway: str,
    held: Mapping[str, str],
    joins: Mapping[str, Join],
) -> dict[str, str]:
    """Container -> address in one network: what is held stays, what is asked for is given, the rest is chosen.

    Containers of other stacks are known by the slash in their names.

    Raises OrchestraError when an asked address is outside, no host's or taken twice, or the subnet is full.
    """
    network = ipaddress.ip_network(subnet)
    fixed = {name: join.ipv4_address for name, join in joins.items() if join.ipv4_address}
    _check_fixed(network, gateway, fixed, {held[name]: name for name in held if "/" in name})
    wanted_elsewhere = set(fixed.values())
    given = dict(fixed)
    for name in joins:
        if name in given or (address := held.get(name)) is None or address in wanted_elsewhere:
            continue
        # Unless the network has become another one.
        if address != gateway and ipaddress.ip_address(address) in network:
            given[name] = address
    taken = {*given.values(), gateway, *(held[name] for name in held if name not in joins)}
    free = _free(network, taken)
    for name in sorted(joins):
        if name not in given:
            address = next(free, None)
            if address is None:
                raise OrchestraError(f"network {subnet} has no free address for {name}", "give it a larger subnet")
            given[name] = address
    return given


def _check_fixed(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    gateway: str,
    fixed: dict[str, str],
    others: dict[str, str],
) -> None:
    """`others`: address -> who of another stack has it."""
    seen: dict[str, str] = {gateway: "the gateway", **others}
    for name, address in sorted(fixed.items()):
        asked = ipaddress.ip_address(address)
        if asked not in network:
            raise OrchestraError(f"{name} asks for {address}, which is outside of {network}")
        if asked in (network.network_address, network.broadcast_address):
            raise OrchestraError(f"{name} asks for {address}, which no container of {network} can have")
        if other := seen.get(address):
            raise OrchestraError(f"{name} asks for {address}, which {other} has")
        seen[address] = name


def _free(network: ipaddress.IPv4Network | ipaddress.IPv6Network, taken: set[str]) -> Iterator[str]:
    first = int(network.network_address) + FIRST_HOST
    last = int(network.broadcast_address) - 1
    return (text for number in range(first, last + 1) if (text := str(ipaddress.ip_address(number))) not in taken)


def mac_of(address: str) -> str:
    """A locally administered MAC that follows from the address, so that no neighbour's cache goes stale."""
    octets = ipaddress.ip_address(address).packed
    return "02:42:" + ":".join(f"{octet:02x}" for octet in octets)


def port_of(address: str) -> str:
    """The name of the bridge's end of a plug: unique within its router, at most 15 bytes."""
    return "v" + ipaddress.ip_address(address).packed.hex()


def guest_interface(address: str) -> str:
    """The name of a guest's end of a plug: unique in its namespace, where its owner's links are called eth0, …"""
    return "g" + ipaddress.ip_address(address).packed.hex()


def joins_of(targets: Mapping[str, Target], network: str) -> dict[str, Join]:
    """Container -> how it joins this network."""
    return {
        name: join for name, target in targets.items() for join in target.service.networks if join.network == network
    }


def interfaces(service: Service, internal: frozenset[str]) -> list[tuple[str, Join, bool]]:
    """(interface, join, has the default route) in the order of priority, then of name (Compose, networks).

    The default route goes through the first network that leads anywhere, `internal` ones do not.
    """
    ordered = sorted(service.networks, key=lambda join: (-join.priority, join.network))
    outward = next((join.network for join in ordered if join.network not in internal), None)
    return [(f"eth{index}", join, join.network == outward) for index, join in enumerate(ordered)]
