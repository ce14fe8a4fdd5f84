"""Containers as people see them, and in one sentence why each is where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..stack.model import HostRoot
from ..wire.api import PortRow, Row, State
from .facts import Seen, Target
from .phase import Phase, due_at, how_it_ended, phase_of
from .reconcile import ASKED, ordinal, why_outdated
from .steps import Hold

STATES: Mapping[Phase, State] = {
    Phase.ABSENT: "waiting",
    Phase.CREATED: "created",
    Phase.STARTING: "running",
    Phase.RUNNING: "running",
    Phase.HEALTHY: "running",
    Phase.UNHEALTHY: "running",
    Phase.OUTDATED: "stopping",
    Phase.BACKING_OFF: "restarting",
    Phase.DUE: "restarting",
    Phase.FINISHED: "exited",
    Phase.GAVE_UP: "dead",
    Phase.STOPPED: "exited",
}


def row_of(
    name: str,
    target: Target | None,
    seen: Seen | None,
    hold: Hold | None,
    ports: Sequence[PortRow],
    addresses: Mapping[str, str],
    logs: str,
    now: float,
    wall: float,
) -> Row:
    """`now` and `wall`: the same moment, monotonic and since the epoch."""
    one = seen or target
    assert one is not None
    service = (target or one).service
    run = seen.run if seen else None
    state = _state(target, seen, hold, now)
    ended = run.ended if run else None
    return {
        "name": name,
        "service": service.name,
        "replica": one.replica,
        "oneoff": one.oneoff,
        "state": state,
        "health": seen.health if seen and seen.alive and service.healthcheck else "",
        "pid": None,
        "run": run.number if run else 0,
        "restarts": seen.restarts if seen else 0,
        "created": wall - now + (seen.made_at if seen and seen.made else now),
        "started": wall - now + run.started if run else None,
        "ended": None if ended is None else wall - now + ended,
        "exit_code": run.code if run and not run.alive else None,
        "last_exit": seen.last_exit if seen else "",
        "why": _why(target, seen, hold, now),
        "ports": list(ports),
        "addresses": dict(addresses),
        "image": "rootfs:host" if isinstance(service.rootfs, HostRoot) else f"rootfs:{service.rootfs.path}",
        "command": " ".join([*service.entrypoint, *service.command]),
        "logs": logs,
        "labels": dict(service.labels),
    }


def _state(target: Target | None, seen: Seen | None, hold: Hold | None, now: float) -> State:
    if seen is not None and seen.alive and (target is None or seen.asked_to_stop is not None):
        return "stopping"
    if target is None:
        return "exited"
    phase = phase_of(target, seen, now)
    if phase is Phase.STOPPED and (seen is None or seen.run is None):
        return "created"
    if phase is Phase.CREATED and hold is not None:
        return "waiting"
    return STATES[phase]


def _why(target: Target | None, seen: Seen | None, hold: Hold | None, now: float) -> str:
    if target is None:
        return f"going: {hold.reason}" if hold else "going"
    phase = phase_of(target, seen, now)
    if hold is not None and phase in (Phase.ABSENT, Phase.CREATED):
        return f"waiting: {hold.reason}"
    if seen is not None and phase is Phase.OUTDATED:
        left = f", {hold.reason.removeprefix(ASKED)}" if hold is not None and hold.reason.startswith(ASKED) else ""
        return f"stopping: {why_outdated(target, seen)}{left}"
    if seen is None or seen.run is None:
        return ""
    if phase is Phase.BACKING_OFF:
        wait = due_at(seen, seen.run) - now
        return f"restarting in {wait:.1f} s ({ordinal(seen.restarts + 1)}): {how_it_ended(seen.run)}"
    if phase is Phase.UNHEALTHY:
        return f"unhealthy for {now - seen.health_since:.0f} s: {seen.health_text}"
    if phase is Phase.STARTING and seen.health_text:
        return f"not healthy yet: {seen.health_text}"
    if phase is Phase.GAVE_UP:
        return f"gave up after {seen.failures} failures in a row: {how_it_ended(seen.run)}"
    if phase is Phase.STOPPED:
        return "stopped by hand"
    return how_it_ended(seen.run)
