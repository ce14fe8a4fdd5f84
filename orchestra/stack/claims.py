"""What a service wants for itself alone: fixed host ports, fixed addresses, a container's name.

A module of its own: a supervisor asks, which has no use for what reads stack files.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestra.stack.model import Port, Service
from orchestra.stack.problems import Path
from orchestra.values import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    path: Path  # where the file says so
    what: str  # in words: "host port 80/tcp"
    key: tuple[str, ...]
    host_ip: str = ""  # of a port: only there; "" is everywhere
    when_made: bool = False  # it is had as long as the container is there, whether it runs or not


def claims_of(service: Service) -> Iterator[Claim]:
    """A range of host ports means any free one, as 0 does, so it claims nothing."""
    path: Path = ("services", service.name)
    for index, port in enumerate(service.ports):
        if (number := _fixed(port)) is not None:
            what = f"host port {number}/{port.protocol}"
            yield Claim((*path, "ports", index), what, ("port", str(number), port.protocol), port.host_ip)
    if service.container_name:
        what = f"the name {service.container_name}"
        yield Claim((*path, "container_name"), what, ("name", service.container_name), when_made=True)
    for join in service.networks:
        if address := join.ipv4_address:
            at = (*path, "networks", join.network, "ipv4_address")
            yield Claim(at, f"the address {address}", ("address", join.network, address), when_made=True)


def _fixed(port: Port) -> int | None:
    """The host port, where only one will do."""
    first, last = port.published or (0, 0)
    return first if first and first == last else None


def collide(one: Claim, other: Claim) -> bool:
    return one.key == other.key and (one.host_ip == other.host_ip or "" in (one.host_ip, other.host_ip))
