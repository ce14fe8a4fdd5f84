"""Where a container stands: worked out from what is wanted, what was seen and the time, never stored."""

from __future__ import annotations

import enum

from ..stack.model import Restart, Service
from ..values import replace
from .facts import Run, Seen, Target
from .signals import signal_name

GOOD_RUN = 10.0
"""A run of this many seconds ends a back-off (moby, restartmanager.go)."""
FIRST_DELAY = 0.1
LONGEST_DELAY = 60.0


class Phase(enum.Enum):
    ABSENT = "absent"  # not made yet
    CREATED = "created"  # made, nothing has run of what is wanted now
    STARTING = "starting"  # runs, no verdict about its health yet
    RUNNING = "running"  # runs and has no health check
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    OUTDATED = "outdated"  # runs, but something else is wanted: to be stopped
    BACKING_OFF = "restarting"  # ended, will be started again later
    DUE = "due"  # ended, to be started again now
    FINISHED = "finished"  # ended, and that is fine by its policy
    GAVE_UP = "gave up"  # ended, and its policy allows no more attempts
    STOPPED = "stopped"  # by hand


def delay_before(streak: int) -> float:
    """Seconds before the next start: none after a good run, then 100 ms doubling to a minute."""
    if streak <= 0:
        return 0.0
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(streak - 1, 32))


def phase_of(target: Target, seen: Seen | None, now: float) -> Phase:
    if seen is None or not seen.made:
        return Phase.STOPPED if target.stopped else Phase.ABSENT
    run = seen.run
    if run is None:
        return Phase.STOPPED if target.stopped or target.held else Phase.CREATED
    if run.alive:
        return _alive(target, seen, run)
    if target.stopped or target.held:
        return Phase.STOPPED
    if run.epoch < target.epoch or run.config != target.service.config_hash:
        return Phase.CREATED
    if target.oneoff or not wants_another(target.service, seen, run):
        return Phase.GAVE_UP if run.failed and _counts_out(target.service.restart, seen) else Phase.FINISHED
    return Phase.BACKING_OFF if now < due_at(seen, run) else Phase.DUE


def due_at(seen: Seen, run: Run) -> float:
    return (run.ended or 0.0) + delay_before(seen.streak)


def wants_another(service: Service, seen: Seen, run: Run) -> bool:
    """Whether it is started again: by `restart` (docker run reference, restart policies) or `on_unhealthy`."""
    if service.on_unhealthy == "restart" and seen.health == "unhealthy":
        return True
    policy = service.restart
    if policy.policy == "on-failure":
        return run.failed and (policy.attempts is None or seen.failures <= policy.attempts)
    return policy.policy != "no"


def after_end(seen: Seen, run: Run) -> Seen:
    """The same container after this run of it ended: with the counters that the restart policy works from."""
    assert run.ended is not None
    good = run.ended - run.started >= GOOD_RUN and not run.trouble
    failures = (0 if good else seen.failures) + 1
    return replace(
        seen,
        run=run,
        last_exit=how_it_ended(run),
        streak=0 if good else seen.streak + 1,
        failures=failures if run.failed else 0,
    )


def what_follows(target: Target | None, seen: Seen, now: float) -> str:
    """Of a run that has ended: `restarting`, `exited` (fine by its policy), `dead`, or `stopped` (on purpose)."""
    if target is None:
        return "stopped"
    phase = phase_of(target, seen, now)
    if phase in (Phase.BACKING_OFF, Phase.DUE):
        return "restarting"
    if phase in (Phase.FINISHED, Phase.GAVE_UP):
        return "dead" if seen.run is not None and seen.run.failed else "exited"
    return "stopped"


def how_it_ended(run: Run | None) -> str:
    """In words, "" while nothing has ended."""
    if run is None or run.alive:
        return ""
    if run.trouble:
        return run.trouble
    if run.oom:
        return "out of memory"
    if run.signal is not None:
        return f"killed by {signal_name(run.signal)}"
    return "exit code unknown" if run.code is None else f"exit code {run.code}"


def _alive(target: Target, seen: Seen, run: Run) -> Phase:
    if target.stopped or run.epoch < target.epoch or seen.service.config_hash != target.service.config_hash:
        return Phase.OUTDATED
    if target.service.healthcheck is None:
        return Phase.RUNNING
    return {"healthy": Phase.HEALTHY, "unhealthy": Phase.UNHEALTHY}.get(seen.health, Phase.STARTING)


def _counts_out(policy: Restart, seen: Seen) -> bool:
    return policy.policy == "on-failure" and policy.attempts is not None and seen.failures > policy.attempts
