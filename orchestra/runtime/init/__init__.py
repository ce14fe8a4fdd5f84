"""init"""

from __future__ import annotations


def program() -> int:
    return -1
