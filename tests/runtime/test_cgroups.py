"""Which driver, what it writes, and the unified hierarchy for real."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.runtime import cgroups, device_filter, syscalls
from orchestra.runtime.failure import StartError
from orchestra.wire.spec import Resources

from .conftest import in_child, reap, until, words

V1 = (
    "32 31 0:29 / {0}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / {0}/memory rw - cgroup cgroup rw,memory\n"
)
V2 = "41 31 0:38 / {0} rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_the_driver_is_what_is_mounted() -> None:
    """v2 alone, v1 with the unified hierarchy beside it, v1 alone; a hierarchy may have several controllers."""
    alone = cgroups.detect(V2.format("/sys/fs/cgroup"))
    assert (type(alone), alone.directories("a/b")) == (cgroups.V2, ["/sys/fs/cgroup/a/b"])
    hybrid = cgroups.detect(V1.format("/c") + V2.format("/c/unified"))
    assert isinstance(hybrid, cgroups.V1)
    assert sorted(hybrid.directories("a")) == ["/c/cpu,cpuacct/a", "/c/memory/a", "/c/unified/a"]
    assert hybrid.shown() == {"cpu,cpuacct": "cpu,cpuacct", "memory": "memory", "unified": ""}
    assert cgroups.detect(V1.format("/c")).unified is None


def test_no_hierarchy_is_an_error() -> None:
    """In words, not later in a path."""
    with pytest.raises(OSError, match="no cgroup hierarchy"):
        cgroups.detect("22 27 0:21 / /proc rw - proc proc rw\n")


@pytest.mark.parametrize("path", ["", "..", "a/../../b", "/a", "a//b", "a/"])
def test_a_path_stays_below(path: str) -> None:
    """cgroup_parent and names cannot lead elsewhere."""
    with pytest.raises(OSError, match="not a cgroup path"):
        cgroups.detect(V2.format("/c")).directories(path)


def test_limits_in_v2_words(tmp_path: Path) -> None:
    """memory, cpu, cpuset, pids; controllers are switched on from the root down."""
    driver = cgroups.V2(str(tmp_path))
    for folder in (tmp_path, tmp_path / "o", tmp_path / "o" / "c"):
        folder.mkdir(exist_ok=True)
        for name in words("cgroup.subtree_control memory.max memory.low memory.swap.max cpu.max cpu.weight pids.max"):
            (folder / name).touch()
    driver.limit(
        "o/c",
        {
            "memory": {"limit": 1000, "reservation": 500, "swap": 1500},
            "cpu": {"quota": 50000, "shares": 1024},
            "pids": {"limit": 0},
        },
    )
    found = {p.name: p.read_text() for p in (tmp_path / "o" / "c").iterdir() if p.stat().st_size}
    assert found == {
        "memory.max": "1000",
        "memory.low": "500",
        "memory.swap.max": "500",
        "cpu.max": "50000 100000",
        "cpu.weight": "39",
        "pids.max": "max",
    }


@given(st.integers(0, 10**7))
def test_shares_become_weights(shares: int) -> None:
    """From 2..262144 to 1..10000."""
    assert 1 <= cgroups.weight_of_shares(shares) <= 10000


def test_the_ends_of_shares() -> None:
    """The least and the most stay the least and the most."""
    assert (cgroups.weight_of_shares(2), cgroups.weight_of_shares(262144)) == (1, 10000)


@pytest.fixture
def unified() -> Iterator[tuple[cgroups.V2, str]]:
    driver = cgroups.driver()
    if os.geteuid() != 0 or driver.unified is None:
        pytest.skip("needs root and the unified hierarchy")
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    v2, path = cgroups.V2(driver.unified), f"orchestra-test-{os.getpid()}/unified"
    v2.create(path, {})
    yield v2, path
    v2.kill(path)
    v2.remove(path)
    v2.remove(os.path.dirname(path))


@pytest.mark.kernel
def test_killing_reaches_every_process(unified: tuple[cgroups.V2, str]) -> None:
    """Also those of a double fork; the empty cgroup can be removed, and seen to be empty before."""
    driver, path = unified
    leader = os.fork()
    if leader == 0:
        driver.attach(path, os.getpid())
        for _ in range(3):
            os.fork()
        while True:
            os.read(os.pipe()[0], 1)
    until(lambda: len(driver.processes(path)) == 8, "all are there")
    driver.freeze(path)
    driver.thaw(path)
    driver.kill(path)
    ended: dict[int, int] = {}
    until(lambda: reap(ended) or leader in ended, "the leader ended")
    until(lambda: reap(ended) or len(ended) == 8, "all are gone")
    assert driver.processes(path) == []
    assert driver.list_below(os.path.dirname(path)) == ["unified"]


@pytest.mark.kernel
def test_the_device_program_lets_six_nodes_and_terminals_through(unified: tuple[cgroups.V2, str]) -> None:
    """v2 has no devices controller: a program answers, which `create` has attached."""
    driver, path = unified

    def opened() -> list[str]:
        driver.attach(path, os.getpid())
        names = []
        for name in ("null", "zero", "full", "random", "urandom", "ptmx", "kmsg"):
            try:
                os.close(os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK))
                names.append(name)
            except PermissionError:
                continue
        return names

    assert in_child(opened) == ["null", "zero", "full", "random", "urandom", "ptmx"]
    assert len(device_filter.program()) % 8 == 0


@pytest.mark.kernel
def test_removing_what_is_not_there_is_fine(unified: tuple[cgroups.V2, str]) -> None:
    """So is removing a tree."""
    driver, path = unified
    driver.create(f"{path}/a", {})
    driver.create(f"{path}/a/b", {})
    driver.remove(f"{path}/a")
    driver.remove(f"{path}/a")
    assert not driver.exists(f"{path}/a")
    driver.kill(f"{path}/gone")


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file() and path.stat().st_size}


def v2_below(tmp_path: Path, names: str) -> tuple[cgroups.V2, Path]:
    """A driver over plain files, and the folder of the cgroup o/c."""
    here = tmp_path / "o" / "c"
    here.mkdir(parents=True)
    for name in words(names):
        (here / name).touch()
    return cgroups.V2(str(tmp_path)), here


DISK = {"major": 8, "minor": 0}


def test_disks_in_v2_words(tmp_path: Path) -> None:
    """Weights on the scale of each scheduler; rates of one device in one line."""
    driver, here = v2_below(tmp_path, "io.max io.weight io.bfq.weight pids.max")
    driver.limit(
        "o/c",
        {
            "pids": {"limit": 5},
            "blockIO": {
                "weight": 500,
                "throttleReadBpsDevice": [{**DISK, "rate": 1048576}],
                "throttleWriteIOPSDevice": [{**DISK, "rate": 0}],
            },
        },
    )
    assert files_of(here) == {
        "pids.max": "5",
        "io.max": "8:0 rbps=1048576 wiops=max",
        "io.weight": "default 4950",
        "io.bfq.weight": "default 500",
    }


def test_lifting_limits_in_v2_words(tmp_path: Path) -> None:
    """What `update` says where there is no limit any more."""
    driver, here = v2_below(
        tmp_path, "memory.max memory.low memory.swap.max cpu.max cpu.weight cpuset.cpus pids.max memory.current"
    )
    driver.limit(
        "o/c",
        {
            "memory": {"limit": -1, "reservation": -1, "swap": -1},
            "cpu": {"quota": -1, "period": 100000, "shares": 0, "cpus": ""},
            "pids": {"limit": -1},
        },
    )
    assert files_of(here) == {
        "memory.max": "max",
        "memory.low": "0",
        "memory.swap.max": "max",
        "cpu.max": "max 100000",
        "cpu.weight": "100",
        "pids.max": "max",
    }


def test_v2_does_not_kill_to_hold_a_limit(tmp_path: Path) -> None:
    """memory.max below what is in use kills: it is refused, as v1 refuses it."""
    driver, here = v2_below(tmp_path, "memory.max memory.reclaim")
    (here / "memory.current").write_text("5000\n")
    with pytest.raises(StartError, match="memory cannot be limited to 1000 bytes: more is in use"):
        driver.limit("o/c", {"memory": {"limit": 1000}})
    assert files_of(here) == {"memory.current": "5000\n", "memory.reclaim": "4000"}


def test_what_v2_holds_is_read_back(tmp_path: Path) -> None:
    """In OCI's words: swap counts memory as well, -1 is without limit; what has no file is not there."""
    driver, here = v2_below(tmp_path, "io.max")
    texts = {
        "memory.max": "1000",
        "memory.low": "0",
        "memory.swap.max": "500",
        "cpu.weight": "39",
        "cpu.max": "50000 100000",
        "cpuset.cpus.effective": "0-3",
        "cpuset.cpus": "",
        "pids.max": "max",
        "io.bfq.weight": "default 200\n8:0 300",
    }
    for name, text in texts.items():
        (here / name).write_text(f"{text}\n")
    (here / "io.max").write_text("8:0 rbps=1048576 wbps=max riops=max wiops=max\n")
    held = driver.held("o/c")
    assert held["memory"] == {"limit": 1000, "reservation": 0, "swap": 1500}
    assert held["cpu"]["quota"] == 50000
    assert cgroups.weight_of_shares(held["cpu"]["shares"]) == 39
    assert held["cpu"]["cpus"] == "0-3"
    assert held["pids"] == {"limit": -1}
    assert held["blockIO"]["weight"] == 200
    asked: Resources = {"memory": {"limit": 1, "swap": 2}, "cpu": {"shares": 2}, "blockIO": {"weight": 10}}
    assert cgroups.lacking(asked, held) == []
    (here / "memory.swap.max").unlink()
    (here / "io.bfq.weight").unlink()
    assert cgroups.lacking(asked, driver.held("o/c")) == ["memory.swap", "blockIO.weight"]


def test_a_missing_controller_is_told_in_words(tmp_path: Path) -> None:
    """On v1 by its name, on v2 by the file that is not there."""
    hybrid = cgroups.V1({"cpu": str(tmp_path)}, None)
    (tmp_path / "a").mkdir()
    with pytest.raises(StartError, match="this machine has no cgroup controller memory"):
        hybrid.limit("a", {"memory": {"limit": 1 << 20}})
    with pytest.raises(StartError, match=r"the kernel has no memory.max"):
        cgroups.V2(str(tmp_path)).limit("a", {"memory": {"limit": 1 << 20}})


def test_v1_lifts_and_lowers_memory_in_the_order_that_the_kernel_takes(tmp_path: Path) -> None:
    """The limit of memory and swap together is never below that of memory."""
    driver, here = cgroups.V1({"memory": str(tmp_path)}, None), tmp_path / "a"
    here.mkdir()
    written: list[str] = []
    for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        (here / name).write_text("1000")

    def noted(path: str, text: str) -> None:
        written.append(f"{os.path.basename(path)} {text}")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cgroups, "write", noted)
        driver.limit("a", {"memory": {"limit": 2000, "swap": 4000}})
        driver.limit("a", {"memory": {"limit": 500, "swap": 800}})
    assert written == [
        "memory.memsw.limit_in_bytes 4000",
        "memory.limit_in_bytes 2000",
        "memory.limit_in_bytes 500",
        "memory.memsw.limit_in_bytes 800",
    ]


def test_v1_alone_freezes_by_its_own_hierarchy(tmp_path: Path) -> None:
    """Where no unified hierarchy is mounted."""
    driver, here = cgroups.V1({"freezer": str(tmp_path)}, None), tmp_path / "a"
    here.mkdir()
    (here / "freezer.state").write_text("THAWED\n")
    driver.freeze("a")
    assert driver.frozen("a")
    driver.thaw("a")
    assert (here / "freezer.state").read_text().startswith("THAWED")
