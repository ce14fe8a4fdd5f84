"""A range of ports led to another one of the same length, by a few rules, however long it is.

nftables cannot add. Its `nat` leads port p to low + p mod (high - low + 1) where it is told to keep the offset
(NF_NAT_RANGE_PROTO_OFFSET), so each rule covers the ports for which that is the right one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PORTS = 1 << 16


def shifts(first: int, target: int, count: int) -> Iterator[tuple[int, int, int, int]]:
    """(first and last port called, low, high) of each rule; at most 16, for one that begins at port 2."""
    end = first + count
    while first < end:
        down = first - target
        # Downwards, p mod length is p - length, for p from the length up to its double.
        length = _PORTS + down if down <= 0 else min(first, (_PORTS + down) // 2)
        low = target - first % length
        last = min(end, first + length - first % length) - 1
        yield first, last, low, low + length - 1
        first, target = last + 1, target + last + 1 - first
