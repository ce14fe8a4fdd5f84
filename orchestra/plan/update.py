"""`update`: other limits for what runs, without another run of it.

Note [Who wins]: what `update` changed is part of what is wanted, so it survives restarts, crashes and reboots, and an
`up` of an unchanged service leaves it alone, its new replicas included. The stack file wins as soon as it says
something new about that service (its container is replaced then, by what the file says), and with --force-recreate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..errors import OrchestraError
from ..stack.model import Limits, Restart, Service
from ..values import replace
from .changes import different_keys, said_of
from .facts import Wanted


def updated(wanted: Wanted, names: Collection[str], limits: Mapping[str, Any], restart: Restart | None) -> Wanted:
    """The same with these limits (None lifts one) and this policy. Raises OrchestraError for what cannot be."""
    targets = dict(wanted.targets)
    for name in names:
        if (target := targets.get(name)) is None:
            continue
        service = target.service
        new = _with(service.limits, limits)
        _check(service, new)
        targets[name] = replace(target, service=replace(service, limits=new, restart=restart or service.restart))
    return replace(wanted, targets=targets)


def _with(old: Limits, given: Mapping[str, Any]) -> Limits:
    if "cpus" in given:  # the two ways to say it exclude each other, and the new one counts
        return replace(old, **{"cpu_quota": None, "cpu_period": None, **given})
    if "cpu_quota" in given or "cpu_period" in given:
        return replace(old, **{"cpus": None, **given})
    return replace(old, **given)


def _check(service: Service, limits: Limits) -> None:
    from ..stack.limits import contradictions

    for _, what in contradictions(limits):
        raise OrchestraError(f"cannot update {service.name}: {what}")
    if (limits.ingress or limits.egress) and service.network_mode:
        raise OrchestraError(
            f"cannot update {service.name}: with network_mode {service.network_mode} it has no link of its own",
            "leave out --network-ingress and --network-egress",
        )


def as_updated(service: Service, before: Wanted) -> Service:
    """A service of the stack file as `update` left it, if the file says nothing new: see Note [Who wins]."""
    for target in before.targets.values():
        old = target.service
        if old.name == service.name and not target.oneoff and said_of(old) == said_of(service):
            return replace(service, limits=old.limits, restart=old.restart)
    return service


def why_adjusted(old: Service, new: Service) -> str:
    return f"{' and '.join(different_keys(old.limits, new.limits))} changed"
