"""Where a container stands, and how long it has to wait."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sketch import ended, running, service

from orchestra.plan.facts import Run, Seen, Target
from orchestra.plan.phase import Phase, after_end, delay_before, phase_of


@pytest.mark.parametrize(
    ("streak", "delay"), [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.4), (10, 51.2), (11, 60.0), (99, 60.0)]
)
def test_a_crashed_service_waits_longer_each_time(streak, delay):
    """100 ms doubling to a minute, and no wait at all after a good run."""
    assert delay_before(streak) == pytest.approx(delay)


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        ("no", 0, Phase.FINISHED),
        ("no", 1, Phase.FINISHED),
        ("always", 0, Phase.DUE),
        ("always", 1, Phase.DUE),
        ("unless-stopped", 0, Phase.DUE),
        ("on-failure", 0, Phase.FINISHED),
        ("on-failure", 1, Phase.DUE),
    ],
)
def test_the_restart_policy_decides_after_an_end(policy, code, phase):
    """The four policies of the Compose Specification, for a good and a bad end."""
    one = service("a", restart=policy)
    assert phase_of(Target(one, 1), ended(one, at=20, code=code), 20) is phase


def test_on_failure_gives_up_after_its_attempts():
    """on-failure:3 allows three restarts; the fourth failure is the last."""
    one = service("a", restart="on-failure", attempts=3)
    seen = Seen(one, 1, made=True)
    phases = []
    for number in range(1, 5):
        seen = after_end(seen, Run(number, "c1", 1, number * 100.0, ended=number * 100.0 + 1, code=1))
        phases.append(phase_of(Target(one, 1), seen, number * 100 + 90))
    assert phases == [Phase.DUE, Phase.DUE, Phase.DUE, Phase.GAVE_UP]


def test_a_good_run_starts_the_count_anew():
    """Ten seconds of running end a back-off and the count of failures."""
    one = service("a", restart="always")
    seen = replace(Seen(one, 1, made=True), streak=7, failures=7)
    seen = after_end(seen, Run(8, "c1", 1, 0.0, ended=10.0, code=1))
    assert (seen.streak, seen.failures) == (0, 1)


@pytest.mark.parametrize("policy", ["no", "always", "unless-stopped", "on-failure"])
def test_who_was_stopped_by_hand_stays_stopped(policy):
    """A stop by hand beats every policy."""
    one = service("a", restart=policy)
    assert phase_of(Target(one, 1, stopped=True), ended(one, at=1, code=1), 100) is Phase.STOPPED


def test_a_request_for_a_restart_outdates_what_runs():
    """The epoch of the target is ahead of the run's."""
    one = service("a")
    assert phase_of(Target(one, 1, epoch=2), running(one), 0) is Phase.OUTDATED


@given(st.integers(0, 200), st.floats(0, 1000))
def test_waiting_ends_when_the_delay_is_over(streak, passed):
    """The phase is back-off exactly until the delay has passed."""
    one = service("a", restart="always")
    seen = replace(ended(one, at=100.0, code=1), streak=streak)
    expected = Phase.BACKING_OFF if 100.0 + passed < 100.0 + delay_before(streak) else Phase.DUE
    assert phase_of(Target(one, 1), seen, 100.0 + passed) is expected
