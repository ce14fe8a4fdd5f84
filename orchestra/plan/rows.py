"""Containers as people see them, and in one sentence why each is where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..stack.model import HostRoot, Network, Service
from ..wire.api import NetworkRow, PortRow, Row, State
from .facts import Seen, Target, Wanted
from .phase import Phase, due_at, how_it_ended, phase_of
from .reconcile import ASKED, ordinal, why_outdated
from .steps import Hold
from .wiring import Router

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
    wanted: Wanted,
    logs: str,
    now: float,
    wall: float,
    part: str = "",
) -> Row:
    """`now` and `wall`: the same moment, monotonic and since the epoch; `part`: its part in a replacement."""
    one = seen or target
    assert one is not None
    service = (target or one).service
    run = seen.run if seen else None
    state = _state(target, seen, hold, now)
    ended = run.ended if run else None
    health = seen.health if seen and seen.alive and service.healthcheck else ""
    return {
        "name": name,
        "service": service.name,
        "replica": one.replica,
        "oneoff": one.oneoff,
        "state": state,
        "health": health,
        "health_since": wall - now + seen.health_since if seen and health else None,
        "health_text": seen.health_text if seen and health else "",
        "pid": None,
        "run": run.number if run else 0,
        "restarts": seen.restarts if seen else 0,
        "created": wall - now + (seen.made_at if seen and seen.made else now),
        "started": wall - now + run.started if run else None,
        "ended": None if ended is None else wall - now + ended,
        "exit_code": run.code if run and not run.alive else None,
        "last_exit": seen.last_exit if seen else "",
        "oom_kills": seen.oom_kills if seen else 0,
        "why": "; ".join(filter(None, (part, _why(target, seen, hold, now)))),
        "waits_for": list(hold.on) if hold is not None else [],
        "ports": list(ports),
        "addresses": dict(addresses),
        "networks": [wanted.networks[key].name for key in addresses if key in wanted.networks],
        "mounts": list(_mounted(name, service, wanted)),
        "image": "rootfs:host" if isinstance(service.rootfs, HostRoot) else f"rootfs:{service.rootfs.path}",
        "command": " ".join([*service.entrypoint, *service.command]),
        "logs": logs,
        "log_driver": service.logging.driver,
        "labels": dict(service.labels),
    }


def _mounted(name: str, service: Service, wanted: Wanted) -> Iterator[str]:
    """Volumes by their names, an anonymous one by whose it is; what lives in memory is no mount of docker's lists."""
    for mount in service.mounts:
        if mount.type == "bind":
            yield mount.source
        elif mount.type == "volume":
            volume = wanted.volumes.get(mount.source)
            yield volume.name if volume is not None else mount.source or f"{name}:{mount.target}"


def _state(target: Target | None, seen: Seen | None, hold: Hold | None, now: float) -> State:
    if seen is not None and seen.alive and (target is None or seen.asked_to_stop is not None):
        return "stopping"
    if seen is not None and seen.alive and seen.paused:
        return "paused"
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
    if seen.alive and seen.paused:
        return "paused by hand"
    if phase is Phase.BACKING_OFF:
        wait = due_at(seen, seen.run) - now
        return f"restarting in {wait:.1f} s ({ordinal(seen.restarts + 1)}): {how_it_ended(seen.run)}"
    if phase is Phase.UNHEALTHY:
        return _unhealthy(now - seen.health_since, seen.health_text)
    if phase is Phase.STARTING and seen.health_text:
        return f"not healthy yet: {seen.health_text}"
    if phase is Phase.GAVE_UP:
        return f"gave up after {seen.failures} failures in a row: {how_it_ended(seen.run)}"
    if phase is Phase.STOPPED:
        return "stopped by hand"
    return how_it_ended(seen.run)


def _unhealthy(seconds: float, said: str) -> str:
    """`unhealthy for 12 s: connection refused`; no seconds before there is one, no words of a silent probe."""
    return "unhealthy" + (f" for {seconds:.0f} s" if seconds >= 1 else "") + (f": {said}" if said else "")


def network_row(router: Router, network: Network) -> NetworkRow:
    return {
        "key": network.key,
        "name": network.name,
        "id": router.id,
        "subnet": router.subnet,
        "gateway": router.gateway,
        "internal": network.internal,
        "labels": dict(network.labels),
    }
