"""start-first: a changed container is started beside the one that it replaces, and takes over once it is ready.

Note [How a replacement goes]
Both have a target meanwhile: the old one its own as ever, so that it is taken care of; the new one under the next
free replica number, as scaling would name it, with `replaces` set. A name is what sandbox, address, log and layers of
a container are found by, so it cannot be handed on to a second container that exists at the same time. Then either

- the new one is ready: `TakeOver`. Its target loses `replaces`, the old one its target; it is noted as draining, and
  is stopped when its connections have ended, nobody outside needs it and the pause for names that were asked for just
  before is over, at the latest after `drain` seconds;
- or it will not become ready: `GoBack`. Its target goes. What had taken over before goes back the same way, by
  containers made from what there was (`failure_action`).

Everything that this needs is in the book (`Wanted`), so whoever is killed in the middle, it goes on where it was.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..stack.beside import why_not_beside
from ..stack.model import Service, Stack
from ..values import dataclass, replace
from .facts import Draining, Facts, Replacement, Seen, Target, Wanted, container_name
from .phase import Phase, how_it_ended, phase_of
from .steps import GoBack, Remove, Step, TakeOver

LINGER = 1.5
"""Seconds that an old container goes on listening in any case: who asked for its name just before comes yet. More
than the time for which an answer may be remembered (wire/dns, TTL)."""


# Who serves


def serves(wanted: Wanted, name: str) -> bool:
    """Whether the service's names and ports lead to this container."""
    target = wanted.targets.get(name)
    return name not in wanted.draining and not (target is not None and target.replaces)


def moving(wanted: Wanted, facts: Facts, services: Collection[str]) -> list[str]:
    """Containers of these services that are about to take over, or to go: replaced, given up or too many."""
    coming = [name for name, one in wanted.targets.items() if one.replaces and one.service.name in services]
    going = [
        name for name, one in facts.containers.items() if one.service.name in services and name not in wanted.targets
    ]
    return sorted(coming + going)


def failures(wanted: Wanted, services: Collection[str]) -> list[str]:
    """What became of replacements that did not succeed."""
    return [
        f"{service} was not replaced: {name} {why}"
        for service, one in sorted(wanted.replacements.items())
        if service in services
        for name, why in one.failed.items()
    ]


def told(wanted: Wanted, name: str) -> str:
    """Which part a container has in a replacement, for people; "" if none."""
    if not wanted.replacements:
        return ""  # nobody replaces anybody, which is asked for each container
    target = wanted.targets.get(name)
    if target is not None and target.replaces:
        return f"replacing {target.replaces}, which serves until {name} is ready"
    successor = next((other for other, one in wanted.targets.items() if one.replaces == name), None)
    return f"serves until {successor} is ready" if successor else ""


# When it is asked for


def why_in_place(service: Service, stack: Stack, before: Wanted) -> str:
    """Why containers of this service have to stop before their successors start; "" if they need not."""
    if service.update.order != "start-first":
        return "order: stop-first"
    return why_not_beside(service, stack.services.values()) or _made_anew(service, stack, before)


def in_place(stack: Stack, before: Wanted, after: Wanted, seen: Mapping[str, Seen]) -> list[str]:
    """What a person has to know who has read start-first in the file: what the file alone does not tell."""
    return [
        f"{service.name} stops before it starts anew: {reason}"
        for service in stack.services.values()
        if service.update.order == "start-first" and (reason := _made_anew(service, stack, before))
        if any(
            one.service.name == service.name and seen[name].service.config_hash != one.service.config_hash
            for name, one in after.targets.items()
            if name in seen
        )
    ]


def _made_anew(service: Service, stack: Stack, before: Wanted) -> str:
    for join in service.networks:
        if join.network in before.networks and before.networks[join.network] != stack.networks.get(join.network):
            return f"network {join.network} is made anew"
    for mount in service.mounts:
        if mount.source in before.volumes and before.volumes[mount.source] != stack.volumes.get(mount.source):
            return f"volume {mount.source} is another one now"
    return ""


def free_name(stack: str, service: Service, taken: Collection[str]) -> tuple[str, int]:
    """Name and number of one more replica: the lowest number that is not taken."""
    number = 1
    while (name := container_name(stack, service, number)) in taken:
        number += 1
    return name, number


# What follows from the facts


@dataclass(frozen=True, slots=True)
class Verdict:
    """`again`: when time alone may change it."""

    ready: bool = False
    failure: str = ""
    again: float | None = None


def judged(target: Target, seen: Seen | None, now: float) -> Verdict:
    """Whether a new container may take over, or never will."""
    if seen is None or not seen.made:
        return Verdict(failure=f"could not be made: {seen.trouble}" if seen is not None and seen.trouble else "")
    run = seen.run
    if run is None or run.epoch < target.epoch or run.config != target.service.config_hash:
        return Verdict()
    phase = phase_of(target, seen, now)
    if phase in (Phase.STOPPED, Phase.OUTDATED):
        return Verdict()
    if not run.alive:
        done = phase is Phase.FINISHED and run.code == 0
        return Verdict(ready=True) if done else Verdict(failure=f"has ended: {how_it_ended(run)}")
    if phase is Phase.UNHEALTHY:
        return Verdict(failure=f"is unhealthy: {seen.health_text}")
    if phase is Phase.STARTING:
        return Verdict()
    at = (seen.health_since if phase is Phase.HEALTHY else run.started) + target.service.update.monitor
    return Verdict(ready=True) if now >= at else Verdict(again=at)


def why_not_yet(wanted: Wanted, facts: Facts, name: str, now: float) -> tuple[str, float | None]:
    """Why a new container is not even made: others have their turn (`parallelism`, `delay`). When to look again."""
    target = wanted.targets[name]
    service, policy = target.service.name, target.service.update
    coming = _in_turn(wanted, service)
    begun = [each for each in coming if (one := facts.containers.get(each)) and (one.made or one.busy)]
    if name in begun:
        return "", None
    going = [old for old, one in wanted.draining.items() if one.service == service and old in facts.containers]
    room = (policy.parallelism or len(coming)) - len(begun) - len(going)
    if [each for each in coming if each not in begun].index(name) >= room:
        first = begun[0] if begun else wanted.draining[going[0]].by if going else coming[0]
        return f"replaces {target.replaces} after {first} has taken over", None
    record = wanted.replacements.get(service)
    if record is not None and record.last is not None and now < record.last + policy.delay:
        at = record.last + policy.delay
        return f"replaces {target.replaces} in {at - now:.1f} s", at
    return "", None


def why_not_stopped_yet(wanted: Wanted, facts: Facts, name: str, now: float) -> tuple[str, float | None, bool]:
    """stop-first: why a changed container runs on: others have their turn, or one has failed (`failure_action`).
    When to look again; whether time alone will not change it."""
    target = wanted.targets[name]
    policy = target.service.update
    if not policy.parallelism:
        return "", None, False
    mine = {
        each: one
        for each, one in sorted(wanted.targets.items(), key=lambda item: item[1].replica)
        if one.service.name == target.service.name and not (one.oneoff or one.replaces or one.stopped or one.held)
    }
    waiting = [each for each, one in mine.items() if _runs_on(facts.containers.get(each), one)]
    if name not in waiting:
        return "", None, False
    verdicts = {
        each: judged(one, facts.containers.get(each), now) for each, one in mine.items() if each not in waiting
    }
    failed = [f"{each} {verdict.failure}" for each, verdict in verdicts.items() if verdict.failure]
    if failed and policy.failure_action != "continue" and len(failed) > policy.max_failure_ratio * len(mine):
        return failed[0], None, True
    under_way = [each for each, verdict in verdicts.items() if not (verdict.ready or verdict.failure)]
    again = min((verdict.again for verdict in verdicts.values() if verdict.again is not None), default=None)
    if waiting.index(name) >= policy.parallelism - len(under_way):
        return f"is replaced after {under_way[0] if under_way else waiting[0]}", again, False
    ready = [_ready_since(facts.containers[each]) for each, verdict in verdicts.items() if verdict.ready]
    at = max(ready, default=now - policy.delay) + policy.delay
    return (f"is replaced in {at - now:.1f} s", at, False) if now < at else ("", None, False)


def _runs_on(seen: Seen | None, target: Target) -> bool:
    changed = seen is not None and seen.service.config_hash != target.service.config_hash
    return changed and seen is not None and seen.alive and seen.asked_to_stop is None


def _ready_since(seen: Seen) -> float:
    assert seen.run is not None
    return seen.health_since if seen.service.healthcheck else seen.run.started


def why_draining(one: Draining, facts: Facts, name: str, now: float) -> tuple[str, float | None]:
    """Why a container that was taken over from is not stopped yet; and when to look again."""
    if needed := facts.needed.get(name):
        # Whoever joins a service of ours from elsewhere goes on with the old container until he has joined the new.
        return f"{one.by} has taken over, {needed}", None
    end = min(one.since, now) + one.longest
    linger = min(one.since, now) + min(LINGER, one.longest)
    open_ = facts.connections.get(name, 0)
    if now < linger or (now < end and open_):
        have = f"{open_} connection{'s' if open_ != 1 else ''} left"
        return f"{one.by} has taken over, {have}, {end - now:.1f} s at most", (
            end if open_ and now >= linger else linger
        )
    return "", None


# What is written into the book


def taken_over(wanted: Wanted, seen: Mapping[str, Seen], name: str, now: float) -> Wanted:
    """The new container is the service's; the old one drains. Nothing, if somebody wanted otherwise meanwhile."""
    target = wanted.targets.get(name)
    if target is None or not target.replaces:
        return wanted
    targets, draining = dict(wanted.targets), dict(wanted.draining)
    service = target.service.name
    targets[name] = replace(target, replaces="")
    if targets.pop(target.replaces, None) is not None:
        draining[target.replaces] = Draining(service, name, now, target.service.update.drain)
    replacements = dict(wanted.replacements)
    if record := replacements.get(service):
        replacements[service] = replace(record, last=now)
    changed = replace(wanted, targets=targets, draining=draining, replacements=replacements)
    return changed if _in_turn(changed, service) else _completed(changed, seen, service)


def _completed(wanted: Wanted, seen: Mapping[str, Seen], service: str) -> Wanted:
    """The last one has taken over: who leans on the service with `restart: true` gets a new run."""
    record = wanted.replacements.get(service)
    failed = record is not None and (record.failed or record.going_back)
    kept = {each: one for each, one in wanted.replacements.items() if each != service or failed}
    targets = dict(wanted.targets)
    for name, target in targets.items():
        leans = any(need.restart and need.service == service for need in target.service.depends_on)
        if leans and (one := seen.get(name)) is not None and one.alive:
            targets[name] = replace(target, epoch=target.epoch + 1)
    return _only_used(replace(wanted, targets=targets, replacements=kept))


def gone_back(wanted: Wanted, seen: Mapping[str, Seen], stack: str, name: str, cause: str) -> Wanted:
    """Without the container that failed; and, as `failure_action` has it, with what there was before."""
    target = wanted.targets.get(name)
    if target is None or not target.replaces:
        return wanted
    service, policy = target.service.name, target.service.update
    old = wanted.targets.get(target.replaces)
    record = wanted.replacements.get(service) or Replacement(old.service if old else target.service)
    record = replace(record, failed={**record.failed, name: cause})
    replacements = {**wanted.replacements, service: record}
    tolerated = len(record.failed) <= policy.max_failure_ratio * target.service.scale
    goes_on = tolerated or policy.failure_action == "continue"
    dropped = [name] if goes_on else _in_turn(wanted, service)
    targets = {each: one for each, one in wanted.targets.items() if each not in dropped}
    if not goes_on and policy.failure_action == "rollback" and not record.going_back:
        replacements[service] = replace(record, going_back=True)
        targets.update(_back(wanted, targets, seen, stack, target.service, record.before))
    return _only_used(replace(wanted, targets=targets, replacements=replacements))


def _back(
    wanted: Wanted,
    targets: Mapping[str, Target],
    seen: Mapping[str, Seen],
    stack: str,
    new: Service,
    before: Service,
) -> dict[str, Target]:
    """Containers of what there was, for those that have taken over from it already."""
    found: dict[str, Target] = {}
    former = replace(before, update=new.rollback or new.update)
    for name, target in targets.items():
        if target.service.name == new.name and not target.oneoff and target.service.config_hash == new.config_hash:
            fresh, number = free_name(stack, former, {*wanted.targets, *seen, *wanted.draining, *found})
            found[fresh] = Target(former, number, lent=target.lent, replaces=name)
    return found


def written(wanted: Wanted, seen: Mapping[str, Seen], stack: str, step: Step, now: float) -> Wanted:
    """What is wanted after this step: most change only what is so."""
    match step:
        case TakeOver(name):
            return taken_over(wanted, seen, name, now)
        case GoBack(name, cause):
            return gone_back(wanted, seen, stack, name, cause)
        case Remove(name):
            return undrained(wanted, [name])
    return wanted


def undrained(wanted: Wanted, names: Collection[str]) -> Wanted:
    """These need not drain any more: they are to stop at once, or are gone."""
    if not any(name in wanted.draining for name in names):
        return wanted
    return replace(wanted, draining={name: one for name, one in wanted.draining.items() if name not in names})


def _in_turn(wanted: Wanted, service: str) -> list[str]:
    """New containers of a service that have not taken over, in the order of those that they replace."""
    coming = [(name, one) for name, one in wanted.targets.items() if one.replaces and one.service.name == service]

    def place(item: tuple[str, Target]) -> tuple[int, str]:
        old = wanted.targets.get(item[1].replaces)
        return (old.replica if old else 0, item[0])

    return [name for name, _ in sorted(coming, key=place)]


def _only_used(wanted: Wanted) -> Wanted:
    used = {join.network for target in wanted.targets.values() for join in target.service.networks}
    used |= {join.network for use in wanted.uses.values() for join in use.networks}
    return replace(wanted, networks={key: net for key, net in wanted.networks.items() if key in used})
