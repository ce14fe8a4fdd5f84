"""What probe results mean, and when to probe next (moby, daemon/health.go; Compose Specification, healthcheck).

Until the first counted probe is due (one interval after the start, or the end of the start period if that is
later) a service is probed eagerly: often at first, then at `start_interval`. Such a probe can only make it
healthy, its failures do not count; so nothing is judged sooner than docker would, and everything is ready sooner.
"""

from __future__ import annotations

from ..stack.model import ExecProbe, Healthcheck
from ..values import dataclass, replace
from .facts import Verdict

FIRST_WAIT = 0.01
FIRST_WAIT_OF_A_PROCESS = 0.05
GROWTH = 1.5
KEPT_OUTPUT = 4096


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict over one run. `since` is when the verdict last changed, in the clock of the caller."""

    verdict: Verdict = "starting"
    since: float = 0.0
    failing: int = 0  # counted failures in a row
    probes: int = 0
    text: str = ""


def after_probe(check: Healthcheck, health: Health, ok: bool, text: str, started: float, now: float) -> Health:
    """The health after one probe that has ended at `now`, for a run that started at `started`."""
    probed = replace(health, probes=health.probes + 1, text=text[:KEPT_OUTPUT])
    if ok:
        return replace(
            probed, failing=0, verdict="healthy", since=health.since if health.verdict == "healthy" else now
        )
    if health.verdict == "starting" and now < started + grace_of(check):
        return probed
    failing = health.failing + 1
    if failing < check.retries or health.verdict == "unhealthy":
        return replace(probed, failing=failing)
    return replace(probed, failing=failing, verdict="unhealthy", since=now)


def next_probe_in(check: Healthcheck, health: Health, started: float, now: float) -> float:
    """Seconds until the next probe, counted from the end of the last one (or from the start)."""
    end_of_grace = started + grace_of(check)
    if health.verdict != "starting" or now >= end_of_grace:
        return check.interval
    first = FIRST_WAIT_OF_A_PROCESS if isinstance(check.probe, ExecProbe) else FIRST_WAIT
    eager = min(first * GROWTH ** min(health.probes, 64), check.start_interval, check.interval)
    return min(eager, max(0.0, end_of_grace - now))


def grace_of(check: Healthcheck) -> float:
    return max(check.start_period, check.interval)
