"""kill -9 of the supervisor, of the keeper, of both: containers live on, and somebody takes care of them again."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from .ground import ANSWERING, COUNTING, IDLE, Ground, ends, fetch, free_port, in_time, kill, py, sh, until

pytestmark = pytest.mark.kernel

SOON = 2.0
"""Seconds within which somebody has to be there again; `in_time` on a busy machine."""


@pytest.fixture
def served(ground: Ground) -> tuple[Ground, int]:
    """A web server on a published port with a health check, and a neighbour."""
    port = free_port()
    check = {
        "http": "http://:80/",
        "interval": "300ms",
        "timeout": "1s",
        "retries": 2,
        "start_interval": "50ms",
        "start_period": "10s",
    }
    web = py(ANSWERING, ports=[f"127.0.0.1:{port}:80"], healthcheck=check, restart="always")
    ground.up({"web": web, "idle": sh(IDLE, restart="always")}, "--wait")
    assert fetch(port) == "hello"
    return ground, port


def numbers(said: str) -> list[int]:
    return [int(line.split()[1]) for line in said.splitlines() if re.fullmatch(r"line \d+", line)]


def test_containers_live_through_the_end_of_the_supervisor(served: tuple[Ground, int]) -> None:
    """Same processes, the port answers, names resolve, and a new supervisor is there within two seconds."""
    ground, port = served
    before = {name: ground.pid(name) for name in ("t-web-1", "t-idle-1")}
    begun = time.monotonic()
    old = ground.supervisor()
    kill(old)
    assert fetch(port) == "hello"  # nobody supervises at this moment
    soon = in_time(SOON)
    after = until(lambda: ground.status()["supervisor"] != old and ground.rows(), "a new supervisor answers", soon)
    assert time.monotonic() - begun < soon
    assert {name: ground.pid(name) for name in before} == before
    assert {row["state"] for row in after.values()} == {"running"}
    assert {row["restarts"] for row in after.values()} == {0}
    assert "hello" in fetch(port)
    assert "hello" in ground.ok("exec", "-T", "idle", "curl", "-s", "http://web/")


def test_a_name_is_answered_while_the_supervisor_is_replaced(served: tuple[Ground, int]) -> None:
    """A question in between waits for the next supervisor and is not refused."""
    ground, _ = served
    ask = "import socket; print(socket.gethostbyname('web'))"
    script = f'sleep 0.5; python3 -c "{ask}"'
    asking = ground.begin("exec", "-T", "idle", "sh", "-c", f"({script}) > /tmp/answer 2>&1 & echo under way")
    asking.communicate(timeout=10)
    time.sleep(0.35)  # the question falls into the gap
    ground.kill_supervisor()
    said = until(lambda: ground.ok("exec", "-T", "idle", "cat", "/tmp/answer").strip(), "an answer", 10)
    assert said == ground.row("t-web-1")["addresses"]["default"]


def test_health_is_watched_again_by_the_next_supervisor(served: tuple[Ground, int]) -> None:
    """A service that stops answering is found out by the supervisor that came later."""
    ground, _ = served
    ground.kill_supervisor()
    until(lambda: ground.row("t-web-1")["health"] == "healthy", "it is healthy again", 20)
    os.kill(ground.pid("t-web-1"), signal.SIGSTOP)
    until(lambda: ground.row("t-web-1")["health"] == "unhealthy", "the stopped process is found out", 20)
    os.kill(ground.pid("t-web-1"), signal.SIGCONT)
    until(lambda: ground.row("t-web-1")["health"] == "healthy", "it is healthy again", 20)


def test_who_crashes_while_nobody_supervises_is_restarted(served: tuple[Ground, int]) -> None:
    """The keeper tells the next supervisor what ended meanwhile."""
    ground, _ = served
    old, crashed = ground.supervisor(), ground.pid("t-idle-1")
    os.kill(old, signal.SIGSTOP)
    os.kill(old, signal.SIGKILL)
    kill(crashed)
    until(lambda: ground.supervisor() not in (0, old), "a new supervisor", in_time(SOON))
    row = until(
        lambda: (row := ground.row("t-idle-1"))["state"] == "running" and row["pid"] != crashed and row,
        "it runs again",
        5,
    )
    assert row["restarts"] == 1
    assert row["last_exit"] == "killed by SIGKILL"


def test_no_line_is_lost_with_the_keeper(ground: Ground) -> None:
    """Killed ten times in the midst of output; afterwards every line is there, once, in order."""
    ground.up({"count": sh(COUNTING)})
    pid = ground.pid("t-count-1")
    for _ in range(10):
        old = until(ground.keeper, "a keeper", 5)
        kill(old)
        until(lambda old=old: ground.keeper() not in (0, old), "a new keeper", 10)
        until(lambda: ground.status()["rows"], "the supervisor has found it", 5)
    assert ground.pid("t-count-1") == pid
    seen = numbers(ground.logs("count"))
    until(lambda: len(numbers(ground.logs("count"))) > len(seen) + 20, "output goes on", 5)
    ground.ok("stop", "-t", "1", "count")
    said = numbers(ground.logs("count"))
    assert said == list(range(1, len(said) + 1))


def test_the_exit_code_of_an_adopted_container_is_known(ground: Ground) -> None:
    """The second keeper is not the parent, and still learns how it ended; the restart policy goes on."""
    ground.up(
        {"once": sh("trap 'exit 7' TERM; while :; do sleep 1000 & wait $!; done"), "ever": sh(restart="always")}
    )
    old = ground.keeper()
    kill(old)
    until(lambda: ground.keeper() not in (0, old), "a new keeper", 10)
    until(lambda: ground.status()["keeper"] == ground.keeper(), "the supervisor has found it", 5)
    os.kill(ground.pid("t-once-1"), signal.SIGTERM)
    crashed = ground.pid("t-ever-1")
    kill(crashed)
    row = until(lambda: (row := ground.row("t-once-1"))["state"] == "exited" and row, "it has ended", 5)
    assert row["exit_code"] == 7
    row = until(lambda: (row := ground.row("t-ever-1"))["restarts"] == 1 and row, "it was restarted", 5)
    assert row["last_exit"] == "killed by SIGKILL"


def test_the_next_command_adopts_what_both_left_behind(served: tuple[Ground, int]) -> None:
    """With keeper and supervisor gone, `ps` finds the same containers; they serve all the while."""
    ground, port = served
    before = ground.pid("t-web-1")
    ground.kill_both()
    assert not ground.processes()
    assert fetch(port) == "hello"
    said = ground.ok("ps")
    assert "t-web-1" in said
    assert "Up" in said
    assert ground.pid("t-web-1") == before
    assert fetch(port) == "hello"
    crashed = ground.pid("t-idle-1")
    kill(crashed)
    until(lambda: ground.row("t-idle-1")["restarts"] == 1, "the policy goes on", 5)


def test_output_while_nobody_is_there_is_kept(ground: Ground) -> None:
    """What fits into the FIFO waits there for the next keeper."""
    ground.up({"count": sh(COUNTING)})
    until(lambda: len(numbers(ground.logs("count"))) > 10, "some lines")
    ground.kill_both()
    time.sleep(0.3)  # it goes on writing
    ground.ok("ps")
    ground.ok("stop", "-t", "1", "count")
    said = numbers(ground.logs("count"))
    assert len(said) > 40
    assert said == list(range(1, len(said) + 1))


def test_down_works_with_both_dead(served: tuple[Ground, int]) -> None:
    """`down` starts a pair of its own, which takes everything away."""
    ground, _ = served
    held = ground.namespaces()
    assert held
    pids = [*ground.pids("t-web-1"), *ground.pids("t-idle-1"), ground.holder()]
    ground.kill_both()
    ground.down()
    assert all(ends(pid) for pid in pids)
    ground.nothing_left()


def test_down_works_with_both_and_all_containers_dead(served: tuple[Ground, int]) -> None:
    """Everything was killed: pins, links and folders still go."""
    ground, _ = served
    holder = ground.holder()
    ground.kill_both()
    for name in ("t-web-1", "t-idle-1"):
        kill(ground.pid(name))
    ground.down()
    assert ends(holder)
    ground.nothing_left()


def test_up_after_both_died_changes_nothing(served: tuple[Ground, int]) -> None:
    """What runs already is left alone."""
    ground, _ = served
    before = ground.pid("t-web-1")
    ground.kill_both()
    ground.ok("up", "-d")
    assert ground.pid("t-web-1") == before


def test_records_are_not_left_half_written(ground: Ground) -> None:
    """A supervisor that is killed over and over never leaves a state that its successor cannot read."""
    ground.up({"a": sh(restart="always"), "b": sh(restart="always")})
    for _ in range(4):  # each comes later than the one before: 0.1 s, 0.2 s, …
        ground.kill_supervisor()
        until(lambda: ground.rows(), "its successor answers", 5)
    assert {row["state"] for row in ground.rows().values()} == {"running"}
    assert not list(Path(ground.places.data).glob("*.bad"))
