"""Ranges of host ports, and which of them cannot be together."""

from __future__ import annotations

from ..stack.model import Port
from ..values import dataclass
from . import spelling
from .wiring import Publication


@dataclass(frozen=True, slots=True)
class PortRange:
    host_ip: str  # "" means every address
    first: int
    last: int
    protocol: str

    def __str__(self) -> str:
        numbers = spelling.ports(self.first, self.last - self.first + 1)
        return f"{numbers}/{self.protocol}" + (f" on {self.host_ip}" if self.host_ip else "")

    def meets(self, other: PortRange) -> bool:
        """Whether both have a port in common."""
        return (
            self.protocol == other.protocol
            and self.first <= other.last
            and other.first <= self.last
            and _same_address(self.host_ip, other.host_ip)
        )


def _same_address(one: str, other: str) -> bool:
    if "" in (one, other) or one == other:
        return True
    return (":" in one) == (":" in other) and bool({one, other} & {"0.0.0.0", "::"})


def range_of(published: Publication) -> PortRange:
    last = published.host_port + published.count - 1
    return PortRange(published.host_ip, published.host_port, last, published.protocol)


def fixed_range(port: Port) -> PortRange | None:
    """The host ports that it asks for, where no others will do."""
    if port.published is None or port.published[1] - port.published[0] + 1 != port.count:
        return None
    return PortRange(port.host_ip, *port.published, port.protocol)
