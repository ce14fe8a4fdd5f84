"""What comes back after it ended, how soon, and what does not."""

from __future__ import annotations

import itertools
import os
import time

import pytest

from .stage import Stage, idle, py, sh, until

pytestmark = pytest.mark.kernel


def back(stage: Stage, name: str, before: int) -> int:
    def running() -> int:
        row = stage.row(name)
        return int(row["Pid"] or 0) if row["State"] == "running" and row["Pid"] != before else 0

    found: int = until(running, f"{name} is back")
    return found


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_a_killed_service_is_back_within_a_second(orchestra: Stage, policy: str) -> None:
    """And nothing else notices; `ps` tells of the restart, the last exit and why."""
    orchestra.up({"a": idle(restart=policy), "b": idle(restart=policy)})
    before, other = orchestra.pid("t-a-1"), orchestra.pid("t-b-1")
    os.kill(before, 9)
    began = time.monotonic()
    back(orchestra, "t-a-1", before)
    assert time.monotonic() - began < 1.0
    assert orchestra.pid("t-b-1") == other
    row = orchestra.row("t-a-1")
    assert row["Restarts"] == 1
    assert row["LastExit"] == "killed by SIGKILL"
    table = orchestra.ok("ps")
    assert "RESTARTS" in table
    assert "1 (killed by SIGKILL" in table


def test_without_a_policy_what_ended_stays_so(orchestra: Stage) -> None:
    """`restart: "no"` is the default."""
    orchestra.up({"a": sh("exit 3"), "b": idle()})
    row = until(lambda: (row := orchestra.row("t-a-1"))["State"] == "exited" and row, "it has ended")
    assert (row["ExitCode"], row["Restarts"]) == (3, 0)
    assert row["Status"].startswith("Exited (3)")


def test_an_end_right_after_the_start_is_not_missed(orchestra: Stage) -> None:
    """Many that end at once are all seen to have ended, each with its exit code."""
    orchestra.up({"a": sh("exit 3", scale=12), "b": idle()})
    until(lambda: orchestra.row("t-b-1")["State"] == "running", "b runs")
    mine = until(
        lambda: (rows := _rows_of(orchestra, "a")) and all(row["State"] == "exited" for row in rows) and rows,
        "all have ended",
    )
    assert [row["ExitCode"] for row in mine] == [3] * 12


def _rows_of(stage: Stage, service: str) -> list[dict[str, object]]:
    return [row for row in stage.rows().values() if row["Service"] == service]


def test_the_word_no_is_a_policy_without_quotes(orchestra: Stage) -> None:
    """`restart: no` in YAML 1.2."""
    orchestra.names.add("t")
    orchestra.networks.add(("t", "default"))
    orchestra.write("name: t\nservices:\n  a: {rootfs: host, command: [sh, -c, exit 3], restart: no}\n")
    orchestra.run("up", "-d")
    until(lambda: orchestra.row("t-a-1")["State"] == "exited", "it has ended")
    assert orchestra.row("t-a-1")["Restarts"] == 0


def test_always_brings_back_what_ended_well(orchestra: Stage) -> None:
    """Exit code 0 is no reason to stay away."""
    orchestra.up({"a": sh("sleep 0.1; exit 0", restart="always")})
    until(lambda: orchestra.row("t-a-1")["Restarts"] >= 2, "it came back twice")


def test_on_failure_leaves_what_ended_well(orchestra: Stage) -> None:
    """Exit code 0 is the end."""
    orchestra.up({"a": sh("exit 0", restart="on-failure")})
    row = until(lambda: (row := orchestra.row("t-a-1"))["State"] == "exited" and row, "it has ended")
    assert row["Restarts"] == 0


def test_on_failure_gives_up_and_says_so(orchestra: Stage) -> None:
    """on-failure:3 is one start and three more; what it said last is quoted."""
    orchestra.up({"a": sh("echo no such table >&2; exit 5", restart="on-failure:3"), "b": idle()})
    row = until(lambda: (row := orchestra.row("t-a-1"))["State"] == "dead" and row, "it gave up")
    assert row["Run"] == 4
    assert row["ExitCode"] == 5
    assert "gave up" in orchestra.ok("why", "a")
    until(lambda: "exit code 5 (its last words: no such table)" in orchestra.ok("why", "a"), "it is quoted")


def test_restarts_wait_longer_each_time(orchestra: Stage) -> None:
    """100 ms, doubling: the times between the starts grow."""
    orchestra.up({"a": py("import time; print(time.time())\nraise SystemExit(1)", restart="always")})
    until(lambda: orchestra.row("t-a-1")["Run"] >= 5, "it has run five times")
    moments = [float(line) for line in orchestra.logs("--no-log-prefix", "a").split()][:5]
    gaps = [later - sooner for sooner, later in itertools.pairwise(moments)]
    for gap, least in zip(gaps, (0.1, 0.2, 0.4, 0.8), strict=False):
        assert least <= gap < least + 5
    assert "restarting in" in orchestra.ok("why", "a") or orchestra.row("t-a-1")["State"] == "running"


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_what_was_stopped_by_hand_stays_stopped(orchestra: Stage, policy: str) -> None:
    """Until it is started by hand."""
    orchestra.up({"a": idle(restart=policy), "b": idle()})
    orchestra.ok("stop", "a")
    # Something else happens, and happens to be looked at.
    orchestra.ok("restart", "b")
    assert orchestra.row("t-a-1")["State"] == "exited"
    orchestra.ok("start", "a")
    assert orchestra.row("t-a-1")["State"] == "running"


def test_what_was_killed_by_hand_stays_away(orchestra: Stage) -> None:
    """`kill` is a wish, as with docker."""
    orchestra.up({"a": idle(restart="always"), "b": idle()})
    orchestra.ok("kill", "a")
    until(lambda: orchestra.row("t-a-1")["State"] == "exited", "it has ended")
    orchestra.ok("restart", "b")
    assert orchestra.row("t-a-1")["State"] == "exited"


def test_a_crash_is_told_in_the_events(orchestra: Stage) -> None:
    """die, then start, with the cause."""
    orchestra.up({"a": idle(restart="always")})
    before = orchestra.pid("t-a-1")
    os.kill(before, 9)
    back(orchestra, "t-a-1", before)
    said = orchestra.ok("events", "--since", "1m", "--until", "0s")
    assert " die " in said
    assert "SIGKILL" in said
