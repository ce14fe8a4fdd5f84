"""Whose network namespace it is: its own, another service's, nobody's, the host's."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from orchestra.plan import defaults
from orchestra.runtime import StartError, sandbox

from .conftest import Machine, in_child

pytestmark = pytest.mark.kernel


PING = """
import socket as s
s.socket(s.AF_INET, s.SOCK_DGRAM, s.IPPROTO_ICMP).sendto(b"\\x08\\0\\0\\0\\0\\0\\0\\0", ("127.0.0.1", 0))
print("ok")
"""


def namespaces(machine: Machine, name: str, network: dict[str, str] | None) -> list[dict[str, str]]:
    rest: list[dict[str, str]] = [{"type": "user", "path": machine.pins(name)[0]}]
    rest += [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup")]
    return rest + ([network] if network else [])


def test_loopback_works_and_is_alone(machine: Machine) -> None:
    """A new sandbox has `lo`, up, and nothing of the host's interfaces in sysfs."""
    ended = machine.shell("ls /sys/class/net; cat /sys/class/net/lo/operstate /sys/class/net/lo/flags")
    assert ended.out.split() == ["lo", "unknown", "0x9"]


def test_a_plain_user_pings_and_serves_low_ports(machine: Machine) -> None:
    """Without NET_RAW and NET_BIND_SERVICE."""
    ended = machine.python(
        "import socket as s\n"
        "s.socket(s.AF_INET, s.SOCK_DGRAM, s.IPPROTO_ICMP).sendto(b'\\x08\\0\\0\\0\\0\\0\\0\\0', ('127.0.0.1', 0))\n"
        "s.socket().bind(('127.0.0.1', 80)); print('ok')",
        user={"uid": 1000, "gid": 1000},
    )
    assert ended.out == "ok\n"


def test_it_can_be_another_service_s(machine: Machine) -> None:
    """`network_mode: service:x`: x's namespace, with sysfs, though x has another user namespace."""
    owner = machine.sleeper(name="a")
    machine.sandbox("b", network=False)
    shared = {"type": "network", "path": machine.pins("a")[1]}
    theirs = namespaces(machine, "b", shared)
    with pytest.raises(StartError, match="belongs to the service"):
        machine.run("true", name="b", namespaces=theirs, sysctl={"net.ipv4.ip_forward": "1"})
    guest = machine.sleeper(name="b", namespaces=theirs)
    assert guest.exec("python3", "-c", PING).out == "ok\n"
    assert owner.exec("python3", "-c", PING).out == "ok\n"
    assert os.readlink(f"/proc/{guest.pid}/ns/net") == os.readlink(f"/proc/{owner.pid}/ns/net")
    assert guest.exec("ls", "/sys/class/net").out == "lo\n"


def test_none_is_a_loopback_alone(machine: Machine) -> None:
    """`network_mode: none`: a namespace without a pin, with the same parameters."""
    ended = machine.shell(
        "ls /sys/class/net; cat /sys/class/net/lo/flags /proc/sys/net/ipv4/ip_unprivileged_port_start",
        namespaces=namespaces(machine, "a", {"type": "network"}),
    )
    assert ended.out.split() == ["lo", "0x9", "0"]


def test_the_host_s_can_be_used_but_not_changed(machine: Machine) -> None:
    """`network_mode: host`: its interfaces are seen, no right over them, and no sysctl of it is written."""
    hosts: Any = namespaces(machine, "a", None)
    running = machine.sleeper(namespaces=hosts, sysctl={})
    assert os.readlink(f"/proc/{running.pid}/ns/net") == os.readlink("/proc/self/ns/net")
    ours = {name for _, name in socket.if_nameindex()}
    assert set(running.exec("ls", "/sys/class/net").out.split()) == ours
    assert running.exec("ip", "link", "set", "lo", "mtu", "1000").code != 0
    with pytest.raises(StartError, match="belongs to the host"):
        machine.run("true", namespaces=hosts, sysctl=dict(defaults.SYSCTLS), cgroupsPath=f"{machine.scope}/b")


@pytest.mark.parametrize(
    "name",
    ["kernel.core_pattern", "kernel.shm_next_id", "vm.swappiness", "net/../vm.x", "net.ipv4.../vm", "fs.file-max"],
)
def test_other_parameters_are_refused(machine: Machine, name: str) -> None:
    """Only what belongs to a namespace of the container."""
    with pytest.raises(StartError, match="does not belong"):
        machine.run("true", sysctl={name: "1"})


def test_making_a_sandbox_twice_keeps_it(machine: Machine) -> None:
    """`make` says what must be there; a plain file left by a reboot is replaced."""
    machine.sandbox("a")
    user, net = machine.pins("a")
    before = [os.stat(pin).st_ino for pin in (user, net)]
    machine.sandbox("a")
    assert [os.stat(pin).st_ino for pin in (user, net)] == before
    sandbox.remove(user, net)
    sandbox.remove(user, net)
    assert not os.path.exists(user)
    for pin in (user, net):
        open(pin, "w").close()
    assert not sandbox.pinned(user)
    machine.sandbox("a")
    assert sandbox.pinned(user)
    assert sandbox.pinned(net)


def test_several_sandboxes_are_made_at_once(machine: Machine) -> None:
    """Each with its own range of ids."""
    names = ["a", "b", "c", "d"]
    specs: list[Any] = []
    for name in names:
        user, net = machine.pins(name)
        specs.append({"user_pin": user, "net_pin": net, "base": machine.range_of(name), "size": 65536})
    in_child(lambda: sandbox.make(specs))
    assert len({os.stat(pin).st_ino for name in names for pin in machine.pins(name)}) == 8
    for name in names:
        assert machine.run("cat", "/proc/self/uid_map", name=name).out.split() == [
            "0",
            str(machine.range_of(name)),
            "65536",
        ]


def test_a_range_that_cannot_be_mapped_is_an_error(machine: Machine) -> None:
    """Nothing is pinned then."""
    user, net = machine.pins("a")
    bad: Any = {"user_pin": user, "net_pin": net, "base": 2**32 - 10, "size": 65536}
    with pytest.raises(StartError, match="uid_map"):
        in_child(lambda: sandbox.make([bad]))
    assert not os.path.exists(user)


def test_a_pair_whose_maker_is_killed_ends_soon(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that is born with the namespaces does not outlive its purpose; the pins alone hold them."""
    user, net = machine.pins("a")
    spec: Any = {"user_pin": user, "net_pin": net, "base": machine.range_of("a"), "size": 65536}
    monkeypatch.setattr(sandbox, "_raise_loopback_in", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(EOFError):
        in_child(lambda: sandbox.make([spec]))
    end = time.monotonic() + 5
    while inside := processes_in(os.stat(user).st_ino):
        assert time.monotonic() < end, inside
        time.sleep(0.05)


def test_a_pair_that_could_not_be_pinned_in_time_is_born_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that is so busy that the process born with the namespaces has ended before they are pinned."""
    user, net = machine.pins("a")
    spec: Any = {"user_pin": user, "net_pin": net, "base": machine.range_of("a"), "size": 65536}
    pin = sandbox._pin

    def slowly(namespace: str, path: str) -> None:
        time.sleep(0.3)
        pin(namespace, path)

    monkeypatch.setattr(sandbox, "_pin", slowly)
    monkeypatch.setattr(sandbox, "LIVES", (0, 30))
    in_child(lambda: sandbox.make([spec]))
    assert sandbox.pinned(user)
    assert sandbox.pinned(net)
    assert not processes_in(os.stat(user).st_ino)


def processes_in(user_namespace: int) -> list[str]:
    """By its inode; a zombie has ended."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            state = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and os.stat(f"/proc/{entry}/ns/user").st_ino == user_namespace:
                found.append(entry)
        except OSError:
            continue
    return found
