"""Holding host ports and naming who has one."""

from __future__ import annotations

import os
import socket

import pytest
from network_world import MACHINE, World

from orchestra.errors import OrchestraError
from orchestra.network.ports import free_port, hold, taken_by
from orchestra.plan.wiring import Publication

pytestmark = pytest.mark.kernel

PROTOCOLS = pytest.mark.parametrize("protocol", ["tcp", "udp"])


@PROTOCOLS
def test_a_held_port_is_taken_for_everybody_else(world: World, protocol: str) -> None:
    """On every address and in both families; the error names the process."""
    held = hold("", 8080, protocol)
    assert sorted(s.getsockname()[0] for s in held) == ["0.0.0.0", "::"]
    assert not any(s.getblocking() for s in held)
    for address in ("", "127.0.0.1", MACHINE, "::1"):
        with pytest.raises(OrchestraError, match=rf"host port 8080/{protocol}.*pid {os.getpid()}\)"):
            hold(address, 8080, protocol)
    for opened in held:
        opened.close()
    for opened in hold("", 8080, protocol):
        opened.close()


@PROTOCOLS
def test_a_refused_port_leaves_no_half_of_it_held(world: World, protocol: str) -> None:
    """When only the IPv6 half is taken, the IPv4 half is given back."""
    (six,) = hold("::1", 8080, protocol)
    with pytest.raises(OrchestraError):
        hold("", 8080, protocol)
    (four,) = hold("0.0.0.0", 8080, protocol)
    six.close()
    four.close()


def test_different_addresses_may_hold_the_same_port(world: World) -> None:
    """127.0.0.1:8080 and the machine's own do not meet."""
    for opened in hold("127.0.0.1", 8080, "tcp") + hold(MACHINE, 8080, "tcp"):
        opened.close()


def test_our_own_stacks_are_named_rather_than_their_process(world: World) -> None:
    """The person knows services, not supervisors."""
    mine = [Publication("forum/web", "", 8080, "tcp", "0000000001", "10.213.1.2", 80)]
    held = hold("", 8080, "tcp")
    with pytest.raises(OrchestraError, match="used by forum/web") as refused:
        hold("", 8080, "tcp", mine)
    assert refused.value.hint
    assert taken_by(8080, "udp", mine) is None
    for opened in held:
        opened.close()


def test_an_address_of_another_machine_cannot_be_held(world: World) -> None:
    """The error says whose fault it is."""
    with pytest.raises(OrchestraError, match=r"port 8080/tcp on 203\.0\.113\.1: this machine has no such address"):
        hold("203.0.113.1", 8080, "tcp")


def test_a_free_port_of_a_range_is_the_first_that_nobody_holds(world: World) -> None:
    """And when all are taken, the error names the range."""
    held = hold("", 8000, "tcp") + hold("127.0.0.1", 8001, "tcp")
    assert free_port(range(8000, 8010)) == 8002
    with pytest.raises(OrchestraError, match="from 8000 to 8001"):
        free_port(range(8000, 8002))
    assert free_port(range(8000, 8002), protocol="udp") == 8000
    for opened in held:
        opened.close()


def test_a_listener_in_the_held_port_can_be_talked_to(world: World) -> None:
    """[::1] is answered by the held socket itself."""
    held = hold("", 8080, "tcp")
    (six,) = (opened for opened in held if opened.family == socket.AF_INET6)
    with socket.create_connection(("::1", 8080), timeout=5):
        six.setblocking(True)
        six.accept()[0].close()
    for opened in held:
        opened.close()
