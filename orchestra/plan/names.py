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


def reverse(table: Mapping[str, Sequence[str]], address: str, stack: str) -> str | None:
    """The name of an address: its service's own before any other, since an alias may be everybody's. In the table of
    a stack, a service's own name is the one that has the address as `service.stack` too."""
    named = [known for known, addresses in table.items() if address in addresses]
    own = (known for known in named if address in table.get(f"{known}.{stack}".lower(), ()))
    return next(own, next(iter(named), None))


def reversed_address(name: str) -> str | None:
    """The IPv4 address in a name of the reverse tree (RFC 1035, 3.5)."""
    asked = name.lower().removesuffix(".")
    parts = asked.removesuffix(_REVERSE).split(".")
    if not asked.endswith(_REVERSE) or len(parts) != 4 or not all(map(_is_octet, parts)):
        return None
    return ".".join(reversed(parts))


def _is_octet(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 3 and str(int(text)) == text and int(text) < 256
