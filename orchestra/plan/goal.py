"""When a command may say that it is done, and when it has to say that it never will be."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from ..errors import OrchestraError
from ..stack.model import Condition
from ..wire.terminal import line
from . import sharing
from .facts import Facts, Seen, Target, Wanted, jobs
from .phase import Phase, how_it_ended, phase_of
from .standing import Standing, standing, was_started
from .steps import Hold, Plan

Goal = Literal["accepted", "running", "healthy", "stopped", "gone"]


def unmet(
    goal: Goal,
    names: Collection[str],
    wanted: Wanted,
    facts: Facts,
    plan: Plan,
    now: float,
    uses: Collection[str] = (),
) -> list[str]:
    """Which of these containers, and of the services in `uses` that others own, are not there yet.

    Raises OrchestraError when one cannot get there by waiting.
    """
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
        raise OrchestraError("\n".join(map(line, failures)), "orchestra logs and orchestra ps tell more")
    return _unmet_uses(goal, uses, wanted, facts) + [
        name for name in names if not _has_come(goal, name, wanted, facts, now)
    ]


def refuse_overtaken(
    goal: Goal, names: Collection[str], before: Wanted, now: Wanted, changed: Mapping[str, str]
) -> None:
    """Raises OrchestraError when others want the opposite of what is waited for.

    `before`: what was wanted when the waiting began; `changed`: container -> the command that was the last one to
    change what is wanted of it since.
    """
    concerned = set(names) if goal in ("stopped", "gone") else _with_needs(names, before)
    found: dict[tuple[str, str], list[str]] = {}
    for name in sorted(changed.keys() & concerned):
        if what := _turned(goal, before.targets.get(name), now.targets.get(name)):
            found.setdefault((what, changed[name]), []).append(name)
    if found:
        lines = [
            f"{' and '.join(them)} {'was' if len(them) == 1 else 'were'} {what} meanwhile by {by}"
            for (what, by), them in found.items()
        ]
        raise OrchestraError("\n".join(lines), "what was asked for last holds, orchestra ps -a shows it")


def _with_needs(names: Collection[str], wanted: Wanted) -> set[str]:
    """These containers and those without which they do not start."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        if target := wanted.targets.get(name):
            services = {need.service for need in target.service.depends_on if need.required}
            todo += [
                other for other, one in wanted.targets.items() if one.service.name in services and not one.oneoff
            ]
    return found


def _turned(goal: Goal, before: Target | None, now: Target | None) -> str:
    """What others have done to a container that is the opposite of the goal; "" if nothing."""
    if goal == "gone":
        return "" if now is None else "asked for again"
    if goal == "stopped":
        return "" if now is None or now.stopped or now.held else "started"
    if before is None or before.stopped:
        return ""
    if now is None:
        return "taken away"
    if now.stopped:
        return "stopped"
    return "kept from its start" if now.held and not before.held else ""


def _has_come(goal: Goal, name: str, wanted: Wanted, facts: Facts, now: float) -> bool:
    """Also who is not wanted any more (an orphan, a replica too many): `up` ends when it has gone, as docker's."""
    target, seen = wanted.targets.get(name), facts.containers.get(name)
    if target is None:
        return seen is None
    return _is_there(goal, target, seen, now)


def _unmet_uses(goal: Goal, uses: Collection[str], wanted: Wanted, facts: Facts) -> list[str]:
    late = []
    awaited = _awaited(wanted)
    for name, use in sharing.in_force(wanted).items():
        if name in uses:
            condition = _condition(goal, name in awaited)
            reason, hopeless = sharing.unmet(use, condition, facts)
            if reason is not None and hopeless:
                raise OrchestraError(f"cannot use {name}: {name} {reason}", f"orchestra -p {use.stack} ps -a")
            if reason is not None:
                late.append(name)
    return late


def _condition(goal: Goal, awaited: bool) -> Condition:
    """What has to be true of a used service; `awaited`: somebody waits for its completion."""
    if awaited:
        return "service_completed_successfully"
    return "service_healthy" if goal == "healthy" else "service_started"


def _is_there(goal: Goal, target: Target, seen: Seen | None, now: float) -> bool:
    if seen is None or target.replaces:
        return False
    if target.held:
        return seen.made and not seen.busy
    if goal == "running":
        return was_started(target, seen)
    phase = phase_of(target, seen, now)
    stands = standing(target, seen, now) in (Standing.STAYED, Standing.DONE)
    return stands and not seen.busy and phase in (Phase.FINISHED, Phase.RUNNING, Phase.HEALTHY)


def _failure(
    goal: Goal, name: str, wanted: Wanted, facts: Facts, holds: Mapping[str, Hold], now: float
) -> str | None:
    target = wanted.targets.get(name)
    seen = facts.containers.get(name)
    if target is None or target.stopped or target.replaces:
        return None  # one that does not come to replace another is told of by plan/replacing
    hold = holds.get(name)
    if hold is not None and hold.hopeless:
        runs_on = seen is not None and seen.alive
        return f"{name} is not replaced: {hold.reason}" if runs_on else f"cannot start {name}: {hold.reason}"
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
    if goal == "healthy" and phase is Phase.FINISHED and run.code != 0:
        return f"{name} has ended: {how_it_ended(run)}"
    return None


def _unhealthy(goal: Goal, name: str, target: Target, seen: Seen, now: float) -> str | None:
    if goal == "healthy" and phase_of(target, seen, now) is Phase.UNHEALTHY:
        return f"{name} is unhealthy: {seen.health_text}"
    return None


def _awaited(wanted: Wanted) -> set[str]:
    """Services of which somebody awaits the completion."""
    return jobs(target.service for target in wanted.targets.values())
