"""What a service wants for itself alone: fixed host ports, fixed addresses, a container's name.

A module of its own: a supervisor asks, which has no use for what reads stack files.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestra.plan import spelling
from orchestra.plan.portranges import PortRange, fixed_range
from orchestra.stack.model import Service
from orchestra.stack.problems import Path
from orchestra.values import dataclass

NEIGHBOURS = 64
"""Ports that are looked through together."""


@dataclass(frozen=True, slots=True)
class Claim:
    path: Path  # where the file says so
    what: str  # in words: "host port 80/tcp"
    key: tuple[str, ...]
    ports: PortRange | None = None
    when_made: bool = False  # it is had as long as the container is there, whether it runs or not

    def meeting(self) -> list[tuple[str, ...]]:
        """Those that collide have one of these in common: few have to be compared where there are thousands."""
        if self.ports is None:
            return [self.key]
        first, last = self.ports.first // NEIGHBOURS, self.ports.last // NEIGHBOURS
        return [(*self.key, str(number)) for number in range(first, last + 1)]


def claims_of(service: Service) -> Iterator[Claim]:
    """A range of host ports for one port means any free one, as 0 does, so it claims nothing."""
    path: Path = ("services", service.name)
    for index, port in enumerate(service.ports):
        if (ports := fixed_range(port)) is not None:
            what = f"host port {spelling.ports(ports.first, port.count)}/{port.protocol}"
            yield Claim((*path, "ports", index), what, ("port", port.protocol), ports)
    if service.container_name:
        what = f"the name {service.container_name}"
        yield Claim((*path, "container_name"), what, ("name", service.container_name), when_made=True)
    for join in service.networks:
        if address := join.ipv4_address:
            at = (*path, "networks", join.network, "ipv4_address")
            yield Claim(at, f"the address {address}", ("address", join.network, address), when_made=True)


def collide(one: Claim, other: Claim) -> bool:
    return one.key == other.key and (one.ports is None or other.ports is None or one.ports.meets(other.ports))
