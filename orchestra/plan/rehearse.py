"""A plan to the end without doing anything: every step is imagined to succeed. For `up --dry-run`, and for tests."""

from __future__ import annotations

from collections.abc import Iterator

from ..stack.model import Network
from ..values import replace
from . import sharing
from .facts import Facts, Guest, Run, Seen, Shared, Wanted, jobs
from .phase import after_end
from .reconcile import reconcile
from .replacing import written
from .steps import (
    Adjust,
    DropNetwork,
    DropVolume,
    GiveBack,
    GoBack,
    Join,
    Kill,
    Launch,
    Lease,
    Make,
    MakeNetwork,
    MakeVolume,
    Part,
    Remove,
    SharingStep,
    Step,
    Stop,
    TakeOver,
)

MOST_LOOKS = 10_000


def rehearse(wanted: Wanted, facts: Facts, stack: str) -> list[str]:
    """Every step that would be taken, in order, with its cause; "nothing to do" if there is none."""
    return [step.describe() for step in imagined(wanted, facts, stack)] or ["nothing to do: all is as it should be"]


def imagined(wanted: Wanted, facts: Facts, stack: str, now: float = 0.0) -> Iterator[Step]:
    """`stack`: its name."""
    awaited = jobs(target.service for target in wanted.targets.values())
    for _ in range(MOST_LOOKS):
        plan = reconcile(wanted, facts, now)
        steps = list(plan)
        if not steps and plan.look_again is None:
            return
        for step in steps:
            yield step
            facts = after(step, wanted, facts, now, awaited)
            wanted = written(wanted, facts.containers, stack, step, now)
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
        case Lease() | Join() | Part() | GiveBack():
            return _shared_after(step, facts)
        case Make(name):
            target = wanted.targets[name]
            return _with(facts, name, Seen(target.service, target.replica, made=True))
        case Launch(name):
            target, seen = wanted.targets[name], facts.containers[name]
            number = seen.run.number + 1 if seen.run else 1
            run = Run(number, target.service.config_hash, target.epoch, now)
            launched = replace(seen, run=run, health="healthy", health_since=now, asked_to_stop=None, killed=False)
            if target.service.name in awaited:
                launched = after_end(launched, replace(run, ended=now, code=0))
            return _with(facts, name, launched)
        case Adjust(name):
            seen, limits = facts.containers[name], wanted.targets[name].service.limits
            return _with(facts, name, replace(seen, service=replace(seen.service, limits=limits)))
        case Stop(name) | Kill(name):
            seen = facts.containers[name]
            assert seen.run is not None
            return _with(facts, name, after_end(seen, replace(seen.run, ended=now, code=0)))
        case Remove(name):
            rest = {other: seen for other, seen in facts.containers.items() if other != name}
            return replace(facts, containers=rest)
        case TakeOver() | GoBack():
            return facts  # what is wanted changes, see plan/replacing


def _shared_after(step: SharingStep, facts: Facts) -> Facts:
    match step:
        case Lease(use):
            key = sharing.key(use)
            runs = facts.shared.get(key)
            if runs is None or not any(guest.alive for guest in runs.guests.values()):
                one = Guest(made=True, alive=True, health="healthy", serving=True)
                runs = Shared({f"{use.stack}-{use.service}-1": one})
            unsure = facts.unsure - {key}
            return replace(facts, leases=facts.leases | {key}, unsure=unsure, shared={**facts.shared, key: runs})
        case Join(owner, service, container, network):
            return _joined(facts, sharing.key_of(owner, service), container, {network.key}, set())
        case Part(owner, service, container, network):
            return _joined(facts, sharing.key_of(owner, service), container, set(), {network.key})
        case GiveBack(owner, service):
            key = sharing.key_of(owner, service)
            rest = {other: shared for other, shared in facts.shared.items() if other != key}
            return replace(facts, leases=facts.leases - {key}, shared=rest)


def _joined(facts: Facts, key: str, container: str, more: set[str], less: set[str]) -> Facts:
    shared = facts.shared[key]
    guest = shared.guests[container]
    guest = replace(guest, joined=(guest.joined | more) - less)
    return replace(facts, shared={**facts.shared, key: replace(shared, guests={**shared.guests, container: guest})})


def _with(facts: Facts, name: str, seen: Seen) -> Facts:
    return replace(facts, containers={**facts.containers, name: seen})


def _without(networks: object, key: str) -> dict[str, Network]:
    assert isinstance(networks, dict)
    return {other: network for other, network in networks.items() if other != key}
