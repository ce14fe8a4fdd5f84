"""The store on a machine whose controllers are all in cgroup v2; run by `python -m tests.v2`, in there."""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from whole.stage import ROOT, Stage, idle, py, until

from orchestra.runtime import cgroups

STORE = str(ROOT / "examples/store/store.yml")
UNIFIED = "/sys/fs/cgroup"
EAT = "import time; eaten = []\nwhile True: eaten.append(bytearray(1 << 20)); time.sleep(0.001)"
LIMITED = {
    "mem_limit": "64m",
    "memswap_limit": "96m",
    "cpus": 0.5,
    "cpu_shares": 512,
    "cpuset": "1",
    "pids_limit": 50,
}


@pytest.fixture
def orchestra() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def test_all_controllers_are_in_v2() -> None:
    """Otherwise nothing here shows anything."""
    mounted = Path("/proc/mounts").read_text()
    assert f" {UNIFIED} cgroup2 " in mounted
    assert not re.search(r" cgroup rw", mounted)
    assert isinstance(cgroups.driver(), cgroups.V2)
    assert Path("/proc/1/comm").read_text() == "systemd\n"


def test_the_store_starts_survives_kills_and_goes(orchestra: Stage) -> None:
    """Healthy behind its port, kill -9 of a service or of all of orchestra is no end, down leaves nothing."""
    orchestra.names |= {"store", "accounts"}
    orchestra.networks |= {("store", "default"), ("accounts", "default")}
    orchestra.ok("up", "--wait", STORE, timeout=600)
    assert "<html" in fetch("http://127.0.0.1:8080/")
    before = orchestra.pid("store-orders-1")
    os.kill(before, 9)
    until(lambda: orchestra.rows(STORE)["store-orders-1"]["Restarts"] == 1, "orders is started again")
    until(lambda: orchestra.rows(STORE)["store-orders-1"]["Health"] == "healthy", "orders is healthy")
    assert orchestra.pid("store-orders-1") != before
    cart = orchestra.pid("store-cart-1")
    for kind in ("supervisor", "keeper"):
        os.kill(orchestra.process(f"orchestra-{kind}"), 9)
    assert orchestra.rows(STORE)["store-cart-1"]["State"] == "running"
    assert orchestra.pid("store-cart-1") == cart
    assert "<html" in fetch("http://127.0.0.1:8080/")
    orchestra.ok("down", "-v", STORE, timeout=300)
    until(lambda: not orchestra.left(), "the owner of what it used has gone as well")


def test_many_start_at_once(orchestra: Stage) -> None:
    """One starter makes several containers, whatever its kernel wants of the layers."""
    orchestra.up({f"s{number}": idle() for number in range(12)})
    assert {row["State"] for row in orchestra.rows().values()} == {"running"}
    assert len(orchestra.rows()) == 12


def test_limits_are_in_the_files_of_v2(orchestra: Stage) -> None:
    """Each limit that was asked for stands where the kernel reads it."""
    orchestra.up({"a": idle(**LIMITED, mem_reservation="32m")})
    folder = Path(UNIFIED, orchestra.stack().cgroup("t-a-1"))
    found = {
        name: (folder / name).read_text().strip()
        for name in (
            "memory.max",
            "memory.low",
            "memory.swap.max",
            "cpu.max",
            "cpu.weight",
            "cpuset.cpus",
            "pids.max",
        )
    }
    assert found == {
        "memory.max": str(64 << 20),
        "memory.low": str(32 << 20),
        "memory.swap.max": str(32 << 20),
        "cpu.max": "50000 100000",
        "cpu.weight": "20",
        "cpuset.cpus": "1",
        "pids.max": "50",
    }


def test_a_container_sees_its_own_cgroup_read_only(orchestra: Stage) -> None:
    """Its limits can be read inside and not be changed."""
    orchestra.up({"a": idle(mem_limit="64m")})
    assert orchestra.inside("a", "cat /sys/fs/cgroup/memory.max; cat /proc/self/cgroup") == f"{64 << 20}\n0::/"
    assert orchestra.inside("a", "echo max 2>&1 > /sys/fs/cgroup/memory.max || echo refused").endswith("refused")


def test_a_device_is_not_opened_by_force(orchestra: Stage) -> None:
    """The device filter, a BPF program in v2, lets the six nodes through and nothing else."""
    orchestra.up({"a": idle(privileged=True)})
    assert orchestra.inside("a", "head -c1 /dev/zero | wc -c; head -c1 /dev/urandom | wc -c") == "1\n1"
    pid = orchestra.pid("t-a-1")
    child = os.fork()
    if child == 0:
        try:
            cgroups.driver().attach(orchestra.stack().cgroup("t-a-1"), os.getpid())
            os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
            os._exit(0)
        except PermissionError:
            os._exit(13)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 13
    assert orchestra.pid("t-a-1") == pid


def test_out_of_memory_is_told_as_such(orchestra: Stage) -> None:
    """memory.events of v2 is read."""
    orchestra.up({"eater": py(EAT, mem_limit="48m", memswap_limit="48m"), "other": idle()})
    row = until(lambda: (row := orchestra.row("t-eater-1"))["State"] == "exited" and row, "the eater has ended")
    assert (row["ExitCode"], row["LastExit"]) == (137, "out of memory")


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())
