"""What a command changes in what is wanted: `up`, `stop`, `start`, `restart`, `down`. Values in, values out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Literal

from ..errors import OrchestraError
from ..stack.model import Network, Service, Stack
from .facts import Seen, Target, Wanted, targets_of

Recreate = Literal["diverged", "force", "never"]
GENERATION = "~"
"""Behind it stands how often a configuration was replaced by force, so that it counts as another one."""


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
) -> Wanted:
    """What is wanted after `up` of this stack. Raises OrchestraError for a service that it does not have."""
    chosen = _chosen(stack, services, no_deps)
    forced = chosen if services is None else set(services)
    awaited = {
        need.service
        for service in stack.services.values()
        for need in service.depends_on
        if need.condition == "service_completed_successfully"
    }
    targets: dict[str, Target] = {}
    for name, target in targets_of(stack).items():
        service = target.service
        old, one = before.targets.get(name), seen.get(name)
        if service.name not in chosen:
            if old is not None:
                targets[name] = old
            continue
        service = _generation(service, one, recreate if service.name in forced else "diverged")
        epoch = _epoch(old, one, again=not (service.name in awaited and _completed(one)))
        held = no_start and not (one is not None and one.alive)
        targets[name] = Target(service, target.replica, epoch, held=held, grace=grace)
    _propagate(targets, seen)
    for name, target in before.targets.items():
        orphan = target.service.name not in stack.services
        if name not in targets and (target.oneoff or (orphan and not remove_orphans)):
            targets[name] = target
    used = {join.network for target in targets.values() for join in target.service.networks}
    return replace(
        before,
        targets=targets,
        networks={**{key: net for key, net in before.networks.items() if key in used}, **_used(stack.networks, used)},
        volumes={**before.volumes, **stack.volumes},
        discard_volumes=frozenset(),
        leaving_grace=grace,
    )


def orphans(wanted: Wanted, stack: Stack) -> list[str]:
    """Containers of services that the stack file does not have any more, in whatever profile."""
    known = {*stack.services, *stack.disabled}
    return sorted(name for name, one in wanted.targets.items() if not one.oneoff and one.service.name not in known)


def changed(wanted: Wanted, names: Iterable[str], **parts: object) -> Wanted:
    """The same with these parts of these targets."""
    chosen = set(names)
    targets = {
        name: replace(target, **parts) if name in chosen else target  # type: ignore[arg-type]
        for name, target in wanted.targets.items()
    }
    return replace(wanted, targets=targets)


def started(wanted: Wanted, seen: Mapping[str, Seen], names: Iterable[str]) -> Wanted:
    """`start`: what does not run is to run again; what runs is left alone."""
    chosen = set(names)
    targets = dict(wanted.targets)
    for name in chosen & set(targets):
        targets[name] = replace(
            targets[name], stopped=False, held=False, epoch=_epoch(targets[name], seen.get(name), again=True)
        )
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
    moved = set() if no_deps else {targets[name].service.name for name in chosen & set(targets)}
    for name, target in targets.items():
        # Who shares the network of another needs no new run: the network is kept through restarts.
        shared = target.service.network_mode.removeprefix("service:")
        leans = any(need.restart and need.service in moved - {shared} for need in target.service.depends_on)
        if name not in chosen and leans and (one := seen.get(name)) is not None and one.alive:
            targets[name] = replace(target, epoch=target.epoch + 1)
    return replace(wanted, targets=targets)


def without(wanted: Wanted, names: Iterable[str], grace: float | None) -> Wanted:
    """`down` of some: their containers are wanted no more."""
    gone = set(names)
    targets = {name: target for name, target in wanted.targets.items() if name not in gone}
    return replace(wanted, targets=targets, leaving_grace=grace)


def nothing(wanted: Wanted, volumes: bool, grace: float | None) -> Wanted:
    """`down`."""
    names = frozenset(volume.name for volume in wanted.volumes.values() if not volume.external)
    return Wanted(discard_volumes=names if volumes else frozenset(), leaving_grace=grace)


def _chosen(stack: Stack, services: Collection[str] | None, no_deps: bool) -> set[str]:
    if services is None:
        return set(stack.services)
    found: set[str] = set()
    todo = list(services)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        if name not in stack.services:
            raise OrchestraError(f"no such service: {name}", f"services are {', '.join(sorted(stack.services))}")
        found.add(name)
        if not no_deps:
            todo += [need.service for need in stack.services[name].depends_on if need.service in stack.services]
    return found


def _generation(service: Service, one: Seen | None, recreate: Recreate) -> Service:
    if one is None or not one.made:
        return service
    base, _, number = one.service.config_hash.partition(GENERATION)
    if recreate == "never":
        return replace(one.service, scale=service.scale, depends_on=service.depends_on)
    if recreate == "force":
        return replace(service, config_hash=f"{service.config_hash}{GENERATION}{int(number or 0) + 1}")
    return replace(service, config_hash=one.service.config_hash) if base == service.config_hash else service


def _epoch(old: Target | None, one: Seen | None, again: bool) -> int:
    """Raised where a container exists and does not run: asked for anew, it is started anew."""
    epoch = old.epoch if old is not None else 1
    if one is None or one.run is None or one.alive:
        return epoch
    return epoch + 1 if again else epoch


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


def names_of(wanted: Wanted, seen: Mapping[str, Seen], services: Collection[str] | None) -> list[str]:
    """Containers of these services, or all but those made by `run`. Raises OrchestraError for an unknown service."""
    everyone: dict[str, Target | Seen] = {**seen, **wanted.targets}
    if services is None:
        return [name for name, one in everyone.items() if not one.oneoff]
    known = {one.service.name for one in everyone.values()}
    for service in services:
        if service not in known:
            raise OrchestraError(f"no such service: {service}", f"services are {', '.join(sorted(known))}")
    return [name for name, one in everyone.items() if one.service.name in services and not one.oneoff]
