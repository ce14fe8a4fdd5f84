"""`depends_on`, written and implied (by `links`, `network_mode: service:x` and their like)."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from orchestra.stack.model import Dependency
from orchestra.stack.problems import Path, did_you_mean
from orchestra.stack.scope import Scope

_SHARING = ("network_mode", "ipc", "pid", "uts", "cgroup")


def depends_on(service: dict[str, Any], path: Path, scope: Scope) -> dict[str, dict[str, Any]]:
    """The long form. What is implied restarts with the service that it needs; what is written wins."""
    value = service.get("depends_on")
    found: dict[str, dict[str, Any]] = {}
    if isinstance(value, dict):
        for name, entry in value.items():
            found[name] = _long(entry or {}, (*path, "depends_on", name), scope)
    else:
        for name in scope.texts(value, path):
            found[name] = {"condition": "service_started", "required": True}
    for name, restart in _implied(service):
        extra = {"restart": True} if restart else {}
        found.setdefault(name, {"condition": "service_started", **extra, "required": True})
    return found


def _long(entry: dict[str, Any], path: Path, scope: Scope) -> dict[str, Any]:
    found: dict[str, Any] = {"condition": entry.get("condition", "service_started")}
    required = scope.flag(entry.get("required", True), (*path, "required"))
    if scope.flag(entry.get("restart", False), (*path, "restart")):
        found["restart"] = True
    return found | {"required": required is not False}


def _implied(service: dict[str, Any]) -> list[tuple[str, bool]]:
    found = [(str(link).partition(":")[0], True) for link in service.get("links") or ()]
    for key in _SHARING:
        kind, _, name = str(service.get(key) or "").partition(":")
        if kind == "service" and name:
            found.append((name, True))
    for origin in service.get("volumes_from") or ():
        name = str(origin).partition(":")[0]
        if name != "container":
            found.append((name, False))
    return found


def parsed(model: dict[str, dict[str, Any]], services: Container[str]) -> tuple[Dependency, ...]:
    """Those that are switched on; `check` has told of the others, or they are not required."""
    return tuple(
        Dependency(name, entry["condition"], entry["required"], entry.get("restart", False))
        for name, entry in model.items()
        if name in services
    )


def check(services: dict[str, dict[str, Any]], disabled: set[str], scope: Scope) -> None:
    """Every dependency exists, is switched on, and can fulfil what is asked of it, unless it is not required."""
    for name, service in services.items():
        for other, entry in service.get("depends_on", {}).items():
            path: Path = ("services", name, "depends_on", other)
            if other == name:
                scope.report.problem(path, "a service cannot wait for itself")
            elif other in services:
                _can_fulfil(services[other], other, entry, path, scope)
            elif entry["required"]:
                _absent(other, services, disabled, path, scope)


def _absent(name: str, services: Iterable[str], disabled: set[str], path: Path, scope: Scope) -> None:
    if name in disabled:
        scope.report.problem(path, f"{name} is off: none of its profiles is active (or say required: false)")
    else:
        near = did_you_mean(name, [*services, *disabled])
        scope.report.problem(path, f"there is no service {name!r}{near}")


def _can_fulfil(service: dict[str, Any], name: str, entry: dict[str, Any], path: Path, scope: Scope) -> None:
    if entry["condition"] != "service_healthy" or "image" in service or "build" in service:
        return
    if "uses" in service:  # see `uses`, which knows what its owner says
        return
    check = service.get("healthcheck") or {}
    if check.get("disable") or check.get("test") == ["NONE"] or not check:
        scope.report.problem((*path, "condition"), f"{name} has no healthcheck, so it can never become healthy")
