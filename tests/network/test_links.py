"""What rtnetlink is told, in the words of another library; no root needed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from orchestra.network import links
from orchestra.network.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Request

CREATE = NLM_F_ACK | NLM_F_CREATE
MAC = "0a:0c:0a:00:00:02"


def read(layout: Any, request: Request) -> Any:
    """As pyroute2 reads it, which knows the layouts from the kernel's headers as well."""
    message = layout(request.message)
    message.decode()
    assert message["header"]["length"] == len(request.message)
    return message


def head(message: Any) -> tuple[int, int]:
    return message["header"]["type"], message["header"]["flags"]


def test_a_bridge_forwards_at_once_and_keeps_its_address() -> None:
    """No forwarding delay, no spanning tree, no snooping, an address of its own; up."""
    message = read(ifinfmsg, links.new_bridge("br0", MAC))
    assert head(message) == (links.RTM_NEWLINK, CREATE | NLM_F_EXCL)
    assert (message["flags"], message["change"]) == (1, 1)
    assert (message.get("ifname"), message.get("address")) == ("br0", MAC)
    kind = message.get("linkinfo")
    assert kind.get("kind") == "bridge"
    settings = kind.get("data")
    assert [settings.get(each) for each in ("br_forward_delay", "br_stp_state", "br_mcast_snooping")] == [0, 0, 0]


def test_a_pair_has_its_far_end_in_another_namespace() -> None:
    """One message names both ends, the far one's namespace and address, and the near one's bridge."""
    message = read(ifinfmsg, links.new_veth("p1", "eth0", 7, far_mac=MAC, master=3, up=True))
    assert head(message) == (links.RTM_NEWLINK, CREATE | NLM_F_EXCL)
    assert (message.get("ifname"), message.get("master"), message["flags"]) == ("p1", 3, 1)
    assert message.get("linkinfo").get("kind") == "veth"
    far = message.get("linkinfo").get("data").get("veth_info_peer")
    assert (far.get("ifname"), far.get("net_ns_fd"), far.get("address")) == ("eth0", 7, MAC)


def test_a_pair_without_a_bridge_is_plain() -> None:
    """Nothing is said of a bridge, an address or being up where nothing was asked."""
    message = read(ifinfmsg, links.new_veth("orc1", "up0", 7))
    assert (message.get("master"), message["flags"], message["change"]) == (None, 0, 0)
    assert message.get("linkinfo").get("data").get("veth_info_peer").get("address") is None


@pytest.mark.parametrize("master", [None, 9])
def test_a_link_comes_up_and_into_its_bridge(master: int | None) -> None:
    """By its index; the bridge is named only where there is one."""
    message = read(ifinfmsg, links.link_up(5, "eth0", master=master))
    assert head(message) == (links.RTM_NEWLINK, NLM_F_ACK)
    assert (message["index"], message["flags"], message["change"], message.get("master")) == (5, 1, 1, master)


def test_links_are_deleted_by_name_or_together() -> None:
    """A group is what many links are deleted by at once."""
    assert read(ifinfmsg, links.delete_link("p1")).get("ifname") == "p1"
    marked = read(ifinfmsg, links.put_in_group(5, "p1", 77))
    assert (marked["index"], marked["change"], marked.get("group")) == (5, 0, 77)
    assert head(gone := read(ifinfmsg, links.delete_group(77))) == (links.RTM_DELLINK, NLM_F_ACK)
    assert gone.get("group") == 77


@pytest.mark.parametrize(("prefix", "broadcast"), [(24, "10.1.2.255"), (31, None), (32, None)])
def test_an_address_has_a_broadcast_address_where_there_is_room(prefix: int, broadcast: str | None) -> None:
    """Between two there is nobody to broadcast to (RFC 3021)."""
    message = read(ifaddrmsg, links.address(4, "eth0", "10.1.2.3", prefix))
    assert head(message) == (links.RTM_NEWADDR, CREATE | NLM_F_REPLACE)
    assert (message["family"], message["prefixlen"], message["index"]) == (2, prefix, 4)
    assert (message.get("local"), message.get("address")) == ("10.1.2.3", "10.1.2.3")
    assert message.get("broadcast") == broadcast


def test_an_address_may_come_without_a_route_of_the_kernel() -> None:
    """IFA_F_NOPREFIXROUTE, for who makes it by a claim."""
    message = read(ifaddrmsg, links.address(4, "orc0", "10.1.2.2", 31, routed=False))
    assert message.get_attr("IFA_FLAGS") == 0x200


def test_a_claim_is_a_route_that_replaces_none() -> None:
    """Who claims second is told so; it leads through the link, and to nobody behind it yet."""
    message = read(rtmsg, links.claim("10.1.2.0/24", 4, "orc0"))
    assert head(message) == (links.RTM_NEWROUTE, CREATE | NLM_F_EXCL)
    assert (message.get("dst"), message["dst_len"], message["scope"]) == ("10.1.2.0", 24, 253)
    assert (message.get("oif"), message.get("gateway")) == (4, None)


def test_an_address_is_taken_away() -> None:
    """The same address and prefix, and the other verb."""
    message = read(ifaddrmsg, links.remove_address(4, "br0", "10.1.2.3", 32))
    assert head(message) == (links.RTM_DELADDR, NLM_F_ACK)
    assert (message.get("local"), message["prefixlen"]) == ("10.1.2.3", 32)


@pytest.mark.parametrize(("destination", "expected"), [(None, (None, 0)), ("10.9.0.0/16", ("10.9.0.0", 16))])
def test_a_route_goes_by_its_gateway(destination: str | None, expected: tuple[str | None, int]) -> None:
    """Static, unicast, in the main table; without a destination it is the default route."""
    message = read(rtmsg, links.route(destination, 4, "eth0", "10.1.2.1"))
    assert head(message) == (links.RTM_NEWROUTE, CREATE | NLM_F_REPLACE)
    assert (message.get("dst"), message["dst_len"]) == expected
    assert (message.get("gateway"), message.get("oif")) == ("10.1.2.1", 4)
    assert [message[each] for each in ("family", "table", "proto", "scope", "type")] == [2, 254, 4, 0, 1]


def test_this_machine_is_read() -> None:
    """The kernel's answers are understood: loopback's subnet, the way to it, and a link that is nobody's peer."""
    with links.rtnetlink() as channel:
        assert "127.0.0.0/8" in links.subnets(channel)
        assert links.route_of(channel, "127.0.0.1") == links.index_of("lo")
        assert links.peer_of(channel, "lo") == ("00:00:00:00:00:00", 0)
        assert links.peer_of(channel, f"none{os.getpid()}") is None


def test_the_workshop_imports_little() -> None:
    """No event loop and no library: a supervisor starts the faster."""
    program = "import sys; from orchestra.network import plugs, routers; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"pyroute2", "asyncio", "ssl", "json", "logging"} & set(done.stdout.split())
