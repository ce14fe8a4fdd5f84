"""A plan to the end without doing anything: every step is imagined to succeed. For `up --dry-run`, and for tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..stack.model import Network
from .facts import Facts, Run, Seen, Wanted
from .phase import after_end
from .reconcile import reconcile
from .steps import (
    DropNetwork,
    DropVolume,
    Kill,
    Launch,
    Make,
    MakeNetwork,
    MakeVolume,
    Remove,
    Step,
    Stop,
)

MOST_LOOKS = 10_000


def rehearse(wanted: Wanted, facts: Facts) -> list[str]:
    """Every step that would be taken, in order, with its cause; "nothing to do" if there is none."""
    return [step.describe() for step in imagined(wanted, facts)] or ["nothing to do: all is as it should be"]


def imagined(wanted: Wanted, facts: Facts, now: float = 0.0) -> Iterator[Step]:
    awaited = {
        need.service
        for target in wanted.targets.values()
        for need in target.service.depends_on
        if need.condition == "service_completed_successfully"
    }
    for _ in range(MOST_LOOKS):
        plan = reconcile(wanted, facts, now)
        steps = list(plan)
        if not steps and plan.look_again is None:
            return
        for step in steps:
            yield step
            facts = after(step, wanted, facts, now, awaited)
        now += plan.look_again or 0.0


def after(step: Step, wanted: Wanted, facts: Facts, now: float, awaited: set[str]) -> Facts:
    """The facts once this step has succeeded, every service healthy at once and every job done at once."""
    match step:
        case MakeNetwork(network):
            return replace(facts, networks={**facts.networks, network.key: network})
        case DropNetwork(network):
            return replace(facts, networks=_without(facts.networks, network.key))
        case MakeVolume(volume):
            return replace(facts, volumes=facts.volumes | {volume.name})
        case DropVolume(name):
            return replace(facts, volumes=facts.volumes - {name})
        case Make(name):
            target = wanted.targets[name]
            return _with(facts, name, Seen(target.service, target.replica, made=True))
        case Launch(name):
            target, seen = wanted.targets[name], facts.containers[name]
            number = seen.run.number + 1 if seen.run else 1
            run = Run(number, target.service.config_hash, target.epoch, now)
            launched = replace(seen, run=run, health="healthy", asked_to_stop=None, killed=False)
            if target.service.name in awaited:
                launched = after_end(launched, replace(run, ended=now, code=0))
            return _with(facts, name, launched)
        case Stop(name) | Kill(name):
            seen = facts.containers[name]
            assert seen.run is not None
            return _with(facts, name, after_end(seen, replace(seen.run, ended=now, code=0)))
        case Remove(name):
            rest = {other: seen for other, seen in facts.containers.items() if other != name}
            return replace(facts, containers=rest)


def _with(facts: Facts, name: str, seen: Seen) -> Facts:
    return replace(facts, containers={**facts.containers, name: seen})


def _without(networks: object, key: str) -> dict[str, Network]:
    assert isinstance(networks, dict)
    return {other: network for other, network in networks.items() if other != key}
