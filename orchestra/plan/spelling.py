"""How ports are written."""

from __future__ import annotations


def ports(first: int, count: int) -> str:
    """`8080`, `9000-9002`."""
    return str(first) if count == 1 else f"{first}-{first + count - 1}"
