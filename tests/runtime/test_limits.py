"""Limits hold inside, and only there."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from orchestra.plan import defaults
from orchestra.runtime import capabilities, cgroups, start, syscalls
from orchestra.runtime.usage import usage

from .conftest import Machine, in_child, until

pytestmark = pytest.mark.kernel


def test_the_memory_limit_kills_inside_only(machine: Machine) -> None:
    """Who takes more than the limit is killed, the kill is counted, and a neighbour lives on."""
    neighbour = machine.sleeper(name="b")
    limits = {"memory": {"limit": 32 << 20}, "pids": {"limit": 20}}
    ended = machine.python("x = bytearray(200 << 20); print('survived')", resources=limits)
    assert "survived" not in ended.out
    assert ended.code == -9
    assert cgroups.driver().oom_kills(f"{machine.scope}/a") == 1
    assert cgroups.driver().oom_kills(f"{machine.scope}/b") == 0
    assert neighbour.exec("echo", "here").out == "here\n"


def test_the_pids_limit_holds_a_fork_bomb(machine: Machine) -> None:
    """A fork bomb reaches the limit and not the machine; killing the container ends every one of its processes."""
    bomb = "import os, signal\nwhile True:\n try:\n  os.fork()\n except OSError:\n  print(flush=True); signal.pause()"
    running = machine.start(machine.spec("python3", "-c", bomb, resources={"pids": {"limit": 30}}))
    driver, path = cgroups.driver(), f"{machine.scope}/a"
    until(lambda: (use := usage(driver, path)) and use.pids == 30, "the bomb went off")
    assert len(driver.processes(path)) == 30
    driver.kill(path)
    assert running.wait() == -9
    until(lambda: not driver.processes(path), "all of them are gone")
    assert driver.processes(path) == []


def test_the_processor_limit_is_set(machine: Machine) -> None:
    """Half a processor is a quota of half a period; the container reads it too."""
    running = machine.sleeper(resources={"cpu": {"quota": 50000, "shares": 512}})
    shown = running.exec(
        "sh", "-c", "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/cpu.max"
    )
    assert shown.out.split()[0] == "50000"


def test_usage_tells_what_is_used(machine: Machine) -> None:
    """Memory, its limit, processor time and processes, as the container's own processes use them."""
    running = machine.start(
        machine.spec(
            "python3", "-c", "x = b'x' * (40 << 20); print('ready', flush=True); import time; time.sleep(1000)"
        )
    )
    assert running.line() == "ready"
    use = usage(cgroups.driver(), f"{machine.scope}/a")
    assert use is not None
    assert use.memory is not None
    assert 40 << 20 < (use.working_set or 0) <= use.memory < 100 << 20
    assert use.memory_limit == 256 << 20
    assert (use.cpu or 0) > 0.001
    assert (use.pids, use.pids_limit) == (1, 200)


def test_rlimits_are_as_declared(machine: Machine) -> None:
    """Few descriptors, no core dumps; the hard limit at most the host's."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    ended = machine.python(
        "from resource import *\nprint(*getrlimit(RLIMIT_NOFILE), *getrlimit(RLIMIT_CORE), *getrlimit(RLIMIT_NPROC))",
        rlimits=[
            {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 524288},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            {"type": "RLIMIT_NPROC", "soft": 50, "hard": 60},
        ],
    )
    assert ended.out.split() == ["1024", str(min(524288, allowed)), "0", "0", "50", "60"]


def test_a_crash_leaves_no_core(machine: Machine) -> None:
    """By the limit of 1, which keeps a dump from a pipe of the host's as well; a service may ask for cores."""
    crash = "exec 2> /dev/null; cd /tmp; sleep 100 & kill -SEGV $!; wait $!; ls -A"
    assert machine.python("from resource import *\nprint(getrlimit(RLIMIT_CORE)[0])").out.split()[0] == "1"
    assert machine.shell(crash).out == ""
    if Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "@", "/")):
        pytest.skip("cores of this machine go elsewhere")
    asked = machine.shell(crash, rlimits=[{"type": "RLIMIT_CORE", "soft": -1, "hard": -1}])
    assert asked.out.startswith("core")


@pytest.mark.alone
def test_a_crash_starts_no_program_of_the_host(machine: Machine, tmp_path: Path) -> None:
    """A pipe in core_pattern runs as the host's root, whatever the limit is, but for 1 (core(5), fs/coredump.c)."""
    crash = "exec 2> /dev/null; sleep 100 & kill -SEGV $!; wait $!"
    told, helper = tmp_path / "told", tmp_path / "helper"
    helper.write_text(f"#!/bin/sh\ncat > /dev/null; echo limit $1 >> {told}\n")
    helper.chmod(0o755)
    pattern = Path("/proc/sys/kernel/core_pattern")
    before = pattern.read_text()
    pattern.write_text(f"|{helper} %c")
    try:
        machine.shell(crash)
        machine.shell(crash, rlimits=[{"type": "RLIMIT_CORE", "soft": -1, "hard": -1}])
        until(lambda: told.exists() and told.read_text(), "the program that is told of a core, for who asks for one")
        assert told.read_text() == f"limit {(1 << 64) - 1}\n"
    finally:
        pattern.write_text(before)


def test_rlimits_go_as_high_as_the_host_lets_them() -> None:
    """Of every kind: more than the hard limit of orchestra itself is not refused, where it may not be raised."""
    asked: Any = {
        "rlimits": [
            {"type": "RLIMIT_MEMLOCK", "soft": -1, "hard": -1},
            {"type": "RLIMIT_NPROC", "soft": 50, "hard": 1 << 14},
            {"type": "RLIMIT_FSIZE", "soft": 1, "hard": 2},
        ]
    }
    kinds = (resource.RLIMIT_MEMLOCK, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE)

    def limited() -> list[tuple[int, int]]:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 16, 1 << 20))
        resource.setrlimit(resource.RLIMIT_NPROC, (1 << 12, 1 << 13))
        give_up_resource()
        pid = os.fork()
        if pid == 0:
            while True:
                signal.pause()
        try:
            start.set_rlimits(pid, asked)
            return [resource.prlimit(pid, kind) for kind in kinds]
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    assert in_child(limited) == [(1 << 20, 1 << 20), (50, 1 << 13), (1, 2)]


def give_up_resource() -> None:
    """Give up CAP_SYS_RESOURCE, as what runs in a container often has to."""
    kept = capabilities.mask(tuple(name for name in defaults.ALL_CAPABILITIES if name != "CAP_SYS_RESOURCE"))
    with open("/proc/self/status") as status:
        permitted = next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm"))
    syscalls.capset(permitted & kept, permitted & kept, 0)


def test_oom_score_is_set(machine: Machine) -> None:
    """The kernel's killer takes a container before the host's own programs."""
    assert machine.run("cat", "/proc/self/oom_score_adj", oomScoreAdj=100).out == "100\n"


def test_only_the_six_devices_open(machine: Machine) -> None:
    """The device filter holds for the host's own root, too: a second line behind the user namespace."""
    machine.sleeper()
    path = f"{machine.scope}/a"

    def try_devices() -> list[str]:
        cgroups.driver().attach(path, os.getpid())
        opened = []
        for name in ("null", "zero", "full", "random", "urandom", "kmsg"):
            try:
                os.close(os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK))
                opened.append(name)
            except PermissionError:
                continue
        return opened

    assert os.path.exists("/dev/kmsg")
    assert in_child(try_devices) == ["null", "zero", "full", "random", "urandom"]
