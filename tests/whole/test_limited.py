"""Limits hold inside, and only there."""

from __future__ import annotations

import glob
import json
import os
import re
import resource
import time
from pathlib import Path
from typing import Any, cast

import pytest

from orchestra.client import Connection
from orchestra.plan.exposition import exposition

from .stage import Stage, cgroup_roots, idle, py, sh, until

pytestmark = pytest.mark.kernel
EAT = "import time; eaten = []\nwhile True: eaten.append(bytearray(1 << 20)); time.sleep(0.001)"
FORK = ":(){ :|:& };:"
SPIN = """
import time
end, before = time.monotonic() + 1.5, time.process_time()
while time.monotonic() < end:
    pass
print(time.process_time() - before)
"""


def test_the_memory_limit_kills_inside_and_only_there(orchestra: Stage) -> None:
    """Who eats too much is ended and called out of memory; its neighbour does not notice."""
    orchestra.up({"eater": py(EAT, mem_limit="32m", memswap_limit="32m"), "other": idle(mem_limit="32m")})
    pid = orchestra.pid("t-other-1")
    row = until(lambda: (row := orchestra.row("t-eater-1"))["State"] == "exited" and row, "the eater has ended")
    assert row["ExitCode"] == 137
    assert row["LastExit"] == "out of memory"
    assert "out of memory" in orchestra.ok("why", "eater")
    assert orchestra.pid("t-other-1") == pid


def test_running_out_of_memory_is_an_event(orchestra: Stage) -> None:
    """`events` has docker's word for it."""
    orchestra.up({"eater": py(EAT, deploy={"resources": {"limits": {"memory": "32m"}}}, memswap_limit="32m")})
    until(lambda: " oom " in orchestra.ok("events", "--since", "1m", "--until", "0s") or None, "it is told", 10)


def test_out_of_memory_is_told_of_children_too(orchestra: Stage) -> None:
    """A shell whose command was killed is out of memory; one that goes on has an event of it all the same."""
    small = {"mem_limit": "32m", "memswap_limit": "32m"}
    eat = f"python3 -c '{EAT}'".replace("\n", "\n")
    orchestra.up({"a": sh(f"{eat}; exit $?", **small), "b": sh(f"{eat}; sleep 1000", **small)})
    until(lambda: orchestra.row("t-a-1")["LastExit"] == "out of memory", "the first has ended")
    said = until(
        lambda: (s := orchestra.ok("events", "--since", "1m", "--until", "0s", "b")).count(" oom ") and s, "it"
    )
    assert "a process of t-b-1 was killed" in said
    assert orchestra.row("t-b-1")["State"] == "running"


def test_want_of_memory_is_told_when_it_is_over(orchestra: Stage) -> None:
    """`why`, `ps` and the counter know of it while the rest goes on, and when others have been started since."""
    eat = f"python3 -c '{EAT}'"
    once = f"test -e /var/second && exec sleep 1000; touch /var/second; {eat}; exit 3"
    small = {"mem_limit": "32m", "memswap_limit": "32m"}
    orchestra.up({"a": sh(once, restart="always", **small), "b": sh(f"{eat}; sleep 1000", **small), "c": idle()})
    until(lambda: orchestra.row("t-a-1")["Restarts"] == 1, "the one is started again")
    assert orchestra.row("t-a-1")["LastExit"] == "exit code 3"
    assert "a process of t-a-1 was killed" in orchestra.ok("events", "--since", "1m", "--until", "0s", "a")
    until(lambda: "out of memory: a process was killed at" in orchestra.ok("why", "b"), "the other is told of")
    assert "out of memory: a process was killed at" in orchestra.ok("why", "a")
    assert "memory" not in orchestra.ok("why", "c")
    os.kill(orchestra.supervisor(), 9)
    orchestra.ok("restart", "b")
    assert "out of memory: " in orchestra.ok("why", "b")
    with Connection(orchestra.stack()) as connection:
        status, used = connection.call({"do": "status"}), connection.call({"do": "usage"})
    page = exposition([(cast("Any", status), used["usage"])], "1")
    counts = dict(re.findall(r'oom_kills_total\{.*container="t-(.)-1".*\} (\d+)', page))
    assert counts.keys() == {"a", "b", "c"}
    assert counts["a"] == "1"
    assert int(counts["b"]) >= 1
    assert counts["c"] == "0"


def test_swap_and_reservation_are_what_the_kernel_holds(orchestra: Stage) -> None:
    """memswap_limit counts memory and swap together; without it there is as much swap as memory."""
    orchestra.up(
        {
            "a": idle(mem_limit="64m", memswap_limit="96m", mem_reservation="32m"),
            "b": idle(mem_limit="64m"),
            "c": idle(mem_limit="64m", memswap_limit=-1),
        }
    )
    held = {name: _held(orchestra, name)["memory"] for name in ("a", "b", "c")}
    assert held["a"]["reservation"] == 32 << 20
    if "swap" in held["a"]:  # the kernel counts swap
        assert [held[name]["swap"] for name in ("a", "b", "c")] == [96 << 20, 128 << 20, -1]


def _held(stage: Stage, service: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stage.ok("inspect", "--format", "{{json .Limits.Kernel}}", service))
    return found


def test_a_later_kill_is_not_taken_for_want_of_memory(orchestra: Stage) -> None:
    """What killed one run is not said of the next."""
    script = """
import os
if not os.path.exists("/var/second"):
    open("/var/second", "w").close()
    eaten = []
    while True: eaten.append(bytearray(1 << 20))
import time
time.sleep(1000)
"""
    orchestra.up({"a": py(script, mem_limit="32m", memswap_limit="32m", restart="always", stop_signal="SIGKILL")})
    until(lambda: orchestra.row("t-a-1")["LastExit"] == "out of memory", "the first run has ended")
    until(lambda: orchestra.row("t-a-1")["State"] == "running", "the second one runs")
    os.kill(orchestra.pid("t-a-1"), 9)
    until(lambda: orchestra.row("t-a-1")["Restarts"] == 2, "the third one runs")
    assert orchestra.row("t-a-1")["LastExit"] == "killed by SIGKILL"


def test_the_memory_of_a_service_within_its_limit_is_left_alone(orchestra: Stage) -> None:
    """Half of the limit can be used."""
    orchestra.up({"a": idle(mem_limit="64m")})
    assert orchestra.python("a", "print(len(bytearray(32 << 20)))") == str(32 << 20)


def test_the_pids_limit_holds_a_fork_bomb(orchestra: Stage) -> None:
    """The others go on: they fork, and their commands are answered."""
    orchestra.up({"bomb": {**sh("true"), "command": ["bash", "-c", FORK], "pids_limit": 60}, "other": idle()})
    until(lambda: orchestra.row("t-bomb-1")["Run"] >= 1, "it has started")
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert len(orchestra.pids("t-bomb-1")) <= 60
        assert orchestra.inside("other", "echo $(echo $(echo well))") == "well"
    orchestra.ok("down", "-t", "0")


def test_there_is_a_limit_of_processes_that_nobody_asked_for(orchestra: Stage) -> None:
    """2048 by default."""
    orchestra.up({"a": idle(), "b": idle(pids_limit=77)})
    found = {name: _most_processes(orchestra, name) for name in ("t-a-1", "t-b-1")}
    assert found == {"t-a-1": "2048", "t-b-1": "77"}


def _most_processes(stage: Stage, name: str) -> str:
    for root in cgroup_roots():
        try:
            with open(f"{root}/{stage.stack().cgroup(name)}/pids.max") as file:
                return file.read().strip()
        except FileNotFoundError:
            continue
    raise AssertionError("no hierarchy counts processes")


def test_cpus_bound_the_time_of_the_processor(orchestra: Stage) -> None:
    """A loop with a fifth of a processor uses about a fifth of the time."""
    orchestra.up({"a": idle(cpus=0.2)})
    used = float(orchestra.python("a", SPIN))
    assert 0.1 < used < 0.7


def test_a_service_runs_on_its_processors_only(orchestra: Stage) -> None:
    """cpuset."""
    orchestra.up({"a": idle(cpuset="1"), "b": idle()})
    assert orchestra.python("a", "import os; print(os.sched_getaffinity(0))") == "{1}"
    assert orchestra.python("b", "import os; print(len(os.sched_getaffinity(0)) > 1)") == "True"
    said = orchestra.fails("up", "-d", cwd=_file(orchestra, {"c": idle(cpuset="900")}))
    assert "cannot start t-c-1: cpuset 900 cannot be set: this machine has processors 0-" in said


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _file(stage: Stage, services: dict[str, Any]) -> Path:
    stage.write({"services": services})
    return stage.work


def test_quota_and_period_bound_the_time_of_the_processor(orchestra: Stage) -> None:
    """cpu_quota and cpu_period: a tenth of a processor."""
    orchestra.up({"a": idle(cpu_quota=5000, cpu_period=50000)})
    used = float(orchestra.python("a", SPIN))
    assert 0.05 < used < 0.45


def test_shares_divide_a_busy_processor(orchestra: Stage) -> None:
    """Two that spin on one processor, one with four times the shares: it gets the larger part."""
    spin = "import time\nwhile True: pass"
    both = {"cpuset": "1", "stop_signal": "SIGKILL"}
    orchestra.up({"a": py(spin, cpu_shares=4096, **both), "b": py(spin, cpu_shares=256, **both)})
    first = {name: _ticks(orchestra.pid(name)) for name in ("t-a-1", "t-b-1")}
    until(lambda: _ticks(orchestra.pid("t-a-1")) - first["t-a-1"] > 60, "it has run for a while")
    done = {name: _ticks(orchestra.pid(name)) - before for name, before in first.items()}
    assert done["t-a-1"] > 3 * done["t-b-1"]


def _ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_disk_is_read_and_written_no_faster_than_allowed(orchestra: Stage) -> None:
    """blkio_config: two megabytes at one a second take two seconds, in this container only."""
    disk = _disk_below(orchestra.work)
    (orchestra.work / "data").mkdir()
    limited = idle(
        blkio_config={
            "device_write_bps": [{"path": disk, "rate": "1mb"}],
            "device_read_iops": [{"path": disk, "rate": 999}],
        },
        volumes=["./data:/data"],
    )
    orchestra.up({"a": limited, "b": idle(volumes=["./data:/data"])})
    write = "dd if=/dev/zero of=/data/$0 bs=64k count=32 oflag=direct 2>&1 | tail -n 1"
    taken = {name: _seconds(orchestra.inside(name, write.replace("$0", name))) for name in ("a", "b")}
    assert taken["a"] > 1.5
    assert taken["b"] < taken["a"] / 2
    kernel = json.loads(orchestra.ok("inspect", "--format", "{{json .Limits.Kernel.blockIO}}", "a"))
    assert any("1048576" in line for line in kernel["throttleWriteBpsDevice"])


def _seconds(said: str) -> float:
    return float(said.split(" copied, ")[1].split()[0])


def _disk_below(folder: Path) -> str:
    """The block device of the file system, or a skipped test."""
    device = os.stat(folder).st_dev
    name = os.path.basename(os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
    if not os.path.exists(f"/sys/block/{name}") or not os.path.exists(f"/dev/{name}"):
        pytest.skip("the folder is on no whole disk")
    return f"/dev/{name}"


def test_what_is_no_disk_is_told(orchestra: Stage) -> None:
    """By its path, before anything runs."""
    rate = {"device_write_bps": [{"path": "/dev/null", "rate": "1mb"}]}
    _file(orchestra, {"a": idle(blkio_config=rate)})
    assert "blkio_config of a: /dev/null is no block device" in orchestra.fails("up", "-d")


def test_what_the_kernel_cannot_do_is_a_notice(orchestra: Stage) -> None:
    """Weights without a scheduler that knows them, and ulimits that only CAP_SYS_RESOURCE could raise."""
    orchestra.up({"a": idle(blkio_config={"weight": 300}, ulimits={"nofile": {"soft": 100, "hard": 2_000_000_000}})})
    events = orchestra.ok("events", "--since", "1m", "--until", "0s")
    if not any("[bfq]" in Path(queue).read_text() for queue in glob.glob("/sys/block/*/queue/scheduler")):
        assert "blkio_config.weight of a has no effect" in events
    hard = resource.prlimit(orchestra.pid("t-a-1"), resource.RLIMIT_NOFILE)[1]
    assert hard == 2_000_000_000 or f"ulimit nofile of a is {hard} and not 2000000000" in events


def test_a_container_is_taken_before_keeper_and_supervisor(orchestra: Stage) -> None:
    """When the machine's memory is used up; what is run beside it as well, and also where orchestra cannot protect
    itself. Who asks for a score has that one."""
    orchestra.up({"a": idle(), "asks": idle(oom_score_adj=50)})

    def score(pid: int | str) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    supervisor = orchestra.supervisor()
    ours = [score(supervisor), score(parent_of(supervisor))]
    assert score(orchestra.pid("t-a-1")) > max(ours)
    assert int(orchestra.inside("a", "cat /proc/self/oom_score_adj")) > max(ours)
    assert score(orchestra.pid("t-asks-1")) == 50


def test_the_oom_score_can_only_be_raised_without_a_right(orchestra: Stage) -> None:
    """Raising is done; lowering needs CAP_SYS_RESOURCE, and where that is missing it is said."""
    orchestra.up({"a": idle(oom_score_adj=300)})
    pid = orchestra.pid("t-a-1")
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "300"
    _file(orchestra, {"a": idle(oom_score_adj=-900)})
    done = orchestra.run("up", "-d")
    has_right = int(Path("/proc/self/status").read_text().split("CapEff:\t")[1].split()[0], 16) >> 24 & 1
    assert done.returncode == (0 if has_right else 1)
    assert has_right or "oom_score_adj -900 cannot be set: less than" in done.stderr
