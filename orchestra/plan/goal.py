"""When a command may say that it is done, and when it has to say that it never will be."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from ..errors import OrchestraError
from .facts import Facts, Seen, Target, Wanted
from .phase import Phase, how_it_ended, phase_of
from .steps import Hold, Plan

Goal = Literal["accepted", "running", "healthy", "stopped", "gone"]
RUNS = frozenset({Phase.STARTING, Phase.RUNNING, Phase.HEALTHY, Phase.UNHEALTHY})


def unmet(goal: Goal, names: Collection[str], wanted: Wanted, facts: Facts, plan: Plan, now: float) -> list[str]:
    """Which of these containers are not there yet. Raises OrchestraError when one cannot get there by waiting."""
    if goal == "gone":
        return [name for name in names if name in facts.containers]
    if goal == "stopped":
        return [name for name in names if (one := facts.containers.get(name)) and (one.alive or one.busy)]
    holds = {hold.container: hold for hold in plan.holds}
    failures = [
        failure
        for name in sorted(names)
        if (failure := _failure(goal, name, wanted, facts, holds, now))
        and not (name in facts.containers and facts.containers[name].busy)
    ]
    if failures:
        raise OrchestraError("\n".join(failures), "orchestra logs and orchestra ps tell more")
    awaited = _awaited(wanted)
    return [
        name
        for name in names
        if (target := wanted.targets.get(name))
        and not _is_there(goal, target, facts.containers.get(name), now, target.service.name in awaited)
    ]


def _is_there(goal: Goal, target: Target, seen: Seen | None, now: float, awaited: bool) -> bool:
    if seen is None or seen.busy:
        return False
    phase = phase_of(target, seen, now)
    if target.held:
        return seen.made
    if phase is Phase.FINISHED:
        return goal == "running" or awaited
    return phase in (RUNS if goal == "running" else (Phase.RUNNING, Phase.HEALTHY))


def _failure(
    goal: Goal, name: str, wanted: Wanted, facts: Facts, holds: Mapping[str, Hold], now: float
) -> str | None:
    target = wanted.targets.get(name)
    seen = facts.containers.get(name)
    if target is None or target.stopped:
        return None
    hold = holds.get(name)
    if hold is not None and hold.hopeless:
        return f"cannot start {name}: {hold.reason}"
    if seen is None:
        return None
    run = seen.run
    if run is None or run.alive or run.epoch < target.epoch:
        return _unhealthy(goal, name, target, seen, now)
    if run.trouble:
        return f"cannot start {name}: {run.trouble}"
    phase = phase_of(target, seen, now)
    if phase is Phase.GAVE_UP:
        return f"{name} gave up after {seen.failures} failures in a row: {how_it_ended(run)}"
    ended_badly = phase is Phase.FINISHED and (run.code != 0 or target.service.name not in _awaited(wanted))
    if goal == "healthy" and ended_badly:
        return f"{name} has ended: {how_it_ended(run)}"
    return None


def _unhealthy(goal: Goal, name: str, target: Target, seen: Seen, now: float) -> str | None:
    if goal == "healthy" and phase_of(target, seen, now) is Phase.UNHEALTHY:
        return f"{name} is unhealthy: {seen.health_text}"
    return None


def _awaited(wanted: Wanted) -> set[str]:
    """Services of which somebody awaits the completion."""
    return {
        need.service
        for target in wanted.targets.values()
        for need in target.service.depends_on
        if need.condition == "service_completed_successfully"
    }
