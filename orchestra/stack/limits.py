"""How much a service may use: cpus, memory, processes, `deploy`, `ulimits`, logs.

Where the Compose Specification has two spellings (`mem_limit` and `deploy.resources.limits.memory`), both must agree.
"""

from __future__ import annotations

from typing import Any

from orchestra.stack import units
from orchestra.stack.model import Limits, Logging, Restart, RestartPolicy, Ulimit
from orchestra.stack.problems import Path
from orchestra.stack.scalars import spelled
from orchestra.stack.scope import Scope, shown, without_extensions

_MIB = 1024 * 1024


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
            else:
                limits[key] = amount
        found[kind] = limits
    return {kind: limits for kind, limits in found.items() if limits}


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


def parsed(service: dict[str, Any]) -> Limits:
    deploy = (service.get("deploy") or {}).get("resources", {})
    limits, reservations = deploy.get("limits", {}), deploy.get("reservations", {})
    memory = service.get("mem_limit", limits.get("memory"))
    reservation = service.get("mem_reservation", reservations.get("memory"))
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
