"""What counts as started: for `up -d`, for `up --wait`, and for those that depend on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .stage import Stage, idle, sh

pytestmark = pytest.mark.kernel


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    yield shared
    shared.ok("-p", "t", "down", "-t", "0")


@pytest.mark.parametrize(("end", "status"), [("exit 3", 1), ("exit 0", 0)])
def test_up_wait_does_not_take_what_ends_at_once_for_ready(stage: Stage, end: str, status: int) -> None:
    """Whoever ends well has done what he had to do."""
    stage.write({"services": {"a": sh(end), "b": idle()}})
    done = stage.run("up", "-d", "--wait")
    assert done.returncode == status, done.stderr
    assert ("t-a-1 has ended: exit code 3" in done.stderr) == bool(status)


def test_who_depends_on_what_ends_at_once_is_not_started(stage: Stage) -> None:
    """Since that was never there; who depends on what ended well is."""
    stage.write(
        {
            "services": {
                "bad": sh("exit 3"),
                "good": sh("exit 0"),
                "leans": idle(depends_on=["bad"]),
                "stands": idle(depends_on=["good"]),
            }
        }
    )
    assert "cannot start t-leans-1: bad has ended at once (exit code 3)" in stage.fails("up", "-d", status=1)
    rows = stage.rows()
    assert (rows["t-leans-1"]["Run"], rows["t-stands-1"]["State"]) == (0, "running")


def test_up_returns_once_everything_has_been_started_once(stage: Stage) -> None:
    """However many of them end again and again, and whoever depends on such a one."""
    crash = sh("exit 3", restart="always")
    loops = {f"c{number}": crash for number in range(20)}
    stage.up({**loops, "leans": idle(depends_on=["c0"])})
    rows = stage.rows()
    assert min(row["Run"] for row in rows.values()) >= 1
    assert rows["t-leans-1"]["State"] == "running"


def test_up_does_not_wait_for_what_it_is_not_asked_for(stage: Stage) -> None:
    """A service of a profile that is off, or one that the file has no more, that somebody has stopped."""
    stage.write({"services": {"a": idle(), "x": idle(profiles=["p"]), "old": idle()}})
    stage.ok("--profile", "p", "up", "-d")
    stage.ok("--profile", "p", "stop", "-t", "0", "x", "old")
    stage.write({"services": {"a": idle(), "x": idle(profiles=["p"])}})
    stage.ok("up", "-d", "--wait")
    stage.ok("up", "-d", "--remove-orphans")
    assert {name: row["State"] for name, row in stage.rows().items()} == {"t-a-1": "running", "t-x-1": "exited"}


def test_an_orphan_stays_as_it_is(stage: Stage) -> None:
    """Neither started, though what it waited for has come, nor replaced, nor stopped."""
    sick = {"test": "exit 1", "interval": "100ms", "retries": 1}
    stage.write(
        {
            "services": {
                "a": idle(healthcheck=sick),
                "runs": idle(),
                "waits": idle(depends_on={"a": {"condition": "service_healthy"}}),
            }
        }
    )
    stage.fails("up", "-d", status=1)
    before = stage.pid("t-runs-1")
    stage.up({"a": idle()})
    stage.ok("restart", "-t", "0", "a")  # another look at everything
    rows = stage.rows()
    assert (rows["t-waits-1"]["Run"], rows["t-waits-1"]["State"]) == (0, "created")
    assert stage.pid("t-runs-1") == before
    stage.write({"services": {"a": idle(), "waits": idle(depends_on=["a"])}})
    stage.ok("up", "-d")
    assert stage.row("t-waits-1")["State"] == "running"
