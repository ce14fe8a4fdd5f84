"""Links, addresses and routes as requests to rtnetlink(7), encoded by pyroute2."""

from __future__ import annotations

import errno
import socket
from typing import Any

from orchestra.network.library import ifaddrmsg, ifinfmsg, rtmsg
from orchestra.network.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Channel,
    Request,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_GETROUTE = 16, 17, 18, 20, 24, 26
_IFF_UP = 1
_RT_TABLE_MAIN, _RTPROT_STATIC, _RTN_UNICAST, _SCOPE_UNIVERSE, _SCOPE_LINK = 254, 4, 1, 0, 253

Attributes = list[tuple[str, Any]]


def rtnetlink() -> Channel:
    return Channel(socket.NETLINK_ROUTE)


def _encode(layout: Any, kind: int, flags: int, fields: dict[str, int], attributes: Attributes) -> bytes:
    message = layout()
    message.update(fields)
    message["attrs"] = attributes
    message["header"]["type"] = kind
    message["header"]["flags"] = flags
    message.encode()
    return bytes(message.data)


def _link(kind: int, flags: int, fields: dict[str, int], attributes: Attributes) -> bytes:
    return _encode(ifinfmsg, kind, flags | NLM_F_ACK, fields, attributes)


def _kind(name: str, settings: Attributes) -> tuple[str, Any]:
    return ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", name), ("IFLA_INFO_DATA", {"attrs": settings})]})


_UP = {"flags": _IFF_UP, "change": _IFF_UP}


def new_bridge(name: str, mac: str) -> Request:
    """A bridge that forwards from its first moment and whose address does not change with its ports."""
    settings: Attributes = [("IFLA_BR_FORWARD_DELAY", 0), ("IFLA_BR_STP_STATE", 0), ("IFLA_BR_MCAST_SNOOPING", 0)]
    attributes: Attributes = [("IFLA_IFNAME", name), ("IFLA_ADDRESS", mac), _kind("bridge", settings)]
    message = _link(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, _UP, attributes)
    return Request(f"make the bridge {name}", message, tolerate=(errno.EEXIST,))


def new_veth(name: str, peer: Attributes, *, master: int | None = None, up: bool = False) -> Request:
    """A pair of which `peer` says name, namespace (IFLA_NET_NS_FD) and, if it matters, address of the other end."""
    attributes: Attributes = [("IFLA_IFNAME", name)]
    if master is not None:
        attributes.append(("IFLA_MASTER", master))
    attributes.append(_kind("veth", [("VETH_INFO_PEER", {"attrs": peer})]))
    message = _link(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, _UP if up else {}, attributes)
    return Request(f"make the link {name}", message, tolerate=(errno.EEXIST,))


def link_up(index: int, name: str, *, master: int | None = None) -> Request:
    attributes: Attributes = [] if master is None else [("IFLA_MASTER", master)]
    return Request(f"bring up {name}", _link(RTM_NEWLINK, 0, {"index": index, **_UP}, attributes))


def delete_link(name: str) -> Request:
    message = _link(RTM_DELLINK, 0, {}, [("IFLA_IFNAME", name)])
    return Request(f"delete the link {name}", message, tolerate=(errno.ENODEV, errno.ENOENT))


def put_in_group(index: int, name: str, group: int) -> Request:
    message = _link(RTM_NEWLINK, 0, {"index": index}, [("IFLA_GROUP", group)])
    return Request(f"mark the link {name}", message, tolerate=(errno.ENODEV,))


def delete_group(group: int) -> Request:
    """All links of a group at once: the kernel waits for its readers (RCU, 20 ms) once, not once a link."""
    message = _link(RTM_DELLINK, 0, {}, [("IFLA_GROUP", group)])
    return Request("delete links", message, tolerate=(errno.ENODEV,))


def address(index: int, name: str, ip: str, prefix: int) -> Request:
    fields = {"family": socket.AF_INET, "prefixlen": prefix, "index": index}
    attributes: Attributes = [("IFA_LOCAL", ip), ("IFA_ADDRESS", ip)]
    if prefix < 31:
        attributes.append(("IFA_BROADCAST", _broadcast(ip, prefix)))
    flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
    return Request(f"give {name} the address {ip}", _encode(ifaddrmsg, RTM_NEWADDR, flags, fields, attributes))


def route(destination: str | None, index: int, name: str, gateway: str) -> Request:
    """A route by `gateway` through a link; `None` is the default route."""
    network, prefix = destination.split("/") if destination else ("", "0")
    fields = {
        "family": socket.AF_INET,
        "dst_len": int(prefix),
        "table": _RT_TABLE_MAIN,
        "proto": _RTPROT_STATIC,
        "scope": _SCOPE_UNIVERSE,
        "type": _RTN_UNICAST,
    }
    attributes: Attributes = [("RTA_DST", network)] if network else []
    attributes += [("RTA_GATEWAY", gateway), ("RTA_OIF", index)]
    flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
    message = _encode(rtmsg, RTM_NEWROUTE, flags, fields, attributes)
    return Request(f"route {destination or 'everything else'} through {name}", message)


def route_of(channel: Channel, destination: str) -> int | None:
    """Index of the link through which the address is reached now."""
    fields = {"family": socket.AF_INET, "dst_len": 32}
    message = _encode(rtmsg, RTM_GETROUTE, 0, fields, [("RTA_DST", destination)])
    unreachable = (errno.ENETUNREACH, errno.EHOSTUNREACH)
    answers = channel.ask(Request(f"look up the route to {destination}", message, tolerate=unreachable))
    return next((_decoded(rtmsg, answer).get_attr("RTA_OIF") for _, answer in answers), None)


def subnets(channel: Channel) -> list[str]:
    """Every IPv4 destination of the routing tables other than the default route, local addresses included."""
    message = _encode(rtmsg, RTM_GETROUTE, NLM_F_DUMP, {"family": socket.AF_INET}, [])
    found = set()
    for kind, answer in channel.ask(Request("read the routes", message)):
        if kind == RTM_NEWROUTE:
            decoded = _decoded(rtmsg, answer)
            destination = decoded.get_attr("RTA_DST")
            if destination and decoded["dst_len"]:
                found.add(f"{destination}/{decoded['dst_len']}")
    return sorted(found)


def peer_of(channel: Channel, name: str) -> tuple[str, int] | None:
    """Address of a link and the index of its peer; None when there is no such link."""
    message = _encode(ifinfmsg, RTM_GETLINK, 0, {}, [("IFLA_IFNAME", name)])
    answers = channel.ask(Request(f"look at {name}", message, tolerate=(errno.ENODEV,)))
    for kind, answer in answers:
        if kind == RTM_NEWLINK:
            decoded = _decoded(ifinfmsg, answer)
            return str(decoded.get_attr("IFLA_ADDRESS")), int(decoded.get_attr("IFLA_LINK") or 0)
    return None


def index_of(name: str) -> int | None:
    """Index of a link in the namespace of this thread."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def mac_of(ip: str) -> str:
    """A locally administered address that an IPv4 address gives."""
    return "0a:0c:" + ":".join(f"{byte:02x}" for byte in socket.inet_aton(ip))


def _broadcast(ip: str, prefix: int) -> str:
    number = int.from_bytes(socket.inet_aton(ip), "big") | ((1 << (32 - prefix)) - 1)
    return socket.inet_ntoa(number.to_bytes(4, "big"))


def _decoded(layout: Any, message: bytes) -> Any:
    decoded = layout(message)
    decoded.decode()
    return decoded
