"""What containers are called, and which addresses a name has in a network: services, aliases, containers, hostnames,
`service.stack`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..places import short_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REVERSE = ".in-addr.arpa"


def own_hostname(*place: str) -> str:
    """The hostname of a container that asks for none: twelve hex digits as in docker, the same for the same place.

    The first one is a letter: moby, too, gives no id that could be taken for a number (stringid.GenerateRandomID).
    """
    digits = short_id(*place, size=6)
    return "abcdef"[int(digits[0], 16) % 6] + digits[1:]


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
