"""External networks: which there are, and who is in them. No stack owns one and no process keeps it.

The definition is durable and of the machine (data directory). What the members of each stack are called and publish
is of this boot (run directory): one file for each stack, written by its supervisor alone, read by everybody's. So no
one has to ask another process, and nobody's end takes anything from the others.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, field
from typing import Any

from .. import ours
from ..errors import OrchestraError
from ..places import Home
from ..plan.subnets import choose_subnet, choose_uplink, gateway_of, overlap
from ..values import dataclass
from ..wire.fits import NUMBER, fitting
from .files import ensure_folder, read_json, remove_tree, write_json
from .leases import leases
from .turns import locked
from .users import NAME, check_name, users

LONGEST_PREFIX = 29

BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Definition:
    """What `network create` said, and what was chosen for it."""

    name: str
    id: str
    created: float  # epoch seconds
    subnet: str
    gateway: str
    host_address: str  # both ends of the uplink, if it is not internal
    router_address: str
    internal: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """What one stack has in a network."""

    stack: str
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # lowercase -> addresses of who can be asked
    publications: tuple[Any, ...] = ()  # as JSON, see plan/wiring.Publication
    opened: tuple[str, ...] = ()  # addresses of containers that may reach the host
    boot: str = ""


# Definitions


def definition(home: Home, name: str) -> Definition | None:
    if not NAME.fullmatch(name):
        return None
    return read_json(home.network(name), lambda raw: Definition(**fitting(raw, _DEFINITION)))


_DEFINITION = {
    **dict.fromkeys(("name", "id", "subnet", "gateway", "host_address", "router_address"), str),
    "created": NUMBER,
    "internal": bool,
    "labels": {str: str},
}


def definitions(home: Home) -> list[Definition]:
    files = ours.names_in(home.networks)
    names = [file.removesuffix(".json") for file in files if file.endswith(".json")]
    return [found for name in names if (found := definition(home, name)) is not None]


def create(
    home: Home,
    name: str,
    subnet: str | None = None,
    gateway: str | None = None,
    internal: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Definition:
    """Durably; what is not given is chosen. Raises OrchestraError for what does not fit, OSError for a full disk."""
    check_name("network", name)
    ident = home.network_id(name)
    with leases(home.leases) as held:
        if definition(home, name) is not None:
            raise OrchestraError(f"network {name} exists already", f"orchestra network inspect {name}")
        around = [*_routes(), *(entry[0] for other, entry in held.subnets.items() if other != ident)]
        chosen = _fitting(name, subnet, around) if subnet else choose_subnet(around)
        host, router = choose_uplink([*(entry[1] for entry in held.subnets.values()), *around])
        made = Definition(
            name,
            ident,
            time.time(),
            chosen,
            _gateway(chosen, gateway),
            host,
            router,
            internal,
            dict(labels or {}),
        )
        held.subnets[ident] = [chosen, host, router]
        ensure_folder(home.networks)
        write_json(home.network(name), asdict(made))
    return made


def _fitting(name: str, subnet: str, around: Sequence[str]) -> str:
    import ipaddress  # for `network create` alone: supervisors start without it

    try:
        found = ipaddress.ip_network(subnet)
    except ValueError:
        raise OrchestraError(f"{subnet!r} is not a subnet", "write it like 10.20.0.0/24") from None
    if found.version != 4 or found.prefixlen > LONGEST_PREFIX:
        raise OrchestraError(f"{subnet} does not do for network {name}", "give an IPv4 subnet, /29 or larger")
    if taken := next((other for other in around if overlap(str(found), other)), None):
        raise OrchestraError(
            f"{subnet} overlaps {taken}, which is routed already", "leave --subnet out, or take another"
        )
    return str(found)


def _gateway(subnet: str, asked: str | None) -> str:
    if asked is None:
        return gateway_of(subnet)
    import ipaddress

    try:
        address, network = ipaddress.ip_address(asked), ipaddress.ip_network(subnet)
    except ValueError:
        raise OrchestraError(f"{asked!r} is not an address", "write it like 10.20.0.1") from None
    if address not in network:
        raise OrchestraError(f"gateway {asked} is outside of {subnet}", "leave --gateway out")
    if address in (network.network_address, network.broadcast_address):
        raise OrchestraError(
            f"gateway {asked} is an address that no host of {subnet} can have", "leave --gateway out"
        )
    return asked


def remove(home: Home, name: str) -> None:
    """Raises OrchestraError for one that does not exist or is in use; one without users is not in the kernel."""
    with leases(home.leases) as held:  # nobody joins meanwhile
        found = definition(home, name)
        if found is None:
            raise OrchestraError(f"no such network: {name}", "orchestra network ls lists them")
        if using := users(home, held.addresses.get(found.id, {})):
            who = " and ".join(using)
            raise OrchestraError(
                f"cannot remove network {name}: it is used by {who}", f"orchestra -p {using[0]} down"
            )
        held.addresses.pop(found.id, None)
        held.release([found.id])
        os.unlink(home.network(name))
        remove_tree(home.network_run(name), whatever_happens=True)


def used(home: Home) -> dict[str, dict[str, str]]:
    """Network id -> "STACK/CONTAINER" -> address, of all external networks."""
    with leases(home.leases) as held:
        return {
            ident: {holder: address for holder, address in entries.items() if users(home, [holder])}
            for ident, entries in held.addresses.items()
        }


def _routes() -> list[str]:
    """IPv4 destinations of the host's main table, without the default route (proc_net(5), route)."""
    found = []
    try:
        with open("/proc/net/route") as lines:
            next(lines)
            for line in lines:
                fields = line.split()
                network, mask = (int(fields[at], 16).to_bytes(4, sys.byteorder) for at in (1, 7))
                if prefix := int.from_bytes(mask, "big").bit_count():
                    found.append(f"{'.'.join(map(str, network))}/{prefix}")
    except (OSError, StopIteration):
        return []
    return found


# Members


@contextmanager
def turn(home: Home, name: str) -> Iterator[None]:
    """One at a time makes, changes or removes the network in the kernel."""
    folder = home.network_run(name)
    ensure_folder(folder)
    lock = locked(f"{folder}/lock")
    try:
        yield
    finally:
        os.close(lock)


def members(home: Home, name: str) -> list[Member]:
    """Of this boot."""
    folder = home.network_run(name)
    files = [file for file in ours.names_in(folder) if file.endswith(".member")]
    boot = boot_id()
    found = (_member(f"{folder}/{file}") for file in files)
    return [one for one in found if one is not None and one.boot == boot]


def _member(path: str) -> Member | None:
    return read_json(path, _shaped)


def _shaped(raw: Any) -> Member:
    fitting(raw, {"stack": str, "names": {str: [str]}, "publications": [dict], "opened": [str], "boot": str})
    return Member(**{**raw, "names": {name: tuple(addresses) for name, addresses in raw["names"].items()}})


def write_member(home: Home, name: str, member: Member) -> None:
    folder = home.network_run(name)
    ensure_folder(folder)
    write_json(f"{folder}/{member.stack}.member", asdict(member), durable=False)


def part(home: Home, name: str, stack: str) -> None:
    ours.clear(f"{home.network_run(name)}/{stack}.member")


def signature(home: Home, name: str) -> tuple[tuple[str, int, int], ...]:
    """Changes whenever what `members` would say does; costs a look at the folder."""
    try:
        with os.scandir(home.network_run(name)) as entries:
            found = [
                (each.name, each.stat(follow_symlinks=False)) for each in entries if each.name.endswith(".member")
            ]
    except OSError:
        return ()
    return tuple(sorted((file, stat.st_ino, stat.st_mtime_ns) for file, stat in found))


def boot_id() -> str:
    with open(BOOT_ID) as file:
        return file.read().strip()


class Neighbours:
    """What other stacks have in external networks, read anew only where something has changed."""

    def __init__(self, home: Home, stack: str) -> None:
        self._home = home
        self._stack = stack
        self._known: dict[str, tuple[object, list[Member], dict[str, list[str]]]] = {}

    def names(self, network: str) -> Mapping[str, list[str]]:
        """Name -> addresses."""
        return self._look(network)[2]

    def members(self, network: str) -> list[Member]:
        return self._look(network)[1]

    def _look(self, network: str) -> tuple[object, list[Member], dict[str, list[str]]]:
        now = signature(self._home, network)
        known = self._known.get(network)
        if known is None or known[0] != now:
            others = [one for one in members(self._home, network) if one.stack != self._stack]
            names: dict[str, list[str]] = {}
            for one in others:
                for name, addresses in one.names.items():
                    names.setdefault(name, []).extend(addresses)
            known = self._known[network] = (now, others, names)
        return known
