"""Networks, names and addresses: of a service, and at the top level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestra.stack.model import Join, Network
from orchestra.stack.problems import Path
from orchestra.stack.scope import Scope, shown, without_extensions
from orchestra.stack.units import ip_version

SubnetOf = Callable[[str], "tuple[str, str] | None"]
"""(subnet, gateway) of an external network, if there is one of that name."""

_SHARED = ("none", "host", "bridge")


def joins(value: Any, path: Path, scope: Scope) -> dict[str, dict[str, Any] | None]:
    """The networks that a service joins, by key; null is a plain membership."""
    if not isinstance(value, dict):
        return dict.fromkeys(scope.texts(value, path))
    return {key: _join(entry, (*path, key), scope) for key, entry in value.items()}


def _join(entry: Any, path: Path, scope: Scope) -> dict[str, Any] | None:
    if entry is None:
        return None
    found: dict[str, Any] = {}
    for key, value in without_extensions(entry).items():
        at = (*path, key)
        if key in ("priority", "gw_priority"):
            number = scope.integer(value, at)
            if number:
                found[key] = number
        elif key in ("aliases", "link_local_ips"):
            if value:
                found[key] = scope.texts(value, at)
        elif key == "ipv4_address" and ip_version(str(value)) != 4:
            scope.report.problem(at, f"{shown(value)} is not an IPv4 address")
        elif value not in (None, "", {}):
            found[key] = value
    return found


def network_mode(value: Any, path: Path, scope: Scope) -> str | None:
    mode = str(value)
    if mode in _SHARED or mode.startswith(("service:", "container:")):
        return mode
    scope.report.problem(path, f"{mode!r} is not a network mode (expected none, host or service:NAME)")
    return None


def extra_hosts(value: Any, path: Path, scope: Scope) -> list[str]:
    """`name=address` lines, sorted; both `:` and `=` separate in a list."""
    lines: list[tuple[str, str]] = []
    if isinstance(value, dict):
        for name, addresses in value.items():
            lines += [(name, text) for text in scope.texts(addresses, (*path, name))]
    for index, text in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(text, str):
            continue
        sign = "=" if "=" in text else ":"
        name, _, address = text.partition(sign)
        if not name or not address:
            scope.report.problem((*path, index), f"{text!r} is not NAME=ADDRESS")
            continue
        lines.append((name, address))
    found = []
    for name, address in lines:
        bare = address.removeprefix("[").removesuffix("]")
        if bare != "host-gateway" and ip_version(bare) is None:
            scope.report.problem(
                path, f"{bare!r} for {name} is not an address (expected an IP address or host-gateway)"
            )
            continue
        found.append(f"{name}={bare}")
    return sorted(found)


def top_level(key: str, entry: Any, path: Path, scope: Scope, project: str) -> dict[str, Any]:
    """A network, volume, secret or config as the model prints it: named, labels as a mapping."""
    given = without_extensions(entry or {})
    external, name = given.get("external"), given.get("name")
    if isinstance(external, dict):
        name, external = external.get("name", name), True
    elif external is not None:
        external = scope.flag(external, (*path, "external"))
    found: dict[str, Any] = {"name": str(name) if name else key if external else f"{project}_{key}"}
    if external:
        found["external"] = True
    for name_of, value in given.items():
        at = (*path, name_of)
        if name_of in ("name", "external"):
            continue
        if name_of == "labels":
            found[name_of] = scope.pairs(value, at)
        elif name_of in ("internal", "attachable", "enable_ipv4", "enable_ipv6"):
            truth = scope.flag(value, at)
            if truth or (truth is False and name_of.startswith("enable")):
                found[name_of] = truth
        elif name_of == "driver_opts":
            found[name_of] = scope.pairs(value, at)
        elif name_of == "ipam":
            found[name_of] = _ipam(value or {})
        elif name_of == "file":
            found[name_of] = scope.absolute(str(value))
        elif value not in (None, "", [], {}):
            found[name_of] = value
    return {item: value for item, value in found.items() if value not in ("", {}, None)}


def _ipam(given: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in without_extensions(given).items() if value}
    if "config" in found:
        found["config"] = [without_extensions(entry) for entry in found["config"] if entry]
    return found


def network(key: str, model: dict[str, Any]) -> Network:
    config = (model.get("ipam", {}).get("config") or [{}])[0]
    return Network(
        key=key,
        name=model["name"],
        internal=model.get("internal", False),
        external=model.get("external", False),
        subnet=config.get("subnet"),
        gateway=config.get("gateway"),
        labels=model.get("labels", {}),
    )


def fixed_addresses(model: dict[str, Any], subnet_of: SubnetOf | None, scope: Scope) -> None:
    """Reports each `ipv4_address` that no container can have. What is no subnet was told of elsewhere."""
    for name, service in model["services"].items():
        for network, join in (service.get("networks") or {}).items():
            address, entry = (join or {}).get("ipv4_address"), model.get("networks", {}).get(network)
            if address is None or entry is None:
                continue
            known = _configured(entry) if not entry.get("external") else subnet_of and subnet_of(entry["name"])
            if known and (why := _why_no_host(address, *known)):
                scope.report.problem(("services", name, "networks", network, "ipv4_address"), why)


def _configured(entry: dict[str, Any]) -> tuple[str, str | None] | None:
    config = (entry.get("ipam", {}).get("config") or [{}])[0]
    return (config["subnet"], config.get("gateway")) if "subnet" in config else None


def _why_no_host(address: str, subnet: str, gateway: str | None) -> str | None:
    """A subnet's first and last address are nobody's (RFC 1122, 3.2.1.3), one is the gateway's."""
    import ipaddress

    try:
        asked, net = ipaddress.ip_address(address), ipaddress.ip_network(subnet)
    except ValueError:
        return None
    if asked not in net:
        return f"{address} is outside of {subnet}"
    if asked == net.network_address:
        return f"{address} is the address of the subnet {subnet} itself"
    if asked == net.broadcast_address:
        return f"{address} is the broadcast address of {subnet}"
    if address == (gateway or str(net.network_address + 1)):
        return f"{address} is the address of the gateway"
    return None


def addressing(model: dict[str, Any], path: Path, scope: Scope) -> None:
    """Subnet and gateway of `ipam` fit together."""
    import ipaddress

    for index, config in enumerate(model.get("ipam", {}).get("config") or ()):
        at = (*path, "ipam", "config", index)
        subnet, gateway = config.get("subnet"), config.get("gateway")
        try:
            net = ipaddress.ip_network(str(subnet)) if subnet else None
        except ValueError:
            scope.report.problem((*at, "subnet"), f"{subnet!r} is not a subnet (write it like 10.20.0.0/24)")
            continue
        try:
            address = ipaddress.ip_address(str(gateway)) if gateway else None
        except ValueError:
            scope.report.problem((*at, "gateway"), f"{gateway!r} is not an address")
            continue
        if address and net and address not in net:
            scope.report.problem((*at, "gateway"), f"{gateway} is outside of {subnet}")
        elif address and net and address in (net.network_address, net.broadcast_address):
            scope.report.problem((*at, "gateway"), f"{gateway} is an address that no host of {subnet} can have")


def parsed_joins(model: dict[str, Any] | None) -> tuple[Join, ...]:
    """Highest priority first: it decides the order of the interfaces; the rest by name, as docker does."""
    found = [
        Join(
            network=key,
            aliases=tuple((entry or {}).get("aliases", ())),
            ipv4_address=(entry or {}).get("ipv4_address"),
            mac_address=(entry or {}).get("mac_address"),
            priority=(entry or {}).get("priority", 0),
        )
        for key, entry in (model or {}).items()
    ]
    return tuple(sorted(found, key=lambda join: (-join.priority, join.network)))
