"""Whether what was started has turned out to be there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sketch import ended, facts, need, running, service, wanted

from orchestra.plan.facts import Seen, Target
from orchestra.plan.reconcile import reconcile
from orchestra.plan.standing import MOMENT, Standing, standing, was_started

DB = service("db")
API = service("api", need("db", "service_started"))
BROKEN = replace(ended(DB, at=0.1, code=None), run=replace(ended(DB, at=0.1).run, code=None, trouble="no such file"))


@pytest.mark.parametrize(
    ("seen", "now", "stands", "started"),
    [
        (None, 9, Standing.COMING, False),
        (Seen(DB, 1, made=True), 9, Standing.COMING, False),
        (running(replace(DB, config_hash="c0")), 9, Standing.COMING, False),
        (running(DB, epoch=0), 9, Standing.COMING, False),
        (running(DB), MOMENT / 2, Standing.FRESH, True),
        (running(DB), MOMENT, Standing.STAYED, True),
        (ended(DB, at=0.1, code=0), 9, Standing.DONE, True),
        (ended(DB, at=0.1, code=3), 9, Standing.FAILED, True),
        (ended(DB, at=MOMENT, code=3), 9, Standing.STAYED, True),
        (BROKEN, 9, Standing.FAILED, False),
    ],
)
def test_a_run_has_to_stay_for_a_moment_or_to_end_well(seen, now, stands, started):
    """By times alone; a run of something else than what is wanted now does not count."""
    assert standing(Target(DB, 1), seen, now) is stands
    assert was_started(Target(DB, 1), seen) is started


@pytest.mark.parametrize(
    ("db", "says"),
    [
        (running(DB, since=9.9), "hold api-1: db has just been started"),
        (running(DB, since=9.0), "start api-1: it does not run"),
        (ended(DB, at=0.1, code=0), "start api-1: it does not run"),
        (ended(DB, at=0.1, code=3), "hold api-1: db has ended at once (exit code 3)"),
        (ended(DB, at=5.0, code=3), "start api-1: it does not run"),
    ],
)
def test_service_started_waits_until_it_has_turned_out(db, says):
    """And the loop looks again when the moment is over."""
    plan = reconcile(wanted(DB, API), facts(db, Seen(API, 1, made=True)), 10.0)
    assert plan.describe() == says
    assert all(hold.hopeless == ("ended" in says) for hold in plan.holds)
    assert (plan.look_again is not None) == ("just" in says)


def test_service_started_does_not_wait_for_the_end_of_a_crash_loop():
    """Its policy brings it back once before others are started; whether it ever stays is nobody else's matter."""
    crash = replace(DB, restart=service("x", restart="always").restart)
    first = ended(crash, at=10.0, since=9.9, code=3, streak=1)
    made = Seen(API, 1, made=True)
    assert (
        "hold api-1: db has ended at once (exit code 3)"
        in reconcile(wanted(crash, API), facts(first, made), 10.0).describe()
    )
    again = replace(first, restarts=1, streak=2)
    assert "start api-1" in reconcile(wanted(crash, API), facts(again, made), 10.0).describe()
