"""Whether what a command waits for has come."""

from __future__ import annotations

from sketch import ended, facts, running, service, wanted

from orchestra.plan.goal import unmet
from orchestra.plan.reconcile import reconcile


def test_who_was_started_counts_as_running_although_it_crashes_for_ever():
    """`up -d` ends as docker's does: whether a service stays up is what `--wait` waits for."""
    crash = service("crash", restart="always")
    asked, seen = wanted(crash), facts(ended(crash, at=5, code=3, streak=6))
    plan = reconcile(asked, seen, 5.5)
    assert unmet("running", ["crash-1"], asked, seen, plan, 5.5) == []
    assert unmet("healthy", ["crash-1"], asked, seen, plan, 5.5) == ["crash-1"]


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
