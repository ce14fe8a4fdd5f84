"""Limits hold inside, and only there."""

from __future__ import annotations

import os
import time

import pytest

from .stage import Stage, cgroup_roots, idle, py, sh, until

pytestmark = pytest.mark.kernel
EAT = "import time; eaten = []\nwhile True: eaten.append(bytearray(1 << 20)); time.sleep(0.001)"
FORK = ":(){ :|:& };:"


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
    spin = "import time, resource\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass\n"
    orchestra.up({"a": idle(cpus=0.2)})
    used = float(orchestra.python("a", f"{spin}print(time.process_time())"))
    assert 0.1 < used < 0.7
