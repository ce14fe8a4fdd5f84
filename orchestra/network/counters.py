"""How much went through each plug, read from the routers: one dump for all ports of a network (rtnetlink(7)).

Decoded by hand: a sample is taken every few seconds, and of the sixty attributes of a link two are of interest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from orchestra.errors import OrchestraError, is_exhausted
from orchestra.network import links
from orchestra.network.inside import enter, on_own_thread
from orchestra.network.netlink import HEADER, NLM_F_DUMP, Request

from ..values import dataclass

_IFINFOMSG = 16
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_IFLA_IFNAME, _IFLA_STATS64 = 3, 23
_STATS64 = struct.Struct("=8Q")  # linux/if_link.h, rtnl_link_stats64: packets, bytes, errors, dropped; rx before tx
_DUMP_LINKS = HEADER.pack(HEADER.size + _IFINFOMSG, links.RTM_GETLINK, NLM_F_DUMP, 0, 0) + bytes(_IFINFOMSG)


@dataclass(frozen=True, slots=True)
class Counters:
    """Of one link, as the container at its other end sees it."""

    received_bytes: int
    received_packets: int
    received_dropped: int
    sent_bytes: int
    sent_packets: int
    sent_dropped: int


def counters(pins: Iterable[str]) -> dict[str, dict[str, Counters]]:
    """Router pin -> port -> its counters. Routers that are gone are left out."""

    def read() -> dict[str, dict[str, Counters]]:
        found = {}
        for pin in pins:
            try:
                enter(pin)
                with links.rtnetlink() as channel:
                    answers = channel.ask(Request("read the counters", _DUMP_LINKS))
            except OrchestraError as error:
                if is_exhausted(error):
                    raise
                continue  # it went away meanwhile
            found[pin] = {name: counted for _, message in answers for name, counted in _decoded(message)}
        return found

    return on_own_thread(read)


def _decoded(message: bytes) -> Iterator[tuple[str, Counters]]:
    name, counted = "", None
    offset = HEADER.size + _IFINFOMSG
    while offset + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, offset)
        if kind == _IFLA_IFNAME:
            name = message[offset + 4 : offset + length].rstrip(b"\0").decode()
        elif kind == _IFLA_STATS64:
            in_packets, out_packets, in_bytes, out_bytes, _, _, in_dropped, out_dropped = _STATS64.unpack_from(
                message, offset + 4
            )
            # What comes into the router's end is what the container has sent.
            counted = Counters(out_bytes, out_packets, out_dropped, in_bytes, in_packets, in_dropped)
        if name and counted:
            yield name, counted
            return
        offset += max((length + 3) & ~3, 4)
