"""seccomp"""

from __future__ import annotations


def unpack(data: bytes) -> list[bytes]:
    return [data]
