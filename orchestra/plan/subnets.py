"""Which subnet a network gets: pure arithmetic on IPv4 addresses.

Networks are /24s out of 10.213.0.0/16, then 10.214.0.0/16 and on to 10.223; a router's uplink is a /31 (RFC 3021) out
of 169.254.128.0/18, where nobody routes. 169.254.169.0/24 is left out, clouds answer there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestra.errors import OrchestraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_POOL_FIRST, _POOLS = 213, 11
_UPLINKS, _UPLINK_COUNT = (169 << 24) | (254 << 16) | (128 << 8), 1 << 13
_METADATA = "169.254.169.0/24"


def choose_subnet(taken: Sequence[str], wanted: int = 0) -> str:
    """The first /24 of the pool, from the `wanted`-th on, that overlaps nothing that is taken."""
    starts = ((10 << 24) + (_POOL_FIRST << 16) + (n << 8) for n in _round(wanted, _POOLS << 8))
    start = _first_free(starts, 24, taken)
    if start is None:
        raise OrchestraError(
            "cannot choose a subnet: all of 10.213.0.0 to 10.223.255.255 is routed elsewhere",
            "name one with networks.<name>.ipam.config[0].subnet",
        )
    return f"{_dotted(start)}/24"


def choose_uplink(taken: Sequence[str], wanted: int = 0) -> tuple[str, str]:
    """Host's and router's address of a free /31, from the `wanted`-th pair on."""
    starts = (_UPLINKS + 2 * n for n in _round(wanted, _UPLINK_COUNT))
    start = _first_free(starts, 31, [*taken, _METADATA])
    if start is None:
        raise OrchestraError("cannot choose an uplink: all of 169.254.128.0/18 is taken", "stop a stack")
    return _dotted(start), _dotted(start + 1)


def gateway_of(subnet: str) -> str:
    """The first host address."""
    return _dotted(_span(subnet)[0] + 1)


def overlap(one: str, other: str) -> bool:
    (first, last), (other_first, other_last) = _span(one), _span(other)
    return first <= other_last and other_first <= last


def _round(wanted: int, count: int) -> Iterator[int]:
    return ((wanted + n) % count for n in range(count))


def _first_free(starts: Iterable[int], prefix: int, taken: Sequence[str]) -> int | None:
    size = 1 << (32 - prefix)
    spans = [_span(subnet) for subnet in taken]
    for start in starts:
        if not any(first < start + size and start <= last for first, last in spans):
            return start
    return None


def _span(subnet: str) -> tuple[int, int]:
    """First and last address; an address alone is its own span."""
    network, _, prefix = subnet.partition("/")
    size = 1 << (32 - int(prefix or 32))
    first = _number(network) & ~(size - 1)
    return first, first + size - 1


def _number(address: str) -> int:
    number = 0
    for part in address.split("."):
        number = number << 8 | int(part)
    return number


def _dotted(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
