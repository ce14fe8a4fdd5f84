"""Connections that the kernel remembers (ctnetlink), as far as they stand in a publication's way.

Where a packet of a known connection goes was decided with its first one. For TCP that is right. A UDP client that
keeps sending, from before the port was published or to a container that is no more, would keep being led astray for
as long as it sends, since each packet prolongs the memory.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from orchestra.network.attributes import attributes, body_of, message, tree
from orchestra.network.netlink import NLM_F_ACK, NLM_F_DUMP, Channel, Request

from ..values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestra.plan.wiring import Publication

_SUBSYSTEM, _GET, _DELETE = 1, 1, 2
_ORIGINAL, _REPLY = 1, 2  # CTA_TUPLE_*
_UDP = 17

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Flow:
    tuple: bytes
    called: Place
    answered_by: Place


def forget_misled(channel: Channel, publications: Sequence[Publication]) -> None:
    """Let the next datagram of a client be led anew, if it goes to a published port and elsewhere than it should."""
    right: dict[int, set[Place]] = {}
    ranges = []
    for publication in publications:
        if publication.protocol == "udp" and publication.count == 1:
            right.setdefault(publication.host_port, set()).add((publication.address, publication.port))
        elif publication.protocol == "udp":
            ranges.append(publication)
    if not (right or ranges):
        return

    def is_misled(flow: _Flow) -> bool:
        called = flow.called[1]
        places = right.get(called, set()) | {
            (one.address, one.port + called - one.host_port)
            for one in ranges
            if one.host_port <= called < one.host_port + one.count
        }
        return bool(places) and flow.answered_by not in places and _is_local(flow.called[0])

    misled = list(filter(is_misled, _udp_flows(channel)))
    channel.perform([_forget(flow) for flow in misled])


def _udp_flows(channel: Channel) -> list[_Flow]:
    question = Request("read the connections", _message(_GET, NLM_F_DUMP, b""))
    flows = []
    for answer in channel.ask(question):
        found = body_of(answer)
        called, answers = _end(found.get(_ORIGINAL, b""), 2, 3), _end(found.get(_REPLY, b""), 1, 2)
        if called and answers:
            flows.append(_Flow(found[_ORIGINAL], called, answers))
    return flows


def _end(flow: bytes, address: int, port: int) -> Place | None:
    """One end of a tuple: 1 and 2 are the source's address and port, 2 and 3 the destination's."""
    parts = attributes(flow)
    ends, protocol = attributes(parts.get(1, b"")), attributes(parts.get(2, b""))
    if protocol.get(1) != bytes((_UDP,)) or address not in ends or port not in protocol:
        return None
    return socket.inet_ntoa(ends[address]), int.from_bytes(protocol[port], "big")


def _forget(flow: _Flow) -> Request:
    body = tree(_ORIGINAL, flow.tuple)
    where = f"{flow.called[0]}:{flow.called[1]}/udp"
    return Request(f"forget a connection to {where}", _message(_DELETE, NLM_F_ACK, body), tolerate=(errno.ENOENT,))


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return message(_SUBSYSTEM, kind, socket.AF_INET, flags, body)


def _is_local(address: str) -> bool:
    """Whether the address is this machine's: only there can a socket be bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True
