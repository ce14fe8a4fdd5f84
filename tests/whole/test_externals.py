"""Networks and volumes that belong to no stack: `external: true`."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestra.state.externals import members
from orchestra.state.files import write_json

from .stage import Stage, cgroup_roots, free_port, idle, py, until

pytestmark = pytest.mark.kernel

SERVE = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["NAME"].encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8000), Answer).serve_forever()
"""
ASK = """
import urllib.request
try:
    print(urllib.request.urlopen("http://{}:8000", timeout=3).read().decode())
except OSError as error:
    print("nobody:", error)
"""
WIDE = {"wide": {"external": True}}


def serving(name: str, **more: Any) -> dict[str, Any]:
    check = {"http": "http://:8000/", "interval": "300ms", "start_period": "30s"}
    return py(SERVE, environment={"NAME": name}, healthcheck=check, **more)


class Pair:
    """Stack `a` with service api, stack `b` with service web, both on the external network `wide`."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        stage.ok("network", "create", "wide")
        self.up("a", {"api": serving("api of a", networks={"default": {}, "wide": {"aliases": ["api.wide"]}})})
        self.up("b", {"web": serving("web of b", networks=["wide"])})

    def up(self, stack: str, services: dict[str, Any], **more: Any) -> None:
        self.stage.write({"name": stack, "services": services, "networks": WIDE, **more}, f"{stack}.yml")
        self.stage.ok("-f", f"{stack}.yml", "up", "-d", "--wait")

    def ask(self, stack: str, service: str, name: str) -> str:
        return self.stage.ok("-f", f"{stack}.yml", "exec", "-T", service, "python3", "-c", ASK.format(name)).strip()

    def talk(self) -> None:
        assert self.ask("a", "api", "web") == "web of b"
        assert self.ask("b", "web", "api") == "api of a"


@pytest.fixture
def pair(orchestra: Stage) -> Iterator[Pair]:
    yield Pair(orchestra)
    for stack in ("a", "b"):
        orchestra.ok("-p", stack, "down", "-t", "1")
    ident = orchestra.home.network_id("wide")
    assert f"orc{ident}" not in os.listdir("/sys/class/net")
    assert ident not in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert not os.path.exists(orchestra.home.network_pin("wide"))
    orchestra.ok("network", "rm", "wide")
    assert json.loads(Path(orchestra.home.leases).read_text().partition("\n")[2])["subnets"] == {}


def test_stacks_on_one_network_see_each_other(pair: Pair) -> None:
    """By service, alias, service.stack and container; their own services before those of others. An address leads to
    its service."""
    pair.talk()
    for name in ("api.wide", "api.a", "a-api-1", "API"):
        assert pair.ask("b", "web", name) == "api of a"
    address = pair.stage.rows("-f", "a.yml")["a-api-1"]["Addresses"]["wide"]
    named = f"import socket; print(socket.gethostbyaddr('{address}')[0])"
    assert pair.stage.ok("-f", "b.yml", "exec", "-T", "web", "python3", "-c", named).strip() == "api"
    pair.up("b", {"web": serving("web of b", networks=["wide"]), "api": serving("api of b", networks=["wide"])})
    assert pair.ask("b", "web", "api") == "api of b"
    assert pair.ask("b", "web", "api.a") == "api of a"
    assert pair.ask("a", "api", "api") == "api of a"


def test_who_is_not_on_it_sees_nobody(pair: Pair) -> None:
    """Neither by name nor by address: not another stack, not another service of one that has a member."""
    pair.up(
        "a",
        {
            "api": serving("api of a", networks={"default": {}, "wide": {"aliases": ["api.wide"]}}),
            "inner": idle(),
        },
    )
    pair.up("c", {"other": idle()})
    address = next(iter(pair.stage.rows("-f", "b.yml")["b-web-1"]["Addresses"].values()))
    for stack, service in (("a", "inner"), ("c", "other")):
        assert "nobody" in pair.ask(stack, service, "web")
        assert "nobody" in pair.ask(stack, service, address)
    assert pair.ask("a", "inner", "api") == "api of a"
    # Nor by a neighbour that is in both: it forwards nothing.
    forwards = "cat /proc/sys/net/ipv4/conf/eth0/forwarding /proc/sys/net/ipv4/conf/eth1/forwarding"
    assert pair.stage.ok("-f", "a.yml", "exec", "-T", "api", "sh", "-c", forwards).split() == ["0", "0"]
    assert "nobody" in pair.ask("b", "web", "inner")
    pair.stage.ok("-p", "c", "down", "-t", "1")


def test_who_goes_is_not_found_any_more_and_who_comes_is(pair: Pair) -> None:
    """The neighbours hear of stops and of starts."""
    pair.stage.ok("-f", "a.yml", "stop", "-t", "1", "api")
    assert "nobody" in pair.ask("b", "web", "api")
    pair.stage.ok("-f", "a.yml", "start", "api")
    until(lambda: pair.ask("b", "web", "api") == "api of a", "it is found again")


@pytest.mark.parametrize("killed", ["supervisor", "keeper", "both"])
def test_either_may_be_killed(pair: Pair, killed: str) -> None:
    """Whose pair is gone is still answered for, and its containers still ask."""
    for stack, other, service, name, answer in (
        ("a", "b", "web", "api", "api of a"),
        ("b", "a", "api", "web", "web of b"),
    ):
        for kind in ("supervisor", "keeper") if killed == "both" else (killed,):
            os.kill(pair.stage.process(f"orchestra-{kind}", stack), signal.SIGKILL)
        assert pair.ask(other, service, name) == answer
        pair.stage.ok("-f", f"{stack}.yml", "up", "-d", "--wait")
        pair.talk()


def test_both_publish_through_the_network(orchestra: Stage) -> None:
    """One list of the firewall holds the ports of all members; who goes takes only its own along."""
    orchestra.ok("network", "create", "wide")
    ports = {stack: free_port(range(21000 + 100 * n, 21100 + 100 * n)) for n, stack in enumerate("ab")}
    for stack, port in ports.items():
        service = serving(f"{stack} itself", networks=["wide"], ports=[f"{port}:8000"])
        orchestra.write({"name": stack, "services": {"s": service}, "networks": WIDE}, f"{stack}.yml")
        orchestra.ok("-f", f"{stack}.yml", "up", "-d", "--wait")
    assert {stack: fetch(port) for stack, port in ports.items()} == {"a": "a itself", "b": "b itself"}
    orchestra.ok("-f", "a.yml", "down", "-t", "1")
    assert {stack: fetch(port) for stack, port in ports.items()} == {"a": "", "b": "b itself"}
    orchestra.ok("-f", "b.yml", "down", "-t", "1")
    orchestra.ok("network", "rm", "wide")


def fetch(port: int) -> str:
    done = subprocess.run(["python3", "-c", ASK.format("127.0.0.1").replace("8000", str(port))], capture_output=True)
    said = done.stdout.decode().strip()
    return "" if "nobody" in said else said


def test_in_use_it_cannot_be_removed(pair: Pair) -> None:
    """By whom is said; down of one leaves it to the other."""
    said = pair.stage.fails("network", "rm", "wide", status=1)
    assert "cannot remove network wide: it is used by a and b" in said
    pair.stage.ok("-f", "a.yml", "down", "-v", "-t", "1")
    assert "it is used by b" in pair.stage.fails("network", "rm", "wide", status=1)
    assert pair.ask("b", "web", "web") == "web of b"
    assert "nobody" in pair.ask("b", "web", "api")
    assert pair.stage.ok("network", "prune", "-f") == ""


def test_a_network_that_was_taken_away_is_made_again(pair: Pair) -> None:
    """For all of its members, whoever finds it first."""
    libc = ctypes.CDLL(None)
    assert libc.umount2(pair.stage.home.network_pin("wide").encode(), 2) == 0

    def talks() -> bool:
        return pair.ask("a", "api", "web") == "web of b" and pair.ask("b", "web", "api") == "api of a"

    until(talks, "they talk again")


def test_after_a_reboot_it_is_made_anew(pair: Pair) -> None:
    """Its definition is on disk, all else is not there any more: the same subnet, the same addresses."""
    stage = pair.stage
    before = json.loads(stage.ok("network", "inspect", "wide"))[0]
    reboot(stage, ("a", "b"))
    for stack in "ab":
        stage.ok("-f", f"{stack}.yml", "up", "-d", "--wait")
    pair.talk()
    assert json.loads(stage.ok("network", "inspect", "wide"))[0] == before


def reboot(stage: Stage, stacks: tuple[str, ...]) -> None:
    """What a reboot does: no process, no namespace, no link, no table, no cgroup; another boot id."""
    libc = ctypes.CDLL(None)

    def all_dead() -> bool:
        inside = [pid for name in stacks for path in cgroup_files(stage, name) for pid in path.read_text().split()]
        alive = [*stage.processes(), *map(int, inside)]
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not alive

    until(all_dead, "everybody ends")
    idents = [stage.home.network_id("wide"), *(stage.stack(name).network_id("default") for name in stacks)]
    pins = [f"{stage.stack(name).pins}/{pin}" for name in stacks for pin in os.listdir(stage.stack(name).pins)]
    for pin in [*pins, stage.home.network_pin("wide")]:
        libc.umount2(pin.encode(), 2)
    for ident in idents:
        subprocess.run(["ip", "link", "del", f"orc{ident}"], check=False, capture_output=True)
        subprocess.run(["nft", "delete", "table", "ip", f"orchestra-{ident}"], check=False, capture_output=True)
    for member in members(stage.home, "wide"):
        path = Path(stage.home.network_run("wide"), f"{member.stack}.member")
        write_json(str(path), {**json.loads(path.read_text().partition("\n")[2]), "boot": "another"})
    for name in stacks:
        for root in cgroup_roots():
            for folder, _, _ in os.walk(f"{root}/{stage.stack(name).cgroups}", topdown=False):
                until(lambda folder=folder: gone(folder), f"{folder} is empty")
        Path(stage.stack(name).boot).write_text("another\n")
        page = json.loads(Path(stage.stack(name).wanted).read_text().partition("\n")[2])
        write_json(stage.stack(name).wanted, {**page, "boot": "another"})


def cgroup_files(stage: Stage, name: str) -> list[Path]:
    return [path for root in cgroup_roots() for path in Path(root, stage.stack(name).cgroups).glob("*/cgroup.procs")]


def gone(folder: str) -> bool:
    with contextlib.suppress(OSError):
        os.rmdir(folder)
    return not os.path.isdir(folder)


def test_what_is_missing_is_told_before_anything_starts(orchestra: Stage) -> None:
    """With the command that makes it."""
    orchestra.write({"services": {"first": idle(), "s": idle(networks=["wide"])}, "networks": WIDE})
    said = orchestra.fails("up", "-d", status=1)
    assert "network wide is external and does not exist" in said
    assert "try: orchestra network create wide" in said
    orchestra.write({"services": {"s": idle(volumes=["v:/v"])}, "volumes": {"v": {"external": True, "name": "vv"}}})
    said = orchestra.fails("up", "-d", status=1)
    assert "volume vv is external and does not exist" in said
    assert "try: orchestra volume create vv" in said
    assert orchestra.rows() == {}


def test_a_volume_is_shared_and_outlives_both(orchestra: Stage) -> None:
    """What one writes the other reads; `down -v` leaves it, `rm` refuses while it is used."""
    orchestra.ok("volume", "create", "shared")
    volumes = {"shared": {"external": True}}
    for stack in "ab":
        services = {"s": idle(volumes=["shared:/shared"])}
        orchestra.write({"name": stack, "services": services, "volumes": volumes}, f"{stack}.yml")
        orchestra.ok("-f", f"{stack}.yml", "up", "-d")
    orchestra.ok("-f", "a.yml", "exec", "-T", "s", "sh", "-c", "echo kept > /shared/file")
    assert orchestra.ok("-f", "b.yml", "exec", "-T", "s", "cat", "/shared/file").strip() == "kept"
    assert "it is used by a and b" in orchestra.fails("volume", "rm", "shared", status=1)
    for stack in "ab":
        orchestra.ok("-f", f"{stack}.yml", "down", "-v", "-t", "1")
    [about] = json.loads(orchestra.ok("volume", "inspect", "shared"))
    assert Path(about["Mountpoint"], "file").read_text() == "kept\n"
    assert orchestra.ok("volume", "rm", "shared") == "shared\n"
    assert not os.path.exists(about["Mountpoint"])


def test_volumes_of_stacks_have_composes_labels_and_are_protected(orchestra: Stage) -> None:
    """Also from `down -v` of the stack that has made them, when another stack uses them."""
    orchestra.write({"name": "a", "services": {"s": idle(volumes=["db:/db"])}, "volumes": {"db": {}}}, "a.yml")
    orchestra.ok("-f", "a.yml", "up", "-d")
    outside = {"db": {"external": True, "name": "a_db"}}
    orchestra.write({"name": "b", "services": {"s": idle(volumes=["db:/db"])}, "volumes": outside}, "b.yml")
    orchestra.ok("-f", "b.yml", "up", "-d")
    [about] = json.loads(orchestra.ok("volume", "inspect", "a_db"))
    assert about["Labels"] == {"com.docker.compose.project": "a", "com.docker.compose.volume": "db"}
    assert about["Stacks"] == ["a", "b"]
    assert "it is used by b" in orchestra.fails("-f", "a.yml", "down", "-v", status=1)
    assert orchestra.rows("-f", "a.yml")["a-s-1"]["State"] == "running"
    orchestra.ok("-f", "b.yml", "down", "-v", "-t", "1")
    assert orchestra.ok("volume", "ls", "-q") == "a_db\n"
    orchestra.ok("-f", "a.yml", "down", "-v", "-t", "1")
    assert orchestra.ok("volume", "ls", "-q") == ""
