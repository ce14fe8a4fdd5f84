"""Links, addresses and routes as requests to rtnetlink(7), and what is asked about them.

Encoded here, by linux/if_link.h, if_addr.h and rtnetlink.h: it is a handful of messages, and a library that knows all
of them takes longer to import than a network takes to make, and a millisecond for each link of a large stack.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct

from orchestra.network.attributes import attribute, attributes
from orchestra.network.netlink import (
    HEADER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Channel,
    Request,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_DELADDR = 16, 17, 18, 20, 21
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, prefix, source prefix, tos, table, protocol, scope, type, flags
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 5, 10, 18
_IFLA_GROUP, _IFLA_NET_NS_FD = 27, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_IFLA_BR_FORWARD_DELAY, _IFLA_BR_STP_STATE, _IFLA_BR_MCAST_SNOOPING, _IFLA_BR_MULTI_BOOLOPT = 1, 5, 23, 46
_NO_LINK_LOCAL_LEARNING = struct.pack("=II", 1, 1)  # br_boolopt_multi: value and mask of BR_BOOLOPT_NO_LL_LEARN
_VETH_INFO_PEER = 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_IFA_F_NOPREFIXROUTE = 0x200
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_IFF_UP = 1
_SIOCGIFINDEX, _IFREQ = 0x8933, struct.Struct("=16si20x")
_RT_TABLE_MAIN, _RTPROT_STATIC, _RTN_UNICAST, _SCOPE_UNIVERSE, _SCOPE_LINK = 254, 4, 1, 0, 253


def rtnetlink() -> Channel:
    return Channel(socket.NETLINK_ROUTE)


def _message(kind: int, flags: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return HEADER.pack(HEADER.size + len(body), kind, flags, 0, 0) + body


def _link(kind: int, flags: int, index: int, up: bool, *parts: bytes) -> bytes:
    change = _IFF_UP if up else 0
    return _message(kind, flags | NLM_F_ACK, _LINK.pack(0, 0, index, change, change), *parts)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def _name(name: str) -> bytes:
    return attribute(_IFLA_IFNAME, name.encode() + b"\0")


def _mac(mac: str) -> bytes:
    return attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))


def _ip(kind: int, ip: str) -> bytes:
    return attribute(kind, socket.inet_aton(ip))


def _kind(name: str, settings: bytes) -> bytes:
    told = attribute(_IFLA_INFO_KIND, name.encode() + b"\0") + attribute(_IFLA_INFO_DATA, settings)
    return attribute(_IFLA_LINKINFO, told)


def new_bridge(name: str, mac: str) -> Request:
    """A bridge that forwards from its first moment and whose address does not change with its ports."""
    settings = _number(_IFLA_BR_FORWARD_DELAY, 0) + _number(_IFLA_BR_STP_STATE, 0)
    settings += attribute(_IFLA_BR_MCAST_SNOOPING, b"\0")
    # Frames to 01:80:c2:00:00:0X pass no hook of the firewall: nobody's address is to be learnt from them.
    settings += attribute(_IFLA_BR_MULTI_BOOLOPT, _NO_LINK_LOCAL_LEARNING)
    flags = NLM_F_CREATE | NLM_F_EXCL
    message = _link(RTM_NEWLINK, flags, 0, True, _name(name), _mac(mac), _kind("bridge", settings))
    return Request(f"make the bridge {name}", message, tolerate=(errno.EEXIST,))


def new_veth(
    name: str, far_name: str, namespace: int, *, far_mac: str = "", master: int | None = None, up: bool = False
) -> Request:
    """A pair whose other end is born in another namespace (a descriptor), under a name and, if it matters, an
    address of its own."""
    far = _LINK.pack(0, 0, 0, 0, 0) + _name(far_name) + _number(_IFLA_NET_NS_FD, namespace)
    far += _mac(far_mac) if far_mac else b""
    port = b"" if master is None else _number(_IFLA_MASTER, master)
    pair = _kind("veth", attribute(_VETH_INFO_PEER, far))
    message = _link(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, up, _name(name), port, pair)
    return Request(f"make the link {name}", message, tolerate=(errno.EEXIST,))


def new_ifb(name: str, tolerate: tuple[int, ...]) -> Request:
    """A link that hands back whatever is sent to it, once it has passed its queue."""
    message = _link(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, False, _name(name), _kind("ifb", b""))
    return Request(f"make the link {name}", message, tolerate)


def link_up(index: int, name: str, *, master: int | None = None) -> Request:
    port = b"" if master is None else _number(_IFLA_MASTER, master)
    return Request(f"bring up {name}", _link(RTM_NEWLINK, 0, index, True, port))


def delete_link(name: str) -> Request:
    message = _link(RTM_DELLINK, 0, 0, False, _name(name))
    return Request(f"delete the link {name}", message, tolerate=(errno.ENODEV, errno.ENOENT))


def put_in_group(index: int, name: str, group: int) -> Request:
    message = _link(RTM_NEWLINK, 0, index, False, _number(_IFLA_GROUP, group))
    return Request(f"mark the link {name}", message, tolerate=(errno.ENODEV,))


def delete_group(group: int) -> Request:
    """All links of a group at once: the kernel waits for its readers (RCU, 20 ms) once, not once a link."""
    message = _link(RTM_DELLINK, 0, 0, False, _number(_IFLA_GROUP, group))
    return Request("delete links", message, tolerate=(errno.ENODEV,))


def address(index: int, name: str, ip: str, prefix: int, *, routed: bool = True) -> Request:
    """`routed`: the kernel makes a route for its subnet as well, whoever else has one."""
    more = _ip(_IFA_BROADCAST, _broadcast(ip, prefix)) if prefix < 31 else b""
    if not routed:
        more += _number(_IFA_FLAGS, _IFA_F_NOPREFIXROUTE)
    message = _address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, ip, prefix, more)
    return Request(f"give {name} the address {ip}", message)


def remove_address(index: int, name: str, ip: str, prefix: int) -> Request:
    message = _address(RTM_DELADDR, 0, index, ip, prefix)
    return Request(f"take the address {ip} from {name}", message, tolerate=(errno.EADDRNOTAVAIL,))


def _address(kind: int, flags: int, index: int, ip: str, prefix: int, more: bytes = b"") -> bytes:
    fields = _ADDRESS.pack(socket.AF_INET, prefix, 0, 0, index)
    return _message(kind, flags | NLM_F_ACK, fields, _ip(_IFA_LOCAL, ip), _ip(_IFA_ADDRESS, ip), more)


def route(destination: str | None, index: int, name: str, gateway: str) -> Request:
    """A route by `gateway` through a link, in place of any other; `None` is the default route."""
    message = _route(NLM_F_REPLACE, destination, _SCOPE_UNIVERSE, index, _ip(_RTA_GATEWAY, gateway))
    return Request(f"route {destination or 'everything else'} through {name}", message)


def claim(destination: str, index: int, name: str) -> Request:
    """A route that leads to nobody yet, unless there is one to this destination: the first one to ask has it."""
    message = _route(NLM_F_EXCL, destination, _SCOPE_LINK, index)
    return Request(f"claim {destination} for {name}", message, tolerate=(errno.EEXIST,))


def _route(flag: int, destination: str | None, scope: int, index: int, more: bytes = b"") -> bytes:
    network, prefix = destination.split("/") if destination else ("", "0")
    fields = _ROUTE.pack(socket.AF_INET, int(prefix), 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope, _RTN_UNICAST, 0)
    where = _ip(_RTA_DST, network) if network else b""
    return _message(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | flag, fields, where, more, _number(_RTA_OIF, index))


def route_of(channel: Channel, destination: str) -> int | None:
    """Index of the link through which the address is reached now."""
    message = _message(RTM_GETROUTE, 0, _routes(32), _ip(_RTA_DST, destination))
    # What routes of the types blackhole, unreachable and prohibit answer, or none at all.
    unreachable = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINVAL, errno.EACCES)
    for _, answer in channel.ask(Request(f"look up the route to {destination}", message, tolerate=unreachable)):
        return _whole(_told(answer, _ROUTE).get(_RTA_OIF, b""))
    return None


def subnets(channel: Channel) -> list[str]:
    """Every IPv4 destination of the routing tables other than the default route, local addresses included."""
    found = set()
    for kind, answer in channel.ask(Request("read the routes", _message(RTM_GETROUTE, NLM_F_DUMP, _routes(0)))):
        if kind == RTM_NEWROUTE:
            prefix = _ROUTE.unpack_from(answer, HEADER.size)[1]
            destination = _told(answer, _ROUTE).get(_RTA_DST)
            if destination and prefix:
                found.add(f"{socket.inet_ntoa(destination)}/{prefix}")
    return sorted(found)


def _routes(prefix: int) -> bytes:
    return _ROUTE.pack(socket.AF_INET, prefix, 0, 0, 0, 0, 0, 0, 0)


def host_subnets() -> list[str]:
    """What the host has a route to, other than the default route."""
    with rtnetlink() as channel:
        return subnets(channel)


def peer_of(channel: Channel, name: str) -> tuple[str, int] | None:
    """Address of a link and the index of its peer; None when there is no such link."""
    message = _message(RTM_GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0), _name(name))
    for kind, answer in channel.ask(Request(f"look at {name}", message, tolerate=(errno.ENODEV,))):
        if kind == RTM_NEWLINK:
            told = _told(answer, _LINK)
            return told.get(_IFLA_ADDRESS, b"").hex(":"), _whole(told.get(_IFLA_LINK, b"")) or 0
    return None


def _told(answer: bytes, fields: struct.Struct) -> dict[int, bytes]:
    return attributes(answer[HEADER.size + fields.size :])


def _whole(value: bytes) -> int | None:
    return int(struct.unpack("=i", value)[0]) if len(value) == 4 else None


def index_of(name: str) -> int | None:
    """Index of a link in the namespace of this thread (netdevice(7), SIOCGIFINDEX).

    Raises OSError where nobody can look: `if_nametoindex` would not tell that from a link that is not there.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asker:
        try:
            answer = fcntl.ioctl(asker, _SIOCGIFINDEX, _IFREQ.pack(name.encode(), 0))
        except OSError as refusal:
            if refusal.errno == errno.ENODEV:
                return None
            raise
        return int(_IFREQ.unpack(answer)[1])


def mac_of(ip: str) -> str:
    """A locally administered address that an IPv4 address gives."""
    return "0a:0c:" + ":".join(f"{byte:02x}" for byte in socket.inet_aton(ip))


def _broadcast(ip: str, prefix: int) -> str:
    number = int.from_bytes(socket.inet_aton(ip), "big") | ((1 << (32 - prefix)) - 1)
    return socket.inet_ntoa(number.to_bytes(4, "big"))
