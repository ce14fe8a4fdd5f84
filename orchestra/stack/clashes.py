"""What cannot be, whatever of the file is asked for: too many containers, replicas of one service that want the same
name or address.

Two services may want the same, as long as only one of them is to run, see plan/clashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from orchestra.plan.portranges import PortRange, fixed_range
from orchestra.stack.claims import Claim, claims_of, collide
from orchestra.stack.model import Service
from orchestra.stack.ports import parsed
from orchestra.stack.problems import Path, spell
from orchestra.stack.scaling import MOST_CONTAINERS
from orchestra.stack.scope import Scope

LONGEST_NAME = 200
"""Characters of a container's name. Files of it are called after it, with endings (NAME_MAX of Linux is 255)."""

_HOSTNAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""As long as the kernel takes (sethostname(2)); a line of /etc/hosts is made of it."""


def check(model: dict[str, Any], scope: Scope) -> None:
    services: dict[str, dict[str, Any]] = model["services"]
    _how_many(services, scope)
    _container_names(services, scope)
    _names(model, scope)
    _host_ports(services, scope)
    for network, entry in model.get("networks", {}).items():
        _addresses(network, entry, services, scope)


def places(services: Iterable[Service], scope: Scope) -> dict[str, str]:
    """Where the file says what several services want for themselves alone: path -> "file:line:column: path"."""
    wanted: dict[tuple[str, ...], list[tuple[str, Claim]]] = {}
    for service in services:
        for claim in claims_of(service):
            for place in claim.meeting():
                wanted.setdefault(place, []).append((service.name, claim))
    contested = {
        claim.path
        for claims in wanted.values()
        for name, claim in claims
        if any(other != name and collide(claim, its) for other, its in claims)
    }
    return {spell(path): scope.report.place(path) for path in sorted(contested, key=str)}


def _how_many(services: dict[str, dict[str, Any]], scope: Scope) -> None:
    asked = sum(replicas(service) for service in services.values())
    if asked > MOST_CONTAINERS:
        largest = max(services, key=lambda name: replicas(services[name]))
        what = f"{asked} containers are asked for, a stack has {MOST_CONTAINERS} at most"
        scope.report.key_problem(("services", largest), what)


def replicas(service: dict[str, Any]) -> int:
    """`deploy.replicas` or `scale`, which agree."""
    count: int = (service.get("deploy") or {}).get("replicas", service.get("scale", 1))
    return count


def _container_names(services: dict[str, dict[str, Any]], scope: Scope) -> None:
    for name, service in services.items():
        if service.get("container_name") is not None and replicas(service) > 1:
            what = f"a fixed name is for one container, but {replicas(service)} are asked for"
            scope.report.key_problem(("services", name, "container_name"), what)


def _names(model: dict[str, Any], scope: Scope) -> None:
    for name, service in model["services"].items():
        container = service.get("container_name") or f"{model['name']}-{name}-{replicas(service)}"
        if len(container) > LONGEST_NAME:
            what = f"its container would have a name of {len(container)} characters (expected {LONGEST_NAME} at most)"
            scope.report.key_problem(("services", name), what)
        hostname = service.get("hostname")
        if hostname and not _HOSTNAME.fullmatch(hostname):
            what = f"{hostname!r} is not a hostname (expected at most 64 letters, digits, . _ and -)"
            scope.report.problem(("services", name, "hostname"), what)


def _host_ports(services: dict[str, dict[str, Any]], scope: Scope) -> None:
    """A fixed port leads to one port of the service; a range for one port, as 0, means any free one. The first clash
    of a service is told."""
    for name, service in services.items():
        taken: list[PortRange] = []
        for index, port in enumerate(() if service.get("network_mode") else parsed(service.get("ports", []))):
            if (wished := fixed_range(port)) is None:
                continue
            if any(wished.meets(other) for other in taken):
                what = f"host port {wished} is published by {name} already"
                scope.report.problem(("services", name, "ports", index), what)
                break
            taken.append(wished)


def _addresses(network: str, entry: dict[str, Any], services: dict[str, dict[str, Any]], scope: Scope) -> None:
    """A fixed address is of a subnet that the file names, and for one container."""
    config = (entry.get("ipam", {}).get("config") or [{}])[0]
    for name, service in services.items():
        address = ((service.get("networks") or {}).get(network) or {}).get("ipv4_address")
        if address is None:
            continue
        path: Path = ("services", name, "networks", network, "ipv4_address")
        if "subnet" not in config and not entry.get("external"):
            what = f"network {network} has no subnet of its own (say one below networks.{network}.ipam.config)"
            scope.report.problem(path, what)
        if replicas(service) > 1:
            what = f"a fixed address is for one container, but {replicas(service)} are asked for"
            scope.report.problem(path, what)
