"""Traffic of one side of a link, led through another link (tc-u32(8), tc-mirred(8)).

The link that it is led through is an ifb: it hands back what was sent to it, once that has passed its queue, and all
goes on as if nothing had been. So a queue can hold what a link receives, and one queue what several links do.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from orchestra.errors import OrchestraError
from orchestra.network import links, qdiscs
from orchestra.network.attributes import attribute, attributes
from orchestra.network.inside import without_ipv6
from orchestra.network.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, Request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestra.network.netlink import Channel

RECEIVED, SENT = 0xFFFFFFF2, 0xFFFFFFF3
"""The sides of a link (TC_H_CLSACT with TC_H_MIN_INGRESS, TC_H_MIN_EGRESS)."""
_CLSACT, _CLSACT_HANDLE = 0xFFFFFFF1, 0xFFFF0000
_NEW_FILTER, _DELETE_FILTER, _GET_FILTER = 44, 45, 46  # RTM_…TFILTER
_OURS = {side: priority << 16 | 0x0300 for side, priority in ((RECEIVED, 1), (SENT, 2))}
"""Priority and ETH_P_ALL in network order: what else is there stays. Under one priority, u32 tells for each side what
both sides have."""
_TCA_U32_SEL, _TCA_U32_ACT = 5, 7
_EVERYTHING = struct.pack("=BBBxHHhhI", 1, 0, 1, 0, 0, 0, 0, 0) + bytes(16)  # terminal, one key that looks at no bit
_FIRST_ACTION = 1
_TCA_ACT_KIND, _TCA_ACT_OPTIONS, _TCA_MIRRED_PARMS = 1, 2, 2
_MIRRED = struct.Struct("=IIiiiiI")  # index, capabilities, action, references, bindings, way, link
_STOLEN, _EGRESS_REDIRECT = 4, 1
_UNKNOWN = (errno.EOPNOTSUPP, errno.ENOENT)
_GONE = (errno.ENODEV,)


def new_way(channel: Channel, name: str) -> int:
    """The index of the ifb of that name, made unless it is there, and up.

    Raises OrchestraError where the kernel has not what it takes.
    """
    (code,) = channel.perform([links.new_ifb(name, tolerate=(errno.EEXIST, *_UNKNOWN))])
    index = links.index_of(name)
    if code in _UNKNOWN or index is None:
        raise _lacking(name)
    without_ipv6(name)  # nobody is to be reached by it
    channel.perform([links.link_up(index, name)])
    return index


def lead(channel: Channel, side: int, ends: Iterable[tuple[int, str]], way: int) -> None:
    """What these links, by index and name, receive or send goes through the way, and through that one only.

    Links that are gone are left out. Raises OrchestraError where the kernel has not what it takes.
    """
    for index, name in ends:
        requests = [_hook(index, name), let_go(side, index, name), _filter(side, index, name, way)]
        hooked, _, led = channel.perform(requests)
        if {hooked, led} & set(_UNKNOWN):
            raise _lacking(name)


def let_go(side: int, index: int, name: str) -> Request:
    absent = (errno.ENOENT, errno.EINVAL, *_GONE)
    return Request(
        f"let go of {name}",
        qdiscs.message(_DELETE_FILTER, NLM_F_ACK, index, parent=side, information=_OURS[side]),
        absent,
    )


def way_of(channel: Channel, side: int, index: int, name: str) -> int | None:
    """Index of the link that what this one receives or sends is led through; None: it goes straight."""
    asked = qdiscs.message(_GET_FILTER, NLM_F_DUMP, index, parent=side)
    for kind, answer in channel.ask(Request(f"look where {name} leads", asked, _GONE)):
        options = attributes(qdiscs.told_in(answer).get(qdiscs.OPTIONS, b"")) if kind == _NEW_FILTER else {}
        if _TCA_U32_ACT in options:
            action = attributes(attributes(options[_TCA_U32_ACT])[_FIRST_ACTION])
            parameters = attributes(action[_TCA_ACT_OPTIONS]).get(_TCA_MIRRED_PARMS)
            if parameters is not None:
                return int(_MIRRED.unpack_from(parameters)[-1])
    return None


def _lacking(name: str) -> OrchestraError:
    return OrchestraError(
        f"cannot limit the bandwidth of {name}: this kernel lacks ifb, sch_ingress, cls_u32 or act_mirred",
        "install the kernel's modules, or take the limit away",
    )


def _hook(index: int, name: str) -> Request:
    body = attribute(qdiscs.KIND, b"clsact\0")
    flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
    message = qdiscs.message(qdiscs.NEW, flags, index, body, parent=_CLSACT, handle=_CLSACT_HANDLE)
    return Request(f"watch {name}", message, (errno.EEXIST, *_UNKNOWN, *_GONE))


def _filter(side: int, index: int, name: str, way: int) -> Request:
    parameters = attribute(_TCA_MIRRED_PARMS, _MIRRED.pack(0, 0, _STOLEN, 0, 0, _EGRESS_REDIRECT, way))
    action = attribute(_TCA_ACT_KIND, b"mirred\0") + attribute(_TCA_ACT_OPTIONS, parameters)
    options = attribute(_TCA_U32_SEL, _EVERYTHING) + attribute(_TCA_U32_ACT, attribute(_FIRST_ACTION, action))
    body = attribute(qdiscs.KIND, b"u32\0") + attribute(qdiscs.OPTIONS, options)
    flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
    message = qdiscs.message(_NEW_FILTER, flags, index, body, parent=side, information=_OURS[side])
    return Request(f"lead {name} through its bucket", message, (*_UNKNOWN, *_GONE))
