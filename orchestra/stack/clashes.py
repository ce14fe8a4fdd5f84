"""What is right by itself but cannot be together: two services that want the same port, name or address.

Better said before anything has started than by the second service, when the first one runs.
"""

from __future__ import annotations

import re
from typing import Any

from orchestra.stack.problems import Path
from orchestra.stack.scaling import MOST_CONTAINERS
from orchestra.stack.scope import Scope

LONGEST_NAME = 200
"""Characters of a container's name. Files of it are called after it, with endings (NAME_MAX of Linux is 255)."""

_HOSTNAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""As long as the kernel takes (sethostname(2)); a line of /etc/hosts is made of it."""


def check(model: dict[str, Any], scope: Scope) -> None:
    """Reports each clash at the later of the two."""
    services: dict[str, dict[str, Any]] = model["services"]
    _how_many(services, scope)
    _container_names(services, scope)
    _names(model, scope)
    _host_ports(services, scope)
    for network, entry in model.get("networks", {}).items():
        _addresses(network, entry, services, scope)


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
    owners: dict[str, str] = {}
    for name, service in services.items():
        fixed = service.get("container_name")
        if fixed is None:
            continue
        path: Path = ("services", name, "container_name")
        if replicas(service) > 1:
            what = f"a fixed name is for one container, but {replicas(service)} are asked for"
            scope.report.key_problem(path, what)
        if fixed in owners:
            scope.report.problem(path, f"{fixed!r} is the name of {owners[fixed]} already")
        owners[fixed] = name


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
    """One fixed port for two services; a range means any free one, so it clashes with nothing here."""
    owners: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, service in services.items():
        if service.get("network_mode"):
            continue
        for index, port in enumerate(service.get("ports", ())):
            published, address = port.get("published", ""), port.get("host_ip", "")
            if not published or "-" in published:
                continue
            taken = owners.setdefault((published, port["protocol"]), [])
            for other, where in taken:
                if other != name and (address == where or "" in (address, where)):
                    what = f"host port {published}/{port['protocol']} is published by {other} already"
                    scope.report.problem(("services", name, "ports", index), what)
                    break
            taken.append((name, address))


def _addresses(network: str, entry: dict[str, Any], services: dict[str, dict[str, Any]], scope: Scope) -> None:
    """A fixed address is of a subnet that the file names, is nobody else's, and is for one container."""
    config = (entry.get("ipam", {}).get("config") or [{}])[0]
    owners: dict[str, str] = {}
    for name, service in services.items():
        address = ((service.get("networks") or {}).get(network) or {}).get("ipv4_address")
        if address is None:
            continue
        path: Path = ("services", name, "networks", network, "ipv4_address")
        if "subnet" not in config and not entry.get("external"):
            what = f"network {network} has no subnet of its own (say one below networks.{network}.ipam.config)"
            scope.report.problem(path, what)
        if address in owners:
            scope.report.problem(path, f"{address} is the address of {owners[address]} already")
        if replicas(service) > 1:
            what = f"a fixed address is for one container, but {replicas(service)} are asked for"
            scope.report.problem(path, what)
        owners[address] = name
