"""Queueing disciplines of links as requests to rtnetlink; the one that holds a rate is a token bucket (tc-tbf(8)).

The messages (linux/pkt_sched.h) are encoded here: the classes that pyroute2 has for them cost as much to import as a
whole command takes.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from orchestra.network import links
from orchestra.network.attributes import attribute, attributes
from orchestra.network.netlink import HEADER, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, Request

if TYPE_CHECKING:
    from orchestra.network.netlink import Channel

NEW, DELETE, _GET = 36, 37, 38  # RTM_…QDISC
_NLM_F_ECHO = 8
_TCMSG = struct.Struct("=BxxxiIII")  # family, index, handle, parent, info
_ROOT = 0xFFFFFFFF
KIND, OPTIONS = 1, 2  # TCA_…
_TCA_TBF_PARMS = 1
_RATE = struct.Struct("=BBHhHI")  # cell_log, linklayer, overhead, cell_align, mpu, bytes a second
_PARMS = struct.Struct("=12s12sIII")  # rate, peak rate, limit (bytes), buffer (ticks), mtu
_ETHERNET = 1
_TICK = 64  # nanoseconds (PSCHED_SHIFT, net/pkt_sched.h)
_BURST = 0.02  # seconds of the rate that may pass at once
_LEAST_BURST = 4 * 1514
_WAIT = 0.2  # seconds of the rate that may wait; what comes on top of it is dropped, and TCP takes the hint
_LEAST_QUEUE = 64 * 1024
UNSEEN_QUEUE = 256 * 1024
"""Bytes that may wait at least where the sender does not see the queue, as it sees that of its own link: with less
room it loses bursts."""


def bucket(index: int, name: str, bits: int, least_queue: int = _LEAST_QUEUE) -> Request:
    """Hold what the link sends to so many bits a second; `least_queue` bytes may wait at any rate."""
    rate = bits // 8
    burst = max(int(rate * _BURST), _LEAST_BURST)
    parameters = _PARMS.pack(
        _RATE.pack(0, _ETHERNET, 0, 0, 0, rate),
        bytes(_RATE.size),
        min(max(int(rate * _WAIT), least_queue) + burst, 0xFFFFFFFF),
        burst * 1_000_000_000 // rate // _TICK,
        0,
    )
    body = attribute(KIND, b"tbf\0") + attribute(OPTIONS, attribute(_TCA_TBF_PARMS, parameters))
    return Request(f"limit the rate of {name}", message(NEW, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, index, body))


def no_bucket(index: int, name: str) -> Request:
    absent = (errno.ENOENT, errno.EINVAL)
    return Request(f"lift the limit of {name}", message(DELETE, NLM_F_ACK, index), tolerate=absent)


def rate_of(name: str) -> int | None:
    """Bits a second to which a link of this namespace is held; None: to none, or there is no such link."""
    index = links.index_of(name)
    found = {} if index is None else told(index, name)
    if not found.get(KIND, b"").startswith(b"tbf\0"):
        return None
    return 8 * int(_RATE.unpack_from(attributes(found[OPTIONS])[_TCA_TBF_PARMS])[-1])


def told(index: int, name: str, parent: int = _ROOT) -> dict[int, bytes]:
    """The attributes of a link's discipline; empty where it has none of its own."""
    # Echoed, or only the listeners are told; acknowledged, since of a link without a discipline nothing is told.
    asked = message(_GET, _NLM_F_ECHO | NLM_F_ACK, index, parent=parent)
    with links.rtnetlink() as channel:
        for kind, answer in channel.ask(Request(f"look at the rate of {name}", asked, (0, errno.ENOENT))):
            if kind == NEW:
                return told_in(answer)
    return {}


def told_in(answer: bytes) -> dict[int, bytes]:
    """The attributes of a message about a queueing discipline, or about a filter."""
    return attributes(answer[HEADER.size + _TCMSG.size :])


def message(
    kind: int,
    flags: int,
    index: int,
    body: bytes = b"",
    *,
    handle: int = 0,
    parent: int = _ROOT,
    information: int = 0,
) -> bytes:
    whole = HEADER.size + _TCMSG.size + len(body)
    return HEADER.pack(whole, kind, flags, 0, 0) + _TCMSG.pack(0, index, handle, parent, information) + body


def hold(channel: Channel, ends: dict[str, int | None]) -> None:
    """Links of this namespace by name, each with its rate; None lifts what it has. Who is gone is left out."""
    found = [(index, name, rate) for name, rate in ends.items() if (index := links.index_of(name)) is not None]
    channel.perform([bucket(i, name, rate) if rate is not None else no_bucket(i, name) for i, name, rate in found])
