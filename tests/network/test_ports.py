"""Holding host ports and naming who has one."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from network_world import MACHINE, World

from orchestra.errors import OrchestraError
from orchestra.keeper.detach import rename
from orchestra.network.ports import hold, refuse_taken, taken_by

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


@PROTOCOLS
@pytest.mark.parametrize("address", ["", "0.0.0.0", "127.0.0.1", MACHINE])
def test_a_range_with_a_taken_port_is_refused(world: World, address: str, protocol: str) -> None:
    """Wherever somebody waits for IPv4; the error names the port and the process. Ours are none."""
    (one,) = hold(address or "0.0.0.0", 8080, protocol)
    for asked in {"", "0.0.0.0", address}:
        refuse_taken(asked, 8081, 9000, protocol, set())
        refuse_taken(asked, 8000, 9000, protocol, {os.fstat(one.fileno()).st_ino})
        with pytest.raises(OrchestraError, match=rf"host port 8080/{protocol}.*pid {os.getpid()}\)"):
            refuse_taken(asked, 8000, 8080, protocol, set())
    one.close()
    refuse_taken("", 8000, 9000, protocol, set())


def test_a_range_meets_nobody_who_does_not_wait_there(world: World) -> None:
    """Another address, IPv6, the other protocol, a connected client of UDP, a connection of TCP."""
    bystanders = hold("::1", 8080, "tcp") + hold(MACHINE, 8081, "tcp") + hold("127.0.0.1", 8082, "udp")
    bystanders += hold("127.0.0.1", 8083, "udp")
    bystanders[-1].connect((MACHINE, 53))
    server = world.listen(None, "127.0.0.1", 7000)
    client = world.open(None, socket.SOCK_STREAM)
    client.bind(("127.0.0.1", 8084))
    client.connect(server.getsockname())
    refuse_taken("127.0.0.1", 8080, 9000, "tcp", set())
    refuse_taken("", 8083, 9000, "udp", set())
    for one in bystanders:
        one.close()


def test_a_stack_is_named_rather_than_its_process(world: World) -> None:
    """Its keeper and its supervisor both hold its ports."""
    told, tell = os.pipe()
    holders = []
    for number, process in enumerate(("keeper", "supervisor")):
        holders.append(os.fork())
        if not holders[-1]:
            try:
                rename(f"orchestra-{process} forum")
                held = hold("", 8080 + number, "tcp")
                os.write(tell, b"%d" % len(held))
                signal.pause()
            finally:
                os._exit(1)
    try:
        os.read(told, 1), os.read(told, 1)
        assert [taken_by(port, "tcp") for port in (8080, 8081, 8082)] == ["stack forum", "stack forum", None]
    finally:
        for pid in holders:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(told)
        os.close(tell)


def test_an_address_of_another_machine_cannot_be_held(world: World) -> None:
    """The error says whose fault it is."""
    with pytest.raises(OrchestraError, match=r"port 8080/tcp on 203\.0\.113\.1: this machine has no such address"):
        hold("203.0.113.1", 8080, "tcp")


def test_a_listener_in_the_held_port_can_be_talked_to(world: World) -> None:
    """[::1] is answered by the held socket itself."""
    held = hold("", 8080, "tcp")
    (six,) = (opened for opened in held if opened.family == socket.AF_INET6)
    with socket.create_connection(("::1", 8080), timeout=5):
        six.setblocking(True)
        six.accept()[0].close()
    for opened in held:
        opened.close()
