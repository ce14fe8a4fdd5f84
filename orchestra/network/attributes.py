"""Attributes of netlink messages: length, type, value, padded to four bytes. And netfilter's messages, big-endian."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from orchestra.network.netlink import HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator

_NESTED = 0x8000
_KIND = 0x3FFF
_FAMILY = 4  # struct nfgenmsg, between the header and the attributes


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def tree(kind: int, *children: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(children))


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value & 0xFFFFFFFF))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> dict[int, bytes]:
    """What the functions above wrote; the last one of a kind wins."""
    return dict(_read(data))


def each(data: bytes) -> Iterator[bytes]:
    """The values of a list, whose elements are all of one kind."""
    return (value for _, value in _read(data))


def _read(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Nonsense ends the reading."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & _KIND, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def label(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")


def body_of(answer: tuple[int, bytes]) -> dict[int, bytes]:
    """The attributes of an answer from netfilter."""
    return attributes(answer[1][HEADER.size + _FAMILY :])


def message(subsystem: int, kind: int, family: int, flags: int, body: bytes) -> bytes:
    whole = HEADER.size + _FAMILY + len(body)
    return HEADER.pack(whole, subsystem << 8 | kind, flags, 0, 0) + bytes((family, 0, 0, 0)) + body
