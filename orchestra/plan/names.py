"""Which addresses a name has in a network: services, aliases, containers, `service.stack`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REVERSE = ".in-addr.arpa"


def lookup(table: Mapping[str, Sequence[str]], name: str) -> tuple[str, ...] | None:
    """Addresses of a name as it was asked for; () for one that is known and has none now, None for an unknown one.

    Case and the root's dot do not count (RFC 1034, 3.1). Keys of the table are lowercase and without that dot.
    """
    found = table.get(name.lower().removesuffix("."))
    return None if found is None else tuple(found)


def reverse(table: Mapping[str, Sequence[str]], name: str) -> str | None:
    """The first name in the table for the address that is asked for as `5.0.213.10.in-addr.arpa`."""
    address = reversed_address(name)
    return next((known for known, addresses in table.items() if address in addresses), None)


def reversed_address(name: str) -> str | None:
    """The IPv4 address in a name of the reverse tree (RFC 1035, 3.5)."""
    asked = name.lower().removesuffix(".")
    parts = asked.removesuffix(_REVERSE).split(".")
    if not asked.endswith(_REVERSE) or len(parts) != 4:
        return None
    return ".".join(reversed(parts))
