"""Whether what a command waits for has come."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sketch import ended, facts, need, running, service, wanted

from orchestra.errors import OrchestraError
from orchestra.plan import apply
from orchestra.plan.goal import refuse_overtaken, unmet
from orchestra.plan.reconcile import reconcile


def test_who_was_started_counts_as_running_although_it_crashes_for_ever():
    """`up -d` ends as docker's does: whether a service stays up is what `--wait` waits for."""
    crash = service("crash", restart="always")
    asked, seen = wanted(crash), facts(ended(crash, at=5, code=3, streak=6))
    plan = reconcile(asked, seen, 5.5)
    assert unmet("running", ["crash-1"], asked, seen, plan, 5.5) == []
    assert unmet("healthy", ["crash-1"], asked, seen, plan, 5.5) == ["crash-1"]


def test_who_is_just_being_started_again_has_been_started():
    """Of a hundred that crash for ever one is always under way."""
    crash = service("crash", restart="always")
    asked, seen = wanted(crash), facts(ended(crash, at=5, code=3, busy=True))
    assert unmet("running", ["crash-1"], asked, seen, reconcile(asked, seen, 5.5), 5.5) == []


@pytest.mark.parametrize(("now", "late"), [(0.1, ["a-1"]), (0.5, [])])
def test_who_runs_is_ready_when_it_has_stayed_for_a_moment(now, late):
    """`--wait`: it may have been started only to end at once. The loop looks again when the moment is over."""
    one = service("a")
    asked, seen = wanted(one), facts(running(one))
    plan = reconcile(asked, seen, now)
    assert unmet("healthy", ["a-1"], asked, seen, plan, now) == late
    assert (plan.look_again is not None) == bool(late)


def test_who_ended_is_ready_if_it_ended_well():
    """Also if nobody depends on its end."""
    one = service("a")
    for code in (0, 3):
        asked, seen = wanted(one), facts(ended(one, at=60, code=code))
        plan = reconcile(asked, seen, 61)
        if code == 0:
            assert unmet("healthy", ["a-1"], asked, seen, plan, 61) == []
        else:
            with pytest.raises(OrchestraError, match="a-1 has ended: exit code 3"):
                unmet("healthy", ["a-1"], asked, seen, plan, 61)


def test_who_ran_before_it_was_asked_for_anew_does_not_count():
    """A run of an older configuration is not the one that is waited for."""
    old, new = service("a", restart="always", config="c1"), service("a", restart="always", config="c2")
    asked, seen = wanted(new), facts(ended(old, at=5, code=3, streak=6))
    assert unmet("running", ["a-1"], asked, seen, reconcile(asked, seen, 5.5), 5.5) == ["a-1"]


def test_who_runs_counts_as_running_before_it_is_healthy():
    """Health is the other goal."""
    one = service("a", check=True)
    asked, seen = wanted(one), facts(running(one))
    assert unmet("running", ["a-1"], asked, seen, reconcile(asked, seen, 1), 1) == []
    assert unmet("healthy", ["a-1"], asked, seen, reconcile(asked, seen, 1), 1) == ["a-1"]


def test_who_is_not_wanted_any_more_is_waited_for_until_it_has_gone():
    """An orphan that `up --remove-orphans` takes away, or a replica too many."""
    kept, orphan = service("a"), service("old")
    asked, seen = wanted(kept), facts(running(kept), running(orphan))
    assert unmet("running", ["a-1", "old-1"], asked, seen, reconcile(asked, seen, 1), 1) == ["old-1"]
    assert unmet("running", ["a-1", "old-1"], asked, facts(running(kept)), reconcile(asked, seen, 1), 1) == []


DB, JOB = service("db"), service("job")
API = service("api", need("db"), need("job", required=False))
ALL = wanted(DB, JOB, API)


@pytest.mark.parametrize(
    ("goal", "names", "after", "says"),
    [
        ("running", ["api-1"], apply.changed(ALL, ["api-1"], stopped=True), "api-1 was stopped meanwhile by me"),
        ("healthy", ["api-1"], wanted(JOB, API), "db-1 was taken away meanwhile by me"),
        (
            "running",
            ["api-1"],
            apply.changed(ALL, ["db-1"], held=True),
            "db-1 was kept from its start meanwhile by me",
        ),
        ("stopped", ["db-1", "job-1"], ALL, "db-1 and job-1 were started meanwhile by me"),
        ("gone", ["db-1"], ALL, "db-1 was asked for again meanwhile by me"),
        ("running", ["api-1"], apply.changed(ALL, ["job-1"], stopped=True), ""),
        ("running", ["api-1"], apply.restarted(ALL, {}, ["api-1"], None), ""),
        ("running", ["db-1"], apply.changed(ALL, ["api-1"], stopped=True), ""),
        ("stopped", ["db-1"], wanted(JOB, API), ""),
    ],
)
def test_who_waits_for_the_opposite_of_what_others_want_is_told(goal, names, after, says):
    """Also when it is something that he would wait for on the way; not when it can be done without."""
    before = ALL
    if goal == "stopped":
        before = apply.changed(ALL, names, stopped=True)
    if goal == "gone":
        before = wanted(JOB, API)
    changed = dict.fromkeys(["api-1", "db-1", "job-1"], "me")
    if not says:
        refuse_overtaken(goal, names, before, after, changed)
        return
    with pytest.raises(OrchestraError) as raised:
        refuse_overtaken(goal, names, before, after, changed)
    assert raised.value.what == says
    refuse_overtaken(goal, names, before, after, {})  # what nobody has changed by a command is no command's doing


def test_a_run_that_was_told_to_stop_is_not_the_one_that_is_wanted_again():
    """It may end at any moment, or run on for as long as its grace allows."""
    told = replace(running(DB), asked_to_stop=5.0)
    stopped = apply.changed(wanted(DB), ["db-1"], stopped=True)
    assert apply.started(stopped, {"db-1": told}, ["db-1"]).targets["db-1"].epoch == 2
    assert apply.started(stopped, {"db-1": replace(running(DB), busy=True)}, ["db-1"]).targets["db-1"].epoch == 2
    assert apply.started(stopped, {"db-1": running(DB)}, ["db-1"]).targets["db-1"].epoch == 1


def test_who_waits_for_what_is_taken_away_is_not_started():
    """What nobody has any more would hold it back no longer."""
    after = apply.without(ALL, {}, ["db-1"], None)
    assert after.targets["api-1"].held
    assert not apply.without(ALL, {}, ["job-1"], None).targets["api-1"].held
    assert not apply.without(ALL, {"api-1": running(API)}, ["db-1"], None).targets["api-1"].held
