"""The keeper with the real runtime: namespaces, cgroups and all."""

from __future__ import annotations

import copy
import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestra.keeper.engine import Engine
from orchestra.plan import defaults
from orchestra.runtime import bases, cgroups, sandbox, seccomp

from .conftest import Client, House, until

pytestmark = pytest.mark.kernel
RANGE = {"base": 1_900_000_000 + os.getpid() % 997 * 65536, "size": 65536}


class Box:
    """One container's specification under a keeper with the real engine."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.places = house.places
        self.keeper = house.start(engine=Engine())
        self.base = bases.host_base(self.places.home.bases)
        self.client = self.connect()

    def connect(self) -> Client:
        self.client = self.house.connect()
        self.client.children()
        return self.client

    def sandbox(self) -> None:
        pins = {"user_pin": self.places.user_pin("cart"), "net_pin": self.places.net_pin("cart")}
        self.client.call("sandbox", sandboxes=[{**pins, **RANGE}])

    def request(self, *args: str, run: int = 1, **process: Any) -> dict[str, Any]:
        mapping = [{"containerID": 0, "hostID": RANGE["base"], "size": RANGE["size"]}]
        rights = list(defaults.CAPABILITIES)
        spec: dict[str, Any] = {
            "ociVersion": "1.2.0",
            "hostname": "box",
            "process": {
                "terminal": False,
                "user": {"uid": 0, "gid": 0},
                "args": list(args),
                "env": [f"PATH={bases.host_path()}"],
                "cwd": "/",
                "capabilities": {
                    **dict.fromkeys(("bounding", "effective", "permitted"), rights),
                    "inheritable": [],
                    "ambient": [],
                },
                "rlimits": list(defaults.RLIMITS),
                "noNewPrivileges": True,
                **process,
            },
            "root": {"path": "", "readonly": False},
            "mounts": [*defaults.MOUNTS, defaults.shm()],
            "linux": {
                "namespaces": [
                    {"type": "user", "path": self.places.user_pin("cart")},
                    {"type": "network", "path": self.places.net_pin("cart")},
                    *({"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup")),
                ],
                "uidMappings": mapping,
                "gidMappings": mapping,
                "cgroupsPath": self.places.cgroup("cart"),
                "resources": {"pids": {"limit": 100}},
                "sysctl": dict(defaults.SYSCTLS),
                "maskedPaths": list(defaults.MASKED_PATHS),
                "readonlyPaths": list(defaults.READONLY_PATHS),
            },
            "annotations": {},
            "orchestra": {
                "layers": [self.base],
                "upper": f"{self.places.root('cart')}/upper",
                "work": f"{self.places.root('cart')}/work",
                "usr": bases.host_binds(),
                "seccomp": seccomp.ensure_filter(self.places.home.cache, "", defaults.CAPABILITIES),
                "files": [],
                "init": False,
                "stdin": False,
            },
        }
        log = {"directory": self.places.logs("cart"), "max_size": 1 << 20, "max_files": 3}
        return {"name": "cart", "run": run, "spec": copy.deepcopy(spec), "log": log, "note": {}}

    def launch(self, *args: str, **changes: Any) -> dict[str, Any]:
        return self.client.call("launch", **self.request(*args, **changes))

    def close(self) -> None:
        driver = cgroups.driver()
        path = self.places.cgroup("cart")
        driver.kill(path)
        self.house.close()
        driver.remove(path)
        driver.remove(os.path.dirname(path))
        sandbox.remove(self.places.user_pin("cart"), self.places.net_pin("cart"))


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A container that can be launched; its mounts and cgroups are gone afterwards."""
    made = Box(House(tmp_path))
    made.sandbox()
    try:
        yield made
    finally:
        made.close()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert not cgroups.driver().exists(made.places.cgroup("cart"))


def test_a_container_runs_is_logged_and_ends(box: Box) -> None:
    """Root inside is nobody outside; output on both streams and the exit code arrive."""
    answer = box.launch("sh", "-c", "id -u; cat /proc/self/uid_map; sleep 0.1; echo sorry >&2; exit 3")
    assert os.stat(f"/proc/{answer['pid']}").st_uid == RANGE["base"]
    assert box.client.exited("cart")["code"] == 3
    lines = box.house.log("cart").decode().split()
    assert lines[0] == "0"
    assert lines[2] == str(RANGE["base"])
    assert lines[-1] == "sorry"


def test_standard_streams_can_be_opened_again(box: Box) -> None:
    """As nginx and others log to /dev/stdout, also by a user who is not root inside."""
    box.launch("sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr", user={"uid": 1000, "gid": 1000})
    assert box.client.exited("cart")["code"] == 0
    assert sorted(box.house.log("cart").split()) == [b"err", b"out"]


def test_nobody_inside_reads_back_what_was_written(box: Box) -> None:
    """Root inside is not the owner of /dev/stdout, and what it has open of it only takes."""
    script = """
import os
for way in (os.O_RDONLY, os.O_RDWR):
    for fd in (1, 2):
        try:
            os.open(f"/proc/self/fd/{fd}", way | os.O_NONBLOCK)
            print("read")
        except PermissionError:
            print("refused")
try:
    os.read(1, 1)
except OSError as error:
    print(error.errno)
print(*map(os.readlink, ("/proc/self/fd/1", "/proc/self/fd/2")))
"""
    box.launch("python3", "-c", script)
    assert box.client.exited("cart")["code"] == 0
    assert box.house.log("cart").decode().split() == ["refused"] * 4 + [str(errno.EBADF), "/cart.out", "/cart.err"]


def test_what_a_terminal_has_shown_is_logged_by_the_next_keeper(box: Box) -> None:
    """Also where no supervisor has its master: what came out of it lies in a pipe that somebody else holds."""
    box.launch("sh", "-c", "stty -onlcr; trap '' HUP; read line; echo got $line", terminal=True)
    fifo = os.open(f"{box.places.fifos}/cart.out", os.O_WRONLY)
    box.house.kill(box.keeper)
    os.write(fifo, b"shown\n")  # passed on, and the keeper was killed before it could move it
    os.close(fifo)
    box.house.start(engine=Engine())
    box.connect()
    until(lambda: b"shown\n" in box.house.log("cart"), "what was passed on")


def test_a_program_that_is_not_there_is_named(box: Box) -> None:
    """The failure of the exec comes back with the code that a shell would give, and nothing runs."""
    failure = box.client.refused("launch", **box.request("no-such-program"))
    assert failure["code"] == 127
    assert "no-such-program" in failure["what"]
    assert box.client.children() == {}


def test_a_container_outlives_its_keeper(box: Box) -> None:
    """kill -9 of the keeper in the midst of output: all 40 lines, and exit code 7 of a process that was adopted."""
    script = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; sleep 0.02; done; exit 7"
    pid = box.launch("sh", "-c", script)["pid"]
    until(lambda: len(box.house.log("cart").splitlines()) > 5, "the first lines")
    box.house.kill(box.keeper)
    box.house.start(engine=Engine())
    assert box.connect().children()["cart"]["pid"] == pid
    assert box.client.exited("cart")["code"] == 7
    assert box.house.log("cart").decode().splitlines() == [f"line {n}" for n in range(1, 41)]


def test_exec_in_a_container(box: Box) -> None:
    """It sees the container's processes, writes to the given descriptor, and its code comes back."""
    box.launch("sleep", "600")
    process = box.request("sh", "-c", "cat /proc/1/comm; exit 9")["spec"]["process"]
    filters = box.request("x")["spec"]["orchestra"]["seccomp"]
    out, into = os.pipe()
    box.client.call("exec", [into] * 3, name="cart", exec="e", process=process, seccomp=filters, timeout=5)
    os.close(into)
    assert box.client.exec_exited("e")["code"] == 9
    assert os.read(out, 100) == b"sleep\n"
    os.close(out)


def test_a_terminal_of_the_containers_own(box: Box) -> None:
    """Its master comes with the reply and with `fetch`; what is shown is logged."""
    box.launch("sh", "-c", "tty; read line; echo got $line; exit 4", terminal=True)
    master = box.client.descriptors[0]
    os.write(master, b"hello\n")
    assert box.client.exited("cart")["code"] == 4
    shown = box.house.log("cart")
    assert b"/dev/" in shown
    assert b"got hello" in shown
    assert box.client.call("fetch")["names"] == []


def test_a_terminal_outlives_its_keeper(box: Box) -> None:
    """As long as the supervisor holds the master; the next keeper goes on logging once it is stored again."""
    box.launch("sh", "-c", "read line; echo got $line; exit 4", terminal=True)
    box.house.kill(box.keeper)
    box.house.start(engine=Engine())
    master = box.client.descriptors.pop()
    box.connect().call("store", [master], name="terminal:cart")
    os.write(master, b"again\n")
    os.close(master)
    assert box.client.exited("cart")["code"] == 4
    assert b"got again" in box.house.log("cart")


def test_everything_in_a_container_is_killed(box: Box) -> None:
    """`everyone` goes through the cgroup."""
    box.launch("sh", "-c", "sleep 600 & sleep 600 & echo ready; wait")
    until(lambda: box.house.log("cart"), "its start")
    box.client.call("signal", name="cart", signal=signal.SIGKILL, everyone=True)
    assert box.client.exited("cart")["signal"] == signal.SIGKILL
    assert cgroups.driver().processes(box.places.cgroup("cart")) == []


def test_runs_follow_each_other_quickly(box: Box) -> None:
    """Ten runs of one container in a row; nothing piles up in the keeper."""
    box.launch("true")
    box.client.exited("cart")
    before = len(os.listdir(f"/proc/{box.keeper}/fd"))
    begun = time.monotonic()
    for run in range(2, 12):
        box.launch("true", run=run)
        assert box.client.exited("cart")["run"] == run
    assert time.monotonic() - begun < 5
    until(lambda: len(os.listdir(f"/proc/{box.keeper}/fd")) <= before, "the end of the last starter")
