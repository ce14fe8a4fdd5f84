"""Sizes, durations and booleans as words, the way docker compose (Go) reads and writes them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,19})?)\s*(?:([kmgtp])(?:i?b)?|b)?\Z", re.IGNORECASE)
_SCALE = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w)")
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([kmg]?)bit(?:/s)?\Z", re.IGNORECASE)
_BITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_TRUE = frozenset(("true", "yes", "y", "on"))
_FALSE = frozenset(("false", "no", "n", "off"))


def size(value: object) -> int | None:
    """Bytes of `50m`, `1.5gb`, `512` (every unit is a power of 1024), or None if it is no size."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, int | float):
        return int(value) if 0 <= value < 2**63 and int(value) == value else None
    match = _SIZE.match(value.strip())
    if not match:
        return None
    shift = _SCALE[(match[2] or "").lower()]
    found = int(float(match[1]) * (1 << shift)) if "." in match[1] else int(match[1]) << shift
    return found if found < 2**63 else None


def rate(value: object) -> int | None:
    """Bits a second of `10mbit`, `1.5gbit`, `64kbit` (units of 1000, as tc(8) has them), or None if it is no rate.

    tc's `mbps` is megabytes, and everybody else's is not: it is none here.
    """
    match = _RATE.match(value.strip()) if isinstance(value, str) else None
    return round(float(match[1]) * _BITS[match[2].lower()]) if match else None


def spelled_rate(bits: int) -> str:
    """The largest unit that needs no more than three decimals: 10mbit, 1.5gbit."""
    for unit in ("g", "m", "k"):
        if bits >= _BITS[unit] and bits * 1000 % _BITS[unit] == 0:
            return f"{bits / _BITS[unit]:g}{unit}bit" if bits % _BITS[unit] else f"{bits // _BITS[unit]}{unit}bit"
    return f"{bits}bit"


def duration(value: object) -> int | None:
    """Nanoseconds of `1m30s`, `500ms`, `1d`, or None if it is no duration (a unit is needed, but for 0)."""
    if value in ("0", 0) and not isinstance(value, bool):
        return 0
    if not isinstance(value, str):
        return None
    at, total = 0, 0.0
    while match := _PART.match(value, at):
        total += float(match[1]) * _NANOSECONDS[match[2]]
        at = match.end()
    return round(total) if at and at == len(value) and total < 2**63 else None


def spelled_duration(nanoseconds: int) -> str:
    """As Go's time.Duration prints itself: 1m30s, 500ms, 24h0m0s."""
    if nanoseconds == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if nanoseconds < _NANOSECONDS[unit] * 1000:
            return f"{_decimal(nanoseconds, _NANOSECONDS[unit])}{unit}"
    minutes, rest = divmod(nanoseconds, _NANOSECONDS["m"])
    text = f"{_decimal(rest, _NANOSECONDS['s'])}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = (f"{hours}h" if hours else "") + f"{minutes}m{text}"
    return text


def _decimal(amount: int, unit: int) -> str:
    whole, part = divmod(amount, unit)
    digits = str(part).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if part else str(whole)


def truth(text: str) -> bool | None:
    """A boolean from a variable: true, yes, y, on and their opposites in any case; not 1, not t."""
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else None


def ip_version(text: str) -> int | None:
    """4 or 6 for an IP address, a zone (%eth0) left aside; None for anything else."""
    import ipaddress  # few stacks name an address, and it takes milliseconds

    try:
        return ipaddress.ip_address(text.partition("%")[0]).version
    except ValueError:
        return None
