"""`deploy.update_config` and `rollback_config`: how a service's containers are replaced, and how they go back to what
there was (Compose Deploy Specification)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestra.stack import units
from orchestra.stack.beside import why_not_beside
from orchestra.stack.model import Service, Update
from orchestra.stack.problems import Path, spell
from orchestra.stack.scope import Scope, shown, without_extensions
from orchestra.values import replace

_TIMES = ("delay", "monitor", "drain")
_ACTIONS = {"update_config": ("rollback", "pause", "continue"), "rollback_config": ("pause", "continue")}


def normalized(value: dict[str, Any], path: Path, scope: Scope) -> dict[str, Any]:
    """One of the two as the model prints it: numbers as numbers, times as Go prints them."""
    found: dict[str, Any] = {}
    actions = _ACTIONS[str(path[-1])]
    for key, entry in without_extensions(value).items():
        at = (*path, key)
        settled: Any = entry
        if key in _TIMES:
            time = scope.duration(entry, at)
            settled = None if time is None else units.spelled_duration(time)
        elif key == "parallelism":
            settled = scope.integer(entry, at, 0)
        elif key == "max_failure_ratio":
            settled = _ratio(entry, at, scope)
        elif key == "failure_action" and entry not in actions:
            scope.report.problem(at, f"{shown(entry)} is not one of {', '.join(actions)}")
        if settled is not None:
            found[key] = settled
    return found


def _ratio(value: Any, path: Path, scope: Scope) -> float | int | None:
    found = scope.number(value, path)
    if found is not None and found > 1:
        scope.report.problem(path, f"{shown(value)} is no ratio (expected a number from 0 to 1)")
        return None
    return found


def parsed(model: dict[str, Any]) -> Update:
    config = (model.get("deploy") or {}).get("update_config")
    if not config:
        return Update()
    return _update({"parallelism": 1, "failure_action": _default_action(config), **config})


def parsed_rollback(model: dict[str, Any]) -> Update | None:
    """What goes back drains as what is replaced does."""
    config = (model.get("deploy") or {}).get("rollback_config")
    if not config:
        return None
    given = {"order": "start-first", "parallelism": 1, "failure_action": "pause", **config}
    return replace(_update(given), drain=parsed(model).drain)


def _update(given: dict[str, Any]) -> Update:
    times = {key: (units.duration(given[key]) or 0) / 1e9 for key in _TIMES if key in given}
    return Update(**{**given, **times})


def _default_action(config: dict[str, Any]) -> str:
    return "rollback" if config.get("order") == "start-first" else "pause"


def refuse_unbuilt(deploy: dict[str, Any], path: Path, scope: Scope) -> None:
    """What has stopped before its successor starts neither drains nor is there to go back to."""
    given, back = deploy.get("update_config") or {}, deploy.get("rollback_config") or {}
    at = (*path, "rollback_config")
    if back.get("order") == "stop-first":
        what = "order: stop-first is not supported in rollback_config: what serves goes on until the other is back"
        scope.report.key_problem((*at, "order"), what)
    if given.get("order", "stop-first") == "start-first":
        if back and given.get("failure_action", "rollback") != "rollback":
            scope.report.warn(f"{spell(at)} has no effect with failure_action: {given['failure_action']}")
        return
    if back:
        scope.report.key_problem(at, "rollback_config is supported with update_config: {order: start-first} only")
    at = (*path, "update_config")
    if "drain" in given:
        scope.report.key_problem((*at, "drain"), "drain is supported with order: start-first only")
    if given.get("failure_action") == "rollback":
        what = "failure_action: rollback is supported with order: start-first only (expected pause or continue)"
        scope.report.key_problem((*at, "failure_action"), what)


def remarks(services: Mapping[str, Service], scope: Scope) -> None:
    """What start-first comes to where it cannot be had, or has nothing to go by."""
    for name, service in services.items():
        if service.update.order != "start-first":
            continue
        at = spell(("services", name, "deploy", "update_config", "order"))
        if reason := why_not_beside(service, services.values()):
            scope.report.warn(f"{at}: {name} is replaced stop-first: {reason}")
        elif service.healthcheck is None and not service.update.monitor:
            scope.report.warn(f"{at}: {name} takes over as soon as it runs (add a healthcheck, or monitor)")
