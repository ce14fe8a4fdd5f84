"""Other limits for what runs: at once, without a restart, and for as long as the file says nothing new."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from .stage import Stage, cgroup_roots, idle, py, sh, until

pytestmark = pytest.mark.kernel
MEMORY = ("memory.limit_in_bytes", "memory.max")
PIDS = ("pids.max",)
QUOTA = ("cpu.cfs_quota_us", "cpu.max")
CPUSET = ("cpuset.cpus",)
SPIN = "import itertools\nfor _ in itertools.count(): pass"


def limit(stage: Stage, names: tuple[str, ...], container: str = "t-a-1") -> str:
    """What the first of these files of its cgroup says; v2 says nothing in cpuset.cpus where nothing is limited."""
    for root in cgroup_roots():
        for name in names:
            try:
                with open(f"{root}/{stage.stack().cgroup(container)}/{name}") as file:
                    return next(iter(file.read().split()), "")
            except FileNotFoundError:
                continue
    raise AssertionError(f"no hierarchy has any of {names}")


def test_limits_change_without_a_restart(orchestra: Stage) -> None:
    """Each is in force when the command returns; the process is the same."""
    orchestra.up({"a": idle(mem_limit="64m"), "b": idle(mem_limit="64m")})
    pid = orchestra.pid("t-a-1")
    said = orchestra.run(
        *("update", "--memory", "128m", "--cpus", "0.5", "--pids-limit", "77", "--cpuset-cpus", "1", "a")
    )
    assert said.returncode == 0, said.stderr
    assert "t-a-1  Updated" in said.stderr
    assert [limit(orchestra, each) for each in (MEMORY, QUOTA, PIDS, CPUSET)] == [str(128 << 20), "50000", "77", "1"]
    assert limit(orchestra, MEMORY, "t-b-1") == str(64 << 20)
    assert orchestra.pid("t-a-1") == pid
    assert orchestra.inside("a", "nproc") == "1"
    orchestra.ok("update", "--cpuset-cpus", "none", "--cpus", "none", "a")
    assert limit(orchestra, CPUSET) == limit(orchestra, CPUSET, "t-b-1")
    assert limit(orchestra, QUOTA) in ("-1", "max")
    assert limit(orchestra, MEMORY) == str(128 << 20)


def test_an_update_lasts_until_the_file_says_something_new(orchestra: Stage) -> None:
    """Through a restart, a crash, a new supervisor, an unchanged `up` and another replica; a changed file wins."""
    services = {"a": idle(mem_limit="64m", restart="always")}
    orchestra.up(services)
    orchestra.ok("update", "--memory", "96m", "a")
    orchestra.ok("restart", "a")
    assert limit(orchestra, MEMORY) == str(96 << 20)
    os.kill(orchestra.pid("t-a-1"), signal.SIGKILL)
    until(lambda: orchestra.row("t-a-1")["Restarts"] == 1, "it is back")
    assert limit(orchestra, MEMORY) == str(96 << 20)
    pid = orchestra.pid("t-a-1")
    orchestra.up(services, "--scale", "a=2")
    assert orchestra.pid("t-a-1") == pid
    assert limit(orchestra, MEMORY, "t-a-2") == str(96 << 20)
    orchestra.up({"a": idle(mem_limit="64m", restart="always", environment={"NEW": "1"})})
    assert limit(orchestra, MEMORY) == str(64 << 20)
    orchestra.ok("update", "--memory", "96m", "a")
    orchestra.up({"a": idle(mem_limit="64m", restart="always", environment={"NEW": "1"})}, "--force-recreate")
    assert limit(orchestra, MEMORY) == str(64 << 20)


def test_an_update_that_cannot_be_changes_nothing(orchestra: Stage) -> None:
    """What the kernel refuses is said in words, and everything is as before; so is what contradicts itself."""
    hungry = py("eaten = bytearray(80 << 20); print('full', flush=True)\nimport time; time.sleep(1000)")
    orchestra.up({"a": {**hungry, "mem_limit": "128m", "memswap_limit": "128m", "stop_signal": "SIGKILL"}})
    until(lambda: "full" in orchestra.logs(), "it has eaten")
    pid = orchestra.pid("t-a-1")
    said = orchestra.fails("update", "--memory", "16m", "--memory-swap", "16m", "--pids-limit", "5", "a")
    assert "memory cannot be limited to 16777216 bytes: more is in use" in said
    assert limit(orchestra, MEMORY) == str(128 << 20)
    assert limit(orchestra, PIDS) == "2048"
    said = orchestra.fails("update", "--cpuset-cpus", "900", "a")
    assert "cpuset 900 cannot be set: this machine has processors" in said
    assert "is below mem_limit" in orchestra.fails("update", "--memory-swap", "64m", "a")
    assert "not a size" in orchestra.fails("update", "--memory", "much", "a")
    assert "no such service" in orchestra.fails("update", "--memory", "64m", "b")
    assert orchestra.pid("t-a-1") == pid
    assert orchestra.row("t-a-1")["State"] == "running"


def test_another_restart_policy(orchestra: Stage) -> None:
    """`--restart` counts from the next end on."""
    orchestra.up({"a": idle()})
    orchestra.ok("update", "--restart", "always", "a")
    os.kill(orchestra.pid("t-a-1"), signal.SIGKILL)
    until(lambda: orchestra.row("t-a-1")["Restarts"] == 1, "it was started again")


def test_bandwidth_of_a_service(orchestra: Stage) -> None:
    """The rates of the file are where its links meet; `update` changes them, care brings them back."""
    network = {"ingress": "10mbit", "egress": "5mbit"}
    orchestra.up({"a": idle(deploy={"resources": {"limits": {"network": network}}}), "b": idle()})
    assert rates(orchestra) == ["10Mbit", "5Mbit"]
    orchestra.ok("update", "--network-ingress", "20mbit", "--network-egress", "none", "a")
    assert rates(orchestra) == ["20Mbit"]
    orchestra.ok("restart", "a")
    assert rates(orchestra) == ["20Mbit"]
    tc(orchestra.stack().net_pin("t-a-1"), "del", "dev", "bucket-in", "root")
    assert rates(orchestra) == []
    until(lambda: rates(orchestra) == ["20Mbit"], "somebody cared")


def test_net_admin_does_not_lift_the_bandwidth_of_a_service(orchestra: Stage) -> None:
    """Whatever it does with its own links: what holds it is on the other side as well, and goes with the container.

    What it lifted at its own end comes back.
    """
    limits = {"resources": {"limits": {"network": {"egress": "5mbit"}}}}
    orchestra.up({"a": idle(deploy=limits, cap_add=["NET_ADMIN"]), "b": idle()})
    assert rates(orchestra) == ["5Mbit", "5Mbit"]
    orchestra.ok("exec", "-T", "a", "ip", "link", "del", "bucket-out")
    assert rates(orchestra)[0] == "5Mbit"
    until(lambda: rates(orchestra) == ["5Mbit", "5Mbit"], "somebody cared")
    orchestra.ok("update", "--network-egress", "8mbit", "a")
    assert rates(orchestra) == ["8Mbit", "8Mbit"]
    orchestra.ok("stop", "a")
    orchestra.ok("rm", "-f", "a")
    assert "tbf" not in tc(orchestra.stack().router_pin("default"), "show")


def test_a_paused_service_does_nothing_until_it_goes_on(orchestra: Stage) -> None:
    """Its processor time stands still; nobody may enter it; it stops like any other."""
    spinning = {**py(SPIN), "stop_signal": "SIGKILL", "healthcheck": {"test": "true", "interval": "200ms"}}
    orchestra.up({"a": spinning, "b": idle()}, "--wait")
    pid = orchestra.pid("t-a-1")
    assert "t-a-1  Paused" in orchestra.run("pause", "a").stderr
    before = ticks(pid)
    row = orchestra.row("t-a-1")
    assert (row["State"], row["Status"].endswith("(Paused)")) == ("paused", True)
    assert row["Why"] == "paused by hand"
    assert "paused by hand" in orchestra.ok("why", "a")
    assert "is paused" in orchestra.fails("exec", "a", "true")
    first = orchestra.supervisor()
    os.kill(first, signal.SIGKILL)
    until(lambda: orchestra.supervisor() not in (0, first), "another supervisor has taken over")
    until(lambda: orchestra.row("t-a-1")["State"] == "paused", "it knows who is paused")
    assert ticks(pid) == before
    orchestra.ok("unpause", "a")
    until(lambda: ticks(pid) > before, "it goes on")
    row = until(lambda: (row := orchestra.row("t-a-1"))["Health"] == "healthy" and row, "it is healthy", 10)
    assert row["State"] == "running"
    assert orchestra.pid("t-a-1") == pid


def test_a_paused_service_is_stopped_and_restarted(orchestra: Stage) -> None:
    """It is thawed for that, so that it can end by itself."""
    orchestra.up({"a": sh("trap 'echo bye; exit 3' TERM; while :; do sleep 1000 & wait $!; done"), "b": idle()})
    orchestra.ok("pause")
    orchestra.ok("stop", "-t", "20", "a")
    assert orchestra.row("t-a-1")["ExitCode"] == 3
    assert "bye" in orchestra.logs("a")
    pid = orchestra.pid("t-b-1")
    orchestra.ok("restart", "b")
    assert orchestra.pid("t-b-1") != pid
    assert orchestra.row("t-b-1")["State"] == "running"
    orchestra.ok("pause", "b")


def ticks(pid: int) -> int:
    """User and system time (proc_pid_stat(5))."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def tc(pin: str, *words: str) -> str:
    command = ["nsenter", f"--net={pin}", "tc", "qdisc", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def rates(stage: Stage) -> list[str]:
    """Of the buckets at the router's end of a link, then in the container."""
    places = stage.stack()
    ends = (places.router_pin("default"), places.net_pin("t-a-1"))
    lines = [line for pin in ends for line in tc(pin, "show").splitlines()]
    return [line.split(" rate ")[1].split()[0] for line in lines if " tbf " in f" {line} "]
