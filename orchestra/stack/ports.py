"""`ports` and `expose`: short and long form, ranges, host addresses.

Short: `[ip:][host[-end]:]container[-end][/tcp|udp]` (Compose Specification, 05-services.md, ports).
"""

from __future__ import annotations

from typing import Any

from orchestra.stack.model import Port
from orchestra.stack.problems import Path
from orchestra.stack.scalars import spelled
from orchestra.stack.scope import Scope, unique
from orchestra.stack.units import ip_version

_PROTOCOLS = ("tcp", "udp")
_SHORT = 'write it like "8080:80", "127.0.0.1:8080:80" or "9000-9003:9000-9003/udp"'
MOST = 20_000
"""Ports of one service: each is a socket, and a rule of the firewall."""


class _BadPort(ValueError):
    pass


def ports(value: Any, path: Path, scope: Scope) -> list[dict[str, Any]]:
    """Every port in the long form, equal ranges unfolded; of two that are the same, the later one stays."""
    found: dict[tuple[str, str, int, str], dict[str, Any]] = {}
    for index, entry in enumerate(value or ()):
        if entry is None:
            continue
        try:
            parsed = _long(entry) if isinstance(entry, dict) else _short(spelled(entry))
        except _BadPort as error:
            scope.report.problem((*path, index), str(error))
            continue
        for port in parsed:
            found[_identity(port)] = port
        if len(found) > MOST:
            scope.report.key_problem(path, f"more than {MOST} ports")
            return []
    return list(found.values())


def _identity(port: dict[str, Any]) -> tuple[str, str, int, str]:
    return port.get("host_ip", ""), port.get("published", ""), port["target"], port["protocol"]


def _long(entry: dict[str, Any]) -> list[dict[str, Any]]:
    target = entry.get("target")
    if target is None:
        raise _BadPort("target is missing (the port inside of the container)")
    port: dict[str, Any] = {"mode": entry.get("mode", "ingress"), "target": _number(spelled(target))}
    if entry.get("host_ip"):
        port["host_ip"] = _address(str(entry["host_ip"]))
    if entry.get("published") not in (None, ""):
        _range(spelled(entry["published"]))
        port["published"] = spelled(entry["published"])
    port["protocol"] = _protocol(str(entry.get("protocol", "tcp")))
    return [port | {key: entry[key] for key in entry if key in ("name", "app_protocol")}]


def _short(text: str) -> list[dict[str, Any]]:
    body, slash, protocol = text.partition("/")
    protocol = _protocol(protocol) if slash else "tcp"
    address, published, target = _split(body, text)
    targets = _range(target)
    if targets[1] - targets[0] > MOST:
        raise _BadPort(f"{text!r} is more than {MOST} ports")
    base: dict[str, Any] = {"mode": "ingress"}
    if address:
        base["host_ip"] = _address(address)
    if not published:
        return [base | {"target": each, "protocol": protocol} for each in range(targets[0], targets[1] + 1)]
    outside = _range(published)
    if targets[0] == targets[1]:
        words = published if outside[0] != outside[1] else str(outside[0])
        return [base | {"target": targets[0], "published": words, "protocol": protocol}]
    if outside[1] - outside[0] != targets[1] - targets[0]:
        raise _BadPort(f"{text!r} pairs ranges of different length")
    return [
        base | {"target": inside, "published": str(outside[0] + offset), "protocol": protocol}
        for offset, inside in enumerate(range(targets[0], targets[1] + 1))
    ]


def _split(body: str, text: str) -> tuple[str, str, str]:
    """Address, host part and container part; an IPv6 address may stand in brackets or bare."""
    rest, _, target = body.rpartition(":")
    if rest.startswith("[") and rest.endswith("]"):
        raise _BadPort(f"{text!r} has an address but no host port ({_SHORT})")
    address, _, published = rest.rpartition(":")
    if address.startswith("["):
        address = address.removeprefix("[").removesuffix("]")
    if not target:
        raise _BadPort(f"{text!r} is not HOST:CONTAINER ({_SHORT})")
    return address, published, target


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    start = _number(first)
    end = _number(last) if dash else start
    if end < start:
        raise _BadPort(f"range {text!r} ends before it starts")
    return start, end


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise _BadPort(f"{text!r} is not a port (expected a number from 1 to 65535; {_SHORT})")
    number = int(text[:9])
    if not 1 <= number <= 65535:
        raise _BadPort(f"port {text[:20]} is out of range (expected 1 to 65535)")
    return number


def _protocol(text: str) -> str:
    if text.lower() == "sctp":
        raise _BadPort("sctp is not supported yet (expected tcp or udp)")
    if text.lower() not in _PROTOCOLS:
        raise _BadPort(f"{text!r} is not a protocol (expected tcp or udp)")
    return text.lower()


def _address(text: str) -> str:
    bare = text.removeprefix("[").removesuffix("]")
    if ip_version(bare) is None:
        raise _BadPort(f"{text!r} is not an IP address of the host")
    return bare


def expose(value: Any, path: Path, scope: Scope) -> list[str]:
    return unique(scope.texts(value, path))


def parsed(ports: list[dict[str, Any]]) -> tuple[Port, ...]:
    """The model's ports as values; `published: 8000-8002` on one target is any free one of the range."""
    return tuple(
        Port(
            target=port["target"],
            published=_range(port["published"]) if port.get("published") else None,
            host_ip=port.get("host_ip", ""),
            protocol=port["protocol"],
        )
        for port in ports
    )
