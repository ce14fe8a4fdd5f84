"""What must be true of the network, as values: `plan/addresses` makes them, the network workshop makes them true.

A network is a network namespace (router) with one bridge, the gateway's address, a DNS socket and an uplink veth
to the host. A plug is a container's veth into one router.
"""

from __future__ import annotations

from ..values import dataclass


@dataclass(frozen=True, slots=True)
class Uplink:
    """The veth between a router and the host: the host's end is `link`, both ends have an address of a /31."""

    link: str  # "orc0123456789"
    host_address: str
    router_address: str


@dataclass(frozen=True, slots=True)
class Router:
    id: str  # ten hex digits, unique on this machine; nft table "orchestra-<id>"
    label: str  # "store_default", for people
    pin: str  # where the namespace is pinned
    subnet: str  # "10.213.0.0/24"
    gateway: str  # "10.213.0.1"
    uplink: Uplink | None  # None: internal
    external: str = ""  # name of the external network, which belongs to no stack
    resolver: str = ""  # address of our stack's own resolver in there; else it has the gateway's

    @property
    def nameserver(self) -> str:
        return self.resolver or self.gateway


@dataclass(frozen=True, slots=True)
class Plug:
    """One interface of a container in one network."""

    container: str  # for people
    net_pin: str  # the container's network namespace
    router: str  # Router.pin
    interface: str  # name inside: "eth0"
    port: str  # name of the bridge's end inside of the router: "v" and the address in hex
    address: str  # "10.213.0.5"
    prefix: int  # 24
    mac: str
    gateway: str | None  # default route through this plug; None: another plug has it
    ingress: int | None = None  # bits a second into the container at most
    egress: int | None = None  # and out of it
    powerful: bool = False  # the container has rights over its own end


@dataclass(frozen=True, slots=True)
class Publication:
    """A host port that leads to a container. `host_ip` "" means all addresses, IPv4 and IPv6.

    With a `count` it is so many in a row, each of which leads to the next port; on IPv4 only.
    """

    owner: str  # "store/web", for the error when somebody else wants the port
    host_ip: str
    host_port: int
    protocol: str  # tcp, udp
    router: str  # Router.id through which it goes
    address: str
    port: int
    count: int = 1
