"""`ports` and `expose`: short and long form, ranges, host addresses.

Short: `[ip:][host[-end]:]container[-end][/tcp|udp]` (Compose Specification, 05-services.md, ports).
"""

from __future__ import annotations

from typing import Any

from orchestra.stack.model import UNFOLDED, Port
from orchestra.stack.problems import Path
from orchestra.stack.scalars import spelled
from orchestra.stack.scope import Scope, unique
from orchestra.stack.units import ip_version

_PROTOCOLS = ("tcp", "udp")
_SHORT = 'write it like "8080:80", "127.0.0.1:8080:80" or "9000-9003:9000-9003/udp"'
MOST = 1000
"""Ports of one service, a range that stays whole as one: each other is a socket or two, and a rule."""


class _BadPort(ValueError):
    pass


def ports(value: Any, path: Path, scope: Scope) -> list[dict[str, Any]]:
    """Every port in the long form, short ranges unfolded; of two that are the same, the later one stays."""
    found: dict[tuple[str, str, str, str], dict[str, Any]] = {}
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
            longer = f'a range of more than {UNFOLDED}, like "10000-20000:10000-20000", counts as one'
            scope.report.key_problem(path, f"more than {MOST} ports ({longer})")
            return []
    whole = [port for port in found.values() if isinstance(port["target"], str)]
    return [port for port in found.values() if not any(_is_within(port, other) for other in whole)]


def _identity(port: dict[str, Any]) -> tuple[str, str, str, str]:
    return port.get("host_ip", ""), port.get("published", ""), str(port["target"]), port["protocol"]


def _is_within(port: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether it is one of those of the range, with the same port inside."""
    if port is whole or not port.get("published") or _where(port) != _where(whole):
        return False
    (outside, last), (inside, end) = _range(port["published"]), _range(str(port["target"]))
    (first, most), (target, _) = _range(whole["published"]), _range(whole["target"])
    return last - outside == end - inside and first <= outside and last <= most and outside - first == inside - target


def _where(port: dict[str, Any]) -> tuple[str, str]:
    return port.get("host_ip", ""), port["protocol"]


def _long(entry: dict[str, Any]) -> list[dict[str, Any]]:
    target = entry.get("target")
    if target is None:
        raise _BadPort("target is missing (the port inside of the container)")
    base = {key: entry[key] for key in entry if key in ("name", "app_protocol")}
    base["mode"] = entry.get("mode", "ingress")
    if entry.get("host_ip"):
        base["host_ip"] = _address(str(entry["host_ip"]))
    base["protocol"] = _protocol(str(entry.get("protocol", "tcp")))
    published = "" if entry.get("published") is None else spelled(entry["published"])
    return _paired(base, published, spelled(target), f"{published}:{spelled(target)}")


def _short(text: str) -> list[dict[str, Any]]:
    body, slash, protocol = text.partition("/")
    protocol = _protocol(protocol) if slash else "tcp"
    address, published, target = _split(body, text)
    base: dict[str, Any] = {"mode": "ingress"}
    if address:
        base["host_ip"] = _address(address)
    return _paired(base | {"protocol": protocol}, published, target, text)


def _paired(base: dict[str, Any], published: str, target: str, text: str) -> list[dict[str, Any]]:
    """`text`: the entry, for people. Port 0 of the host is any free one, as for bind(2)."""
    inside = _range(target)
    count = inside[1] - inside[0] + 1
    if published in ("", "0"):
        if count > UNFOLDED:
            raise _BadPort(f"{text!r} is {count} ports without host ports (expected {UNFOLDED} at most)")
        return [_port(base, each) for each in range(inside[0], inside[1] + 1)]
    outside = _range(published)
    if count == 1:
        return [_port(base, inside[0], published if outside[0] != outside[1] else str(outside[0]))]
    if outside[1] - outside[0] + 1 != count:
        raise _BadPort(f"{text!r} pairs ranges of different length")
    if count <= UNFOLDED:
        return [_port(base, inside[0] + nth, str(outside[0] + nth)) for nth in range(count)]
    if ":" in base.get("host_ip", ""):
        raise _BadPort(f"{text!r} is {count} ports on IPv6 (expected {UNFOLDED} at most there, or an IPv4 address)")
    return [_port(base, target, published)]


def _port(base: dict[str, Any], target: int | str, published: str = "") -> dict[str, Any]:
    """In the order of Compose's documentation; `target` is a number, or a range that stays whole."""
    given = {"host_ip": base["host_ip"]} if "host_ip" in base else {}
    said = {"published": published} if published else {}
    port: dict[str, Any] = {"mode": base["mode"], **given, "target": target, **said, "protocol": base["protocol"]}
    return port | {key: base[key] for key in ("name", "app_protocol") if key in base}


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
    return tuple(map(_parsed, ports))


def _parsed(port: dict[str, Any]) -> Port:
    first, last = _range(str(port["target"]))
    return Port(
        target=first,
        published=_range(port["published"]) if port.get("published") else None,
        host_ip=port.get("host_ip", ""),
        protocol=port["protocol"],
        count=last - first + 1,
    )
