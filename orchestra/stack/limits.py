"""How much a service may use: cpus, memory, processes, `deploy`, `ulimits`, logs.

Where the Compose Specification has two spellings (`mem_limit` and `deploy.resources.limits.memory`), both must agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orchestra.stack import blkio, units, updates
from orchestra.stack.model import Limits, Logging, Restart, RestartPolicy, Ulimit
from orchestra.stack.problems import Path
from orchestra.stack.scalars import spelled
from orchestra.stack.scope import Scope, shown, without_extensions

LEAST_MEMORY = 6 << 20  # docker's
_CPUSET = re.compile(r"[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*\Z")
LEAST_RATE, MOST_RATE = 64_000, 34_000_000_000
"""Bits a second: below, one packet takes a fifth of a second; above, bytes a second do not fit into 32 bits."""


def size(value: Any, path: Path, scope: Scope) -> str | None:
    found = scope.size(value, path)
    return None if not found else str(found)


def swap(value: Any, path: Path, scope: Scope) -> str | None:
    """Memory and swap together; -1 is without limit."""
    return "-1" if value in (-1, "-1") else size(value, path, scope)


def deploy(value: dict[str, Any] | None, path: Path, scope: Scope) -> dict[str, Any] | None:
    """`deploy` in the model always has `resources` and `placement`."""
    if value is None:
        return None
    found: dict[str, Any] = {}
    for key, entry in without_extensions(value).items():
        at = (*path, key)
        if key == "replicas":
            _put(found, key, scope.integer(entry, at, 0))
        elif key == "labels":
            _put(found, key, scope.pairs(entry, at) or None)
        elif key == "restart_policy" and isinstance(entry, dict):
            found[key] = _restart_policy(entry, at, scope)
        elif key in ("update_config", "rollback_config") and isinstance(entry, dict):
            found[key] = updates.normalized(entry, at, scope)
        elif key not in ("resources", "placement") and entry not in (None, "", {}):
            found[key] = entry
    found["resources"] = _resources(value.get("resources") or {}, (*path, "resources"), scope)
    found["placement"] = value.get("placement") or {}
    return found


def _put(found: dict[str, Any], key: str, value: Any) -> None:
    if value is not None:
        found[key] = value


def _resources(value: dict[str, Any], path: Path, scope: Scope) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, entry in without_extensions(value).items():
        if not isinstance(entry, dict):
            continue
        limits: dict[str, Any] = {}
        for key, amount in without_extensions(entry).items():
            at = (*path, kind, key)
            if key == "cpus":
                _put(limits, key, scope.number(amount, at) or None)
            elif key == "memory":
                _put(limits, key, size(amount, at, scope))
            elif key == "pids":
                _put(limits, key, scope.integer(amount, at) or None)
            elif key == "network" and kind == "limits" and isinstance(amount, dict):
                limits[key] = _network(amount, at, scope)
            else:
                limits[key] = amount
        found[kind] = limits
    return {kind: limits for kind, limits in found.items() if limits}


def _network(value: dict[str, Any], path: Path, scope: Scope) -> dict[str, Any]:
    """Bandwidth (ours); the rates stay as they are written."""
    found: dict[str, Any] = {}
    for key, entry in without_extensions(value).items():
        bits = units.rate(entry)
        if bits is None:
            scope.report.problem((*path, key), f"{shown(entry)} is not a rate (write it like 10mbit or 512kbit)")
        elif not LEAST_RATE <= bits <= MOST_RATE:
            scope.report.problem((*path, key), f"{entry} is out of range (expected 64kbit to 34gbit)")
        else:
            found[key] = units.spelled_rate(bits)
    return found


def _restart_policy(value: dict[str, Any], path: Path, scope: Scope) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, entry in without_extensions(value).items():
        at = (*path, key)
        if key in ("delay", "window"):
            time = scope.duration(entry, at)
            _put(found, key, None if time is None else units.spelled_duration(time))
        elif key == "max_attempts":
            _put(found, key, scope.integer(entry, at, 0))
        elif key == "condition" and entry not in ("any", "none", "on-failure"):
            scope.report.problem(at, f"{shown(entry)} is not a condition (expected any, none or on-failure)")
        else:
            found[key] = entry
    return found


def ulimits(value: Any, path: Path, scope: Scope) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, entry in (value or {}).items():
        at = (*path, name)
        if not isinstance(entry, dict):
            number = scope.integer(entry, at, -1)
            _put(found, name, number)
            continue
        soft, hard = (scope.integer(entry.get(side), (*at, side), -1) for side in ("soft", "hard"))
        if soft is None or hard is None:
            continue
        if hard != -1 and (soft > hard or soft == -1):
            scope.report.problem(at, f"soft limit {soft} is above the hard limit {hard}")
        found[name] = {"soft": soft, "hard": hard}
    return found


def logging(value: dict[str, Any] | None, path: Path, scope: Scope) -> dict[str, Any] | None:
    if value is None:
        return None
    found = {key: entry for key, entry in value.items() if key == "driver" and entry}
    options = scope.pairs(value.get("options"), (*path, "options"))
    return found | ({"options": options} if options else {})


def agree(service: dict[str, Any], path: Path, scope: Scope) -> None:
    """Two spellings of one limit say the same."""
    deploy = service.get("deploy") or {}
    limits, reservations = (deploy.get("resources", {}).get(kind, {}) for kind in ("limits", "reservations"))
    pairs = (
        ("cpus", limits.get("cpus"), "deploy.resources.limits.cpus"),
        ("mem_limit", limits.get("memory"), "deploy.resources.limits.memory"),
        ("mem_reservation", reservations.get("memory"), "deploy.resources.reservations.memory"),
        ("pids_limit", limits.get("pids"), "deploy.resources.limits.pids"),
        ("scale", deploy.get("replicas"), "deploy.replicas"),
    )
    for key, other, spelling in pairs:
        if key in service and other is not None and service[key] != other:
            scope.report.problem((*path, key), f"{service[key]} and {spelling} {other} differ (keep one of them)")


def parsed(service: dict[str, Any], path: Path, scope: Scope) -> Limits:
    """Both spellings as one value; what contradicts itself goes to the report."""
    found = _parsed(service)
    for key, what in contradictions(found):
        scope.report.key_problem((*path, key) if key in service else path, what)
    return found


def contradictions(limits: Limits) -> Iterator[tuple[str, str]]:
    """What no container can be given, in docker's rules (daemon_unix.go, verifyPlatformContainerResources)."""
    memory, swap, reservation = limits.memory, limits.memory_swap, limits.memory_reservation
    if limits.cpus is not None and (limits.cpu_quota is not None or limits.cpu_period is not None):
        yield "cpus", "cpus and cpu_quota with cpu_period exclude each other (keep one of them)"
    if limits.cpu_period is not None and not 1000 <= limits.cpu_period <= 1_000_000:
        yield "cpu_period", f"{limits.cpu_period} is out of range (expected 1000 to 1000000 microseconds)"
    if limits.cpu_quota is not None and 0 <= limits.cpu_quota < 1000:
        yield "cpu_quota", f"{limits.cpu_quota} is too little (expected 1000 microseconds or more, or -1)"
    if limits.cpu_shares is not None and limits.cpu_shares < 2:
        yield "cpu_shares", f"{limits.cpu_shares} is too little (expected 2 to 262144)"
    if memory is not None and memory < LEAST_MEMORY:
        yield "mem_limit", f"a limit of {memory} bytes is too little to start anything (expected 6m or more)"
    if swap is not None and memory is None:
        yield "memswap_limit", "memswap_limit is memory and swap together: it needs mem_limit"
    if swap is not None and memory is not None and 0 <= swap < memory:
        yield "memswap_limit", f"memswap_limit {swap} is below mem_limit {memory}: it is memory and swap together"
    if reservation is not None and memory is not None and reservation > memory:
        yield "mem_reservation", f"mem_reservation {reservation} is above mem_limit {memory}"
    if limits.cpuset is not None and not _CPUSET.match(limits.cpuset):
        yield "cpuset", f'{limits.cpuset!r} is not a list of processors (write it like "0-3,5")'


def _parsed(service: dict[str, Any]) -> Limits:
    deploy = (service.get("deploy") or {}).get("resources", {})
    limits, reservations = deploy.get("limits", {}), deploy.get("reservations", {})
    memory = service.get("mem_limit", limits.get("memory"))
    reservation = service.get("mem_reservation", reservations.get("memory"))
    network = limits.get("network", {})
    swap = service.get("memswap_limit")
    cpus = service.get("cpus", limits.get("cpus"))
    return Limits(
        cpus=float(cpus) if cpus else None,
        cpu_shares=service.get("cpu_shares"),
        cpuset=service.get("cpuset"),
        memory=int(memory) if memory else None,
        memory_reservation=int(reservation) if reservation else None,
        memory_swap=int(swap) if swap else None,
        pids=service.get("pids_limit", limits.get("pids")),
        cpu_quota=service.get("cpu_quota"),
        cpu_period=service.get("cpu_period"),
        blkio=blkio.parsed(service.get("blkio_config") or {}),
        ingress=units.rate(network.get("ingress")),
        egress=units.rate(network.get("egress")),
    )


def parsed_ulimits(model: dict[str, Any]) -> tuple[Ulimit, ...]:
    return tuple(
        Ulimit(name, entry["soft"], entry["hard"]) if isinstance(entry, dict) else Ulimit(name, entry, entry)
        for name, entry in sorted(model.items())
    )


def restart(service: dict[str, Any], path: Path, scope: Scope) -> Restart:
    """`deploy.restart_policy` wins over `restart`."""
    policy = (service.get("deploy") or {}).get("restart_policy")
    if policy is not None:
        condition = policy.get("condition", "any")
        words: dict[str, RestartPolicy] = {"none": "no", "on-failure": "on-failure"}
        return Restart(words.get(condition, "always"), policy.get("max_attempts") or None)
    text = service.get("restart", "no")
    word, colon, attempts = text.partition(":")
    if word not in ("no", "always", "on-failure", "unless-stopped") or (colon and word != "on-failure"):
        scope.report.problem(
            (*path, "restart"),
            f"{text!r} is no restart policy (expected no, always, on-failure[:N] or unless-stopped)",
        )
        return Restart()
    if colon and not (attempts.isascii() and attempts.isdecimal() and len(attempts) < 10):
        scope.report.problem((*path, "restart"), f"{attempts!r} is not a number of attempts")
        return Restart()
    return Restart(word, int(attempts) or None if colon else None)


def parsed_logging(model: dict[str, Any] | None, path: Path, scope: Scope) -> Logging:
    """Only what bounds the log; other drivers are refused by name."""
    driver = (model or {}).get("driver", "json-file")
    if driver not in ("json-file", "local", "none"):
        scope.report.problem(
            (*path, "driver"), f"log driver {driver!r} is not supported yet (expected json-file, local or none)"
        )
        return Logging()
    given: dict[str, Any] = {"driver": driver}
    for key, value in (model or {}).get("options", {}).items():
        at = (*path, "options", key)
        if key == "max-size":
            bytes_ = units.size(value)
            if not bytes_ or bytes_ < 1:
                scope.report.problem(at, f"{value!r} is not a size (write it like 10m)")
                continue
            given["max_size"] = bytes_
        elif key == "max-file":
            if not (value.isascii() and value.isdecimal() and 1 <= int(value[:9]) <= 1000):
                scope.report.problem(at, f"{value!r} is not a number of files (expected 1 to 1000)")
                continue
            given["max_file"] = int(value)
        elif key in ("compress", "labels", "env", "tag", "mode", "max-buffer-size", "labels-regex", "env-regex"):
            scope.report.warn(f"log option {spelled(key)} has no effect")
        else:
            scope.report.problem(at, f"log option {key!r} is not known (expected max-size or max-file)")
    return Logging(**given)
