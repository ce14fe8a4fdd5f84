"""Who reaches whom: between stacks, to the world, and in through published ports."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .stage import Stage, idle, namespaces, py, until
from .world import BRIEFLY, SERVE, Outside, ask, asked, outside

pytestmark = pytest.mark.kernel


def serving(hostname: str = "web", **more: object) -> dict[str, object]:
    return py(SERVE, hostname=hostname, stop_signal="SIGKILL", **more)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def ask_from(stage: Stage, service: str, kind: str, address: str, port: int, wait: str = "5", *options: str) -> str:
    return stage.ok("exec", "-T", *options, service, "python3", *asked(kind, address, port, wait)[1:]).strip()


class Town:
    def __init__(self, stage: Stage, beyond: Outside) -> None:
        self.stage = stage
        self.beyond = beyond
        self.port, self.local, self.udp = free_port(), free_port(), free_port()


@pytest.fixture(scope="module")
def town(shared: Stage) -> Iterator[Town]:
    """One service with published ports, its neighbour, one closed in; and a world outside."""
    with outside() as beyond:
        beyond.serve()
        town = Town(shared, beyond)
        shared.up(
            {
                "web": serving(
                    ports=[f"{town.port}:8000", f"127.0.0.1:{town.local}:8000", f"{town.udp}:5353/udp"],
                    networks=["default", "hall"],
                ),
                "friend": idle(),
                "closed": idle(networks=["hall"]),
            },
            networks={"hall": {"internal": True}},
        )
        until(lambda: ask("tcp", "127.0.0.1", town.port, "1").startswith("web"), "it serves")
        yield town


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("way", ["127.0.0.1", "::1", "machine"])
def test_a_published_port_answers_on_the_machine(town: Town, way: str, kind: str) -> None:
    """At 127.0.0.1, at [::1] and at the machine's own address."""
    address = town.beyond.machine if way == "machine" else way
    assert ask(kind, address, town.port if kind == "tcp" else town.udp).startswith("web")


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_published_port_answers_to_the_world(town: Town, kind: str) -> None:
    """From another machine; the service sees who asks."""
    said = town.beyond.ask(kind, town.beyond.machine, town.port if kind == "tcp" else town.udp)
    assert said == f"web {town.beyond.address}"


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("service", ["friend", "web"])
def test_a_published_port_answers_to_containers_by_the_machines_address(town: Town, service: str, kind: str) -> None:
    """From a neighbour, and from the very container that publishes it."""
    port = town.port if kind == "tcp" else town.udp
    assert ask_from(town.stage, service, kind, town.beyond.machine, port).startswith("web")


def test_a_port_published_on_loopback_stays_there(town: Town) -> None:
    """127.0.0.1:… is not reached from outside nor from containers."""
    assert ask("tcp", "127.0.0.1", town.local).startswith("web")
    assert town.beyond.ask("tcp", town.beyond.machine, town.local, BRIEFLY).startswith("nobody")
    assert ask_from(town.stage, "friend", "tcp", town.beyond.machine, town.local, BRIEFLY).startswith("nobody")


def test_a_neighbour_is_reached_by_name_on_any_port(town: Town) -> None:
    """Inside of a network nothing needs to be published."""
    assert ask_from(town.stage, "friend", "tcp", "web", 8000).startswith("web")
    assert ask_from(town.stage, "friend", "udp", "web", 5353).startswith("web")


def test_containers_reach_the_world(town: Town) -> None:
    """Under the machine's address."""
    assert ask_from(town.stage, "friend", "tcp", town.beyond.address, 8000).split()[-1] == town.beyond.machine
    assert ask_from(town.stage, "friend", "udp", town.beyond.address, 5353).split()[-1] == town.beyond.machine


def test_an_internal_network_has_no_way_out(town: Town) -> None:
    """Its services reach each other, and nobody else."""
    assert ask_from(town.stage, "closed", "tcp", "web", 8000).startswith("web")
    assert ask_from(town.stage, "closed", "tcp", town.beyond.address, 8000, BRIEFLY).startswith("nobody")
    assert ask_from(town.stage, "closed", "tcp", town.beyond.machine, town.port, BRIEFLY).startswith("nobody")


def test_what_is_not_published_is_not_reached_from_outside(town: Town) -> None:
    """Not even by who knows the container's address and sets a route."""
    inside = town.stage.inside("friend", "getent hosts web").split()[0]
    town.beyond.run("ip", "route", "replace", f"{inside}/32", "via", town.beyond.machine)
    assert town.beyond.ask("tcp", inside, 8000, BRIEFLY).startswith("nobody")


def test_services_of_the_machine_are_not_reached(town: Town) -> None:
    """What listens on the machine is not for containers, neither at the gateway nor at the machine's address."""
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        gateway = town.stage.inside("friend", "ip route show default").split()[2]
        for address in (gateway, town.beyond.machine):
            assert ask_from(town.stage, "friend", "tcp", address, port, BRIEFLY).startswith("nobody")


def test_the_port_command_tells_the_host_port(town: Town) -> None:
    """`port SERVICE PORT` as docker compose prints it."""
    assert town.stage.ok("port", "web", "8000").strip() == f"0.0.0.0:{town.port}"
    assert town.stage.ok("port", "--protocol", "udp", "web", "5353").strip() == f"0.0.0.0:{town.udp}"


def test_stacks_do_not_reach_each_other(orchestra: Stage) -> None:
    """Neither by name nor by address."""
    orchestra.up({"web": serving()})
    orchestra.write({"name": "u", "services": {"other": idle()}}, "other.yml")
    orchestra.ok("up", "-d", "-f", "other.yml")
    address = orchestra.inside("web", "hostname -I").split()[0]
    until(lambda: ask_from(orchestra, "web", "tcp", address, 8000, "1").startswith("web"), "it serves")
    for target in ("web", "web.t", "t-web-1", address):
        assert ask_from(orchestra, "other", "tcp", target, 8000, BRIEFLY, "-p", "u").startswith("nobody"), target


def test_a_taken_port_is_told_with_its_holder_before_anything_starts(orchestra: Stage) -> None:
    """The error names the process, and no container was made."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        orchestra.write({"services": {"first": idle(), "web": serving(ports=[f"{port}:8000"])}})
        said = orchestra.fails("up", "-d")
    assert str(port) in said
    assert "web" in said
    assert str(os.getpid()) in said
    assert orchestra.rows() == {}


def test_a_port_of_another_stack_is_told_with_its_name(orchestra: Stage) -> None:
    """The error names the stack that publishes the port."""
    port = free_port()
    orchestra.up({"web": serving(ports=[f"{port}:8000"])})
    orchestra.write({"name": "u", "services": {"other": idle(ports=[f"{port}:80"])}}, "other.yml")
    said = orchestra.fails("up", "-d", "-f", "other.yml")
    assert str(port) in said
    assert "stack t" in said


def test_a_port_is_free_again_after_down(orchestra: Stage) -> None:
    """And can be published by the next."""
    port = free_port()
    for _ in range(2):
        orchestra.up({"web": serving(ports=[f"{port}:8000"])})
        until(lambda: ask("tcp", "127.0.0.1", port, "1").startswith("web"), "it serves")
        orchestra.ok("down")
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_published_port_goes_on_after_the_service_restarts(orchestra: Stage) -> None:
    """The port leads to the new run."""
    port = free_port()
    orchestra.up({"web": serving(ports=[f"{port}:8000"])})
    until(lambda: ask("tcp", "127.0.0.1", port, "1").startswith("web"), "it serves")
    orchestra.ok("restart", "web")
    until(lambda: ask("tcp", "127.0.0.1", port, "1").startswith("web"), "it serves again")


def test_a_range_of_ports_is_spread_over_replicas(orchestra: Stage) -> None:
    """Each container gets one port of the range."""
    first = next(
        port for port in range(20000 + os.getpid() % 5000, 30000) if all(_is_free(port + i) for i in range(3))
    )
    orchestra.up({"web": serving(ports=[f"{first}-{first + 2}:8000"], scale=2)})
    ports = {publisher["PublishedPort"] for row in orchestra.rows().values() for publisher in row["Publishers"]}
    assert len(ports) == 2
    assert ports <= set(range(first, first + 3))


def free_range(protocol: str, count: int) -> int:
    """The first of so many neighbours that no socket of this machine has."""
    lines = [
        line
        for table in (protocol, f"{protocol}6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    taken = {int(line.split()[1].rpartition(":")[2], 16) for line in lines}
    return next(first for first in range(5000, 60000, 500) if taken.isdisjoint(range(first, first + count)))


def test_a_long_range_is_one_thing_wherever_it_is_told(orchestra: Stage) -> None:
    """One rule, no socket, one line; another stack is told whose it is, until `down`; a new supervisor knows it."""
    first = free_range("udp", 10001)
    host, inside = f"{first}-{first + 10000}", "5000-15000"
    orchestra.up({"web": serving(ports=[f"{host}:{inside}/udp"])})
    until(lambda: ask("udp", "127.0.0.1", first + 353, "1").startswith("web"), "it serves")
    assert [one["Ports"] for one in orchestra.row("t-web-1")["Publishers"]] == [10001]
    assert f"0.0.0.0:{host}->{inside}/udp" in orchestra.ok("ps")
    assert orchestra.ok("port", "web", "15000", "--protocol", "udp") == f"0.0.0.0:{first + 10000}\n"
    assert f"{inside}/udp" in orchestra.ok("inspect", "web")
    assert len(orchestra.ok("config").splitlines()) < 50
    assert len(os.listdir(f"/proc/{orchestra.supervisor()}/fd")) < 100
    for its in (f"{first + 7}:80/udp", f"127.0.0.1:{first - 200}-{first}:1-201/udp"):
        orchestra.write({"name": "u", "services": {"other": idle(ports=[its])}}, "other.yml")
        assert f"it is used by stack t, which has {host}/udp" in orchestra.fails("up", "-d", "-f", "other.yml")
    before = orchestra.supervisor()
    os.kill(before, signal.SIGKILL)
    until(lambda: orchestra.supervisor() not in (0, before), "there is another supervisor")
    assert ask("udp", "127.0.0.1", first + 353).startswith("web")
    assert f"0.0.0.0:{host}->{inside}/udp" in orchestra.ok("ps")
    orchestra.ok("down")
    orchestra.ok("up", "-d", "-f", "other.yml")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_taken_port_within_a_long_range_is_told_before_anything_starts(orchestra: Stage, protocol: str) -> None:
    first = free_range(protocol, 1001)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", first + 500))
        if protocol == "tcp":
            server.listen()
        orchestra.write({"services": {"web": idle(ports=[f"{first}-{first + 1000}:1000-2000/{protocol}"])}})
        said = orchestra.fails("up", "-d")
    assert f"host port {first + 500}/{protocol}" in said
    assert str(os.getpid()) in said
    assert orchestra.rows() == {}


@pytest.mark.parametrize("asked", ["${PORT:-0}:8000", "127.0.0.1:0:8000", {"target": 8000, "published": 0}])
def test_port_0_is_any_free_one(orchestra: Stage, asked: object) -> None:
    orchestra.up({"web": serving(ports=[asked])})
    address, _, port = orchestra.ok("port", "web", "8000").strip().rpartition(":")
    assert address == ("127.0.0.1" if "127" in str(asked) else "0.0.0.0")
    until(lambda: ask("tcp", "127.0.0.1", int(port), "1").startswith("web"), "it serves")


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0


def test_network_mode_none_has_only_loopback(orchestra: Stage) -> None:
    """A namespace of its own, with nothing in it."""
    orchestra.up({"a": idle(network_mode="none")})
    found = orchestra.probe("a")
    assert found["links"] == ["lo"]
    assert found["namespaces"]["net"] != namespaces("self")["net"]


def test_network_mode_host_is_the_machines_network(orchestra: Stage) -> None:
    """The links of the machine, without rights over them."""
    orchestra.up({"a": idle(network_mode="host")})
    found = orchestra.probe("a")
    assert found["namespaces"]["net"] == namespaces("self")["net"]
    assert orchestra.run("exec", "-T", "a", "ip", "link", "add", "dummy9", "type", "dummy").returncode != 0


@pytest.mark.parametrize(
    "says",
    [{"ports": ["80:80"]}, {"expose": ["80/tcp"]}, {"healthcheck": {"tcp": 80}}],
    ids=["ports", "expose", "probe"],
)
def test_a_low_port_of_the_machine_is_refused_before_anything_starts(orchestra: Stage, says: dict[str, Any]) -> None:
    """The sysctl that would allow it is named, with its value; where it allows it, the service starts."""
    setting = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    before = setting.read_text()
    orchestra.write({"services": {"a": idle(network_mode="host", **says)}})
    try:
        setting.write_text("1024")
        said = orchestra.fails("up", "-d")
        assert "may not listen on port 80" in said
        assert "sysctl -w net.ipv4.ip_unprivileged_port_start=80" in said
        assert orchestra.rows() == {}
        setting.write_text("80")
        orchestra.ok("up", "-d")
    finally:
        setting.write_text(before)


def test_network_mode_service_shares_the_network_of_another(orchestra: Stage) -> None:
    """Same links and loopback; the rest stays apart."""
    orchestra.up({"x": serving("x"), "y": idle(network_mode="service:x")})
    x, y = orchestra.probe("x"), orchestra.probe("y")
    assert x["namespaces"]["net"] == y["namespaces"]["net"]
    assert x["namespaces"]["pid"] != y["namespaces"]["pid"]
    until(lambda: ask_from(orchestra, "y", "tcp", "127.0.0.1", 8000, "1").startswith("x"), "it serves")


PING = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as one:
    one.settimeout(5)
    one.sendto(bytes((8, 0, 0, 0, 0, 0, 0, 0)), (sys.argv[1], 0))
    print(one.recvfrom(100)[1][0])
"""


def test_whose_network_it_is_makes_no_difference(orchestra: Stage) -> None:
    """The own name has an address, ping works as a plain user, in one's own network or another's, or in none; the
    machine's network is one's own, with the machine's names, if there is a service in between as well."""
    modes = {"x": "", "y": "service:x", "none": "none", "m": "service:none", "host": "host", "h": "service:host"}
    own = {name: {"network_mode": mode} if mode else {} for name, mode in modes.items()}
    orchestra.up({name: idle(hostname=f"its-{name}", **one) for name, one in own.items()})
    for name in modes:
        assert orchestra.inside(name, "getent hosts $(hostname)").split()[1] == f"its-{name}"
    for name in ("x", "y", "none", "m"):
        for user in ("0:0", "1000:1000"):
            options = ("-T", "-u", user, name, "python3", "-c", PING)
            assert orchestra.ok("exec", *options, "127.0.0.1").strip() == "127.0.0.1"
    address = orchestra.inside("x", "getent hosts $(hostname)").split()[0]
    assert orchestra.inside("y", "getent hosts $(hostname)").split()[0] == address
    assert orchestra.ok("exec", "-T", "y", "python3", "-c", PING, address).strip() == address
    ours = Path("/etc/hosts").read_text()
    for name in ("host", "h"):
        assert orchestra.probe(name)["namespaces"]["net"] == namespaces("self")["net"]
        assert ours in orchestra.inside(name, "cat /etc/hosts") + "\n"


def test_a_shared_network_survives_a_restart_of_its_owner(orchestra: Stage) -> None:
    """network_mode: service:x goes on, with the same process, and reaches the new x."""
    orchestra.up({"x": serving("x"), "y": idle(network_mode="service:x"), "z": idle()})
    pid = orchestra.pid("t-y-1")
    orchestra.ok("restart", "x")
    assert orchestra.pid("t-y-1") == pid
    until(lambda: ask_from(orchestra, "y", "tcp", "127.0.0.1", 8000, "1").startswith("x"), "it serves")
    assert ask_from(orchestra, "y", "tcp", "x", 8000).startswith("x")
    assert orchestra.inside("y", "getent hosts z") != ""
