"""Which driver, what it writes, and the unified hierarchy for real."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.runtime import cgroups, device_filter, syscalls

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


def test_stats_in_v2_words(tmp_path: Path) -> None:
    """Memory without what the kernel can take back, nanoseconds, and None where nothing is counted."""
    (tmp_path / "c").mkdir()
    texts = {
        "memory.current": "1000\n",
        "memory.stat": "anon 5\ninactive_file 300\n",
        "memory.max": "max\n",
        "cpu.stat": "usage_usec 7\nuser_usec 3\n",
        "memory.events": "low 0\noom 2\noom_kill 3\n",
    }
    for name, text in texts.items():
        (tmp_path / "c" / name).write_text(text)
    stats = cgroups.V2(str(tmp_path)).stats("c")
    assert (stats.memory, stats.memory_limit, stats.cpu_ns, stats.pids, stats.oom_kills) == (700, None, 7000, None, 3)


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
    assert driver.populated(path)
    driver.freeze(path)
    driver.thaw(path)
    driver.kill(path)
    ended: dict[int, int] = {}
    until(lambda: reap(ended) or leader in ended, "the leader ended")
    until(lambda: reap(ended) or len(ended) == 8, "all are gone")
    assert not driver.populated(path)
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
