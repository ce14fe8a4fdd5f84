"""What a command changes in what is wanted: `up`, `stop`, `start`, `restart`, `down`. Values in, values out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from ..errors import OrchestraError
from ..stack.model import Network, Service, Stack
from ..values import replace
from .changes import CONTENTS, GENERATION, said_of
from .clashes import refuse_clashes
from .facts import Replacement, Seen, Target, Wanted, container_name, jobs
from .replacing import free_name, undrained, why_in_place
from .update import as_updated

Recreate = Literal["diverged", "force", "never"]


def applied(
    before: Wanted,
    seen: Mapping[str, Seen],
    stack: Stack,
    services: Collection[str] | None,
    recreate: Recreate,
    no_deps: bool,
    no_start: bool,
    remove_orphans: bool,
    grace: float | None = None,
    lent: bool = False,
) -> Wanted:
    """What is wanted after `up` of this stack. Raises OrchestraError for a service that it does not have.

    `lent`: it is not a person who asks, but a stack that uses these services.
    """
    chosen = _chosen(stack, services, no_deps)
    forced = chosen if services is None else set(services)
    _refuse_shared_names(before, stack, chosen)
    awaited = jobs(stack.services.values())
    targets: dict[str, Target] = {}
    replacements: dict[str, Replacement] = {}
    for service in stack.services.values():
        mine = {name: one for name, one in before.targets.items() if one.service.name == service.name}
        if service.name not in chosen:
            targets.update(mine)
            continue
        asked = recreate if service.name in forced else "diverged"
        service = service if asked == "force" else as_updated(service, before)
        in_place = no_start or bool(why_in_place(service, stack, before))
        replicas = _replicas(before, seen, stack, service)
        for name, number in replicas.items():
            old, one = mine.get(name), seen.get(name)
            wished = _generation(service, one, asked)
            if not in_place and old is not None and one is not None and _is_to_be_replaced(one, wished):
                # It goes on as it is until the new one is ready, see plan/replacing.
                went_on = replace(one.service, scale=service.scale)
                targets[name] = replace(old, service=went_on, lent=lent and old.lent)
                taken = {*replicas, *targets, *before.targets, *before.draining, *seen}
                fresh, new = _successor(before, seen, stack, name, wished, taken)
                targets[fresh] = replace(new, grace=grace, lent=lent and old.lent)
                record = before.replacements.get(service.name) if fresh in before.targets else None
                replacements.setdefault(service.name, record or Replacement(one.service))
                continue
            epoch = _epoch(old, one, again=not (service.name in awaited and _completed(one)))
            held = no_start and not (one is not None and one.alive)
            only_lent = lent and (old is None or old.lent)
            targets[name] = Target(wished, number, epoch, held=held, lent=only_lent, grace=grace)
    _propagate(targets, seen)
    for name, target in before.targets.items():
        if name in targets:
            continue
        if target.oneoff:
            targets[name] = target
        elif not _is_known(target.service.name, stack):
            if not remove_orphans and (left := _left_alone(target, seen.get(name))):
                targets[name] = left
        elif target.service.name not in stack.services:
            targets[name] = target  # of a profile that is off
    refuse_clashes(targets, seen, chosen, stack.places, {*stack.services, *stack.disabled})
    uses = {name: use for name, use in stack.uses.items() if name in chosen or name in before.uses}
    used = {join.network for target in targets.values() for join in target.service.networks}
    used |= {join.network for use in uses.values() for join in use.networks}
    return replace(
        before,
        targets=targets,
        networks={**{key: net for key, net in before.networks.items() if key in used}, **_used(stack.networks, used)},
        volumes={**before.volumes, **stack.volumes},
        uses=uses,
        discard_volumes=frozenset(),
        leaving_grace=grace,
        draining={name: one for name, one in before.draining.items() if name in seen},
        replacements={
            **{name: one for name, one in before.replacements.items() if name not in chosen},
            **replacements,
        },
    )


def _refuse_shared_names(before: Wanted, stack: Stack, chosen: Collection[str]) -> None:
    """Containers are found by their names, so two services cannot have the same, whether they run or not."""
    owners = {
        name: one.service.name
        for name, one in before.targets.items()
        if one.service.name in stack.services and one.service.name not in chosen
    }
    for service in stack.services.values():
        if service.name not in chosen:
            continue
        for number in range(1, service.scale + 1):
            name = container_name(stack.name, service, number)
            other = owners.setdefault(name, service.name)
            if other == service.name:
                continue
            if other in chosen:
                path = f"services.{service.name}.container_name"
                where = f"{stack.places[path]}: " if path in stack.places else ""
                what = f"{where}{service.name} and {other} both want the name {name}"
                raise OrchestraError(what, f"ask for one of them: orchestra up {other}")
            what = f"cannot start {service.name}: {name} is the name of a container of {other}"
            raise OrchestraError(what, f"orchestra rm -s {other}, or choose another name")


def _replicas(before: Wanted, seen: Mapping[str, Seen], stack: Stack, service: Service) -> dict[str, int]:
    """Container -> number: those that are there keep their names, those that serve before others, the lowest numbers
    first; more of them get the lowest free ones."""
    kept = sorted(
        (not _is_fit(seen.get(name)), one.replica, name)
        for name, one in before.targets.items()
        if one.service.name == service.name
        and not (one.oneoff or one.replaces)
        and name == container_name(stack.name, service, one.replica)
    )
    found = {name: number for _, number, name in kept[: service.scale]}
    others = {*before.draining, *(name for name, one in before.targets.items() if one.replaces)}
    while len(found) < service.scale:
        name, number = free_name(stack.name, service, {*found, *others})
        found[name] = number
    return found


def _is_fit(one: Seen | None) -> bool:
    return one is not None and one.alive and (one.health == "healthy" or one.service.healthcheck is None)


def _is_to_be_replaced(one: Seen, wished: Service) -> bool:
    return one.alive and one.asked_to_stop is None and one.service.config_hash != wished.config_hash


def _successor(
    before: Wanted, seen: Mapping[str, Seen], stack: Stack, name: str, wished: Service, taken: Collection[str]
) -> tuple[str, Target]:
    """The container that is to replace this one: the one that is at it already if it is from the same, or another."""
    for other, target in before.targets.items():
        if target.replaces == name and target.service.config_hash == wished.config_hash:
            epoch = _epoch(target, seen.get(other), again=True)
            return other, replace(target, service=wished, epoch=epoch, stopped=False, held=False)
    fresh, number = free_name(stack.name, wished, taken)
    return fresh, Target(wished, number, replaces=name)


def concerned(
    before: Wanted, wanted: Wanted, seen: Mapping[str, Seen], stack: Stack, services: Collection[str] | None
) -> list[str]:
    """Containers that `up` of these services is about: theirs, and those that it takes away."""
    asked = stack.services if services is None else services
    everyone: dict[str, Target | Seen] = {**seen, **before.targets, **wanted.targets}
    return [
        name
        for name, one in everyone.items()
        if not one.oneoff and (one.service.name in asked or (name in before.targets and name not in wanted.targets))
    ]


def orphans(wanted: Wanted, stack: Stack) -> list[str]:
    """Containers of services that the stack file does not have any more, in whatever profile."""
    return sorted(
        name for name, one in wanted.targets.items() if not (one.oneoff or _is_known(one.service.name, stack))
    )


def _is_known(service: str, stack: Stack) -> bool:
    return service in stack.services or service in stack.uses or service in stack.disabled


def _left_alone(target: Target, one: Seen | None) -> Target | None:
    """What is wanted of an orphan: that it is as it is. It is not started, replaced, nor does it replace another."""
    if one is None or not one.made or target.replaces:
        return None
    if one.run is None or _is_to_start(target, one):
        return replace(target, service=one.service, held=True)
    if one.alive and one.asked_to_stop is None:
        return replace(target, service=one.service, epoch=one.run.epoch)
    return target


def changed(wanted: Wanted, names: Iterable[str], **parts: object) -> Wanted:
    """The same with these parts of these targets."""
    chosen = set(names)
    targets = {
        name: replace(target, **parts) if name in chosen else target  # type: ignore[arg-type]
        for name, target in wanted.targets.items()
    }
    return undrained(replace(wanted, targets=targets), chosen)


def started(wanted: Wanted, seen: Mapping[str, Seen], names: Iterable[str]) -> Wanted:
    """`start`: what does not run is to run again; what runs is left alone."""
    chosen = set(names)
    targets = dict(wanted.targets)
    for name in chosen & set(targets):
        epoch = _epoch(targets[name], seen.get(name), again=True)
        targets[name] = replace(targets[name], stopped=False, held=False, epoch=epoch, grace=None)
    refuse_clashes(targets, seen, {targets[name].service.name for name in chosen & set(targets)}, {})
    return replace(wanted, targets=targets)


def restarted(
    wanted: Wanted, seen: Mapping[str, Seen], names: Iterable[str], grace: float | None, no_deps: bool = False
) -> Wanted:
    """`restart`: a new run of each and, without `no_deps`, of whoever depends on them with `restart: true`."""
    chosen = set(names)
    targets = dict(wanted.targets)
    for name in chosen & set(targets):
        target = targets[name]
        targets[name] = replace(target, stopped=False, held=False, epoch=target.epoch + 1, grace=grace)
    moved = {targets[name].service.name for name in chosen & set(targets)}
    for name, target in targets.items():
        # Who shares the network of another needs no new run: the network is kept through restarts.
        shared = target.service.network_mode.removeprefix("service:")
        needs = () if no_deps else target.service.depends_on
        leans = any(need.restart and need.service in moved - {shared} for need in needs)
        if name not in chosen and leans and (one := seen.get(name)) is not None and one.alive:
            targets[name] = replace(target, epoch=target.epoch + 1)
    refuse_clashes(targets, seen, moved, {})
    return replace(wanted, targets=targets)


def without(wanted: Wanted, seen: Mapping[str, Seen], names: Iterable[str], grace: float | None) -> Wanted:
    """`down` of some: their containers are wanted no more. Who still waits for one of them is not started."""
    gone = set(names)
    targets = {name: target for name, target in wanted.targets.items() if name not in gone}
    missing = _services(wanted.targets) - _services(targets)
    for name, target in list(targets.items()):
        leans = any(need.required and need.service in missing for need in target.service.depends_on)
        if not (leans and _is_to_start(target, seen.get(name))):
            continue
        if target.oneoff:
            del targets[name]
        else:
            targets[name] = replace(target, held=True)
    return undrained(replace(wanted, targets=targets, leaving_grace=grace), gone)


def _services(targets: Mapping[str, Target]) -> set[str]:
    return {target.service.name for target in targets.values() if not target.oneoff}


def _is_to_start(target: Target, one: Seen | None) -> bool:
    """Whether nothing has run yet of what is wanted now."""
    if one is None or one.run is None:
        return True
    run = one.run
    return not run.alive and (run.epoch < target.epoch or run.config != target.service.config_hash)


def nothing(wanted: Wanted, volumes: bool, grace: float | None) -> Wanted:
    """`down`."""
    names = frozenset(volume.name for volume in wanted.volumes.values() if not volume.external)
    return Wanted(discard_volumes=names if volumes else frozenset(), leaving_grace=grace)


def _chosen(stack: Stack, services: Collection[str] | None, no_deps: bool) -> set[str]:
    if services is None:
        return {*stack.services, *stack.uses}
    found: set[str] = set()
    todo = list(services)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        if name not in stack.services and name not in stack.uses:
            known = sorted({*stack.services, *stack.uses})
            raise OrchestraError(f"no such service: {name}", f"services are {', '.join(known)}")
        found.add(name)
        if not no_deps and name in stack.services:
            there = {*stack.services, *stack.uses}
            todo += [need.service for need in stack.services[name].depends_on if need.service in there]
    return found


def _generation(service: Service, one: Seen | None, recreate: Recreate) -> Service:
    if one is None or not one.made:
        return service
    base, _, number = one.service.config_hash.partition(GENERATION)
    # A restart since has given it what its files said by then.
    had = f"{said_of(one.service)}{CONTENTS}{one.contents}" if one.contents else base
    if recreate == "never":
        return replace(one.service, scale=service.scale, depends_on=service.depends_on)
    if had == service.config_hash and recreate == "diverged":
        return replace(service, config_hash=one.service.config_hash)
    if recreate == "force" or base == service.config_hash:
        return replace(service, config_hash=f"{service.config_hash}{GENERATION}{int(number or 0) + 1}")
    return service


def _epoch(old: Target | None, one: Seen | None, again: bool) -> int:
    """Raised where a container exists and does not run, or is about to end: asked for anew, it is started anew."""
    epoch = old.epoch if old is not None else 1
    if one is None or one.run is None or (one.alive and not _is_ending(old, one)):
        return epoch
    return max(epoch, one.run.epoch) + 1 if again else epoch


def _is_ending(old: Target | None, one: Seen) -> bool:
    """Whether this run has been told to stop, or is just being told so: that cannot be taken back."""
    return one.asked_to_stop is not None or (one.busy and (old is None or old.stopped))


def _completed(one: Seen | None) -> bool:
    return one is not None and one.run is not None and not one.run.alive and one.run.code == 0


def _propagate(targets: dict[str, Target], seen: Mapping[str, Seen]) -> None:
    """depends_on with `restart: true`: who leans on what is about to be replaced gets a new run as well."""
    replaced = {
        target.service.name
        for name, target in targets.items()
        if (one := seen.get(name)) and one.alive and one.service.config_hash != target.service.config_hash
    }
    for name, target in targets.items():
        leans = any(need.restart and need.service in replaced for need in target.service.depends_on)
        if leans and target.service.name not in replaced and (one := seen.get(name)) and one.alive:
            targets[name] = replace(target, epoch=target.epoch + 1)


def _used(networks: Mapping[str, Network], used: set[str]) -> dict[str, Network]:
    return {key: network for key, network in networks.items() if key in used}


def names_of(
    wanted: Wanted, seen: Mapping[str, Seen], services: Collection[str] | None, verb: str = "…"
) -> list[str]:
    """Containers of these services, or all but those made by `run`. `verb`: what is asked of them.

    Raises OrchestraError for an unknown service, and for one that another stack owns.
    """
    everyone: dict[str, Target | Seen] = {**seen, **wanted.targets}
    if services is None:
        return [name for name, one in everyone.items() if not one.oneoff]
    known = {one.service.name for one in everyone.values()}
    for service in services:
        if use := wanted.uses.get(service):
            raise OrchestraError(
                f"{service} belongs to stack {use.stack}",
                f"orchestra -p {use.stack} {verb} {use.service}",
            )
        if service not in known:
            hint = "orchestra ps -a shows which there are, orchestra up makes what is missing"
            raise OrchestraError(f"there is no container of {service}", hint)
    return [name for name, one in everyone.items() if one.service.name in services and not one.oneoff]
