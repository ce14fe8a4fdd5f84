"""From a merged file to the compose model: what `docker compose config --format json` prints for it.

Long forms, types, absolute paths, implied things made visible; inactive services and what nobody uses left out. This
says nothing about what orchestra can run: see `supported` for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from orchestra.stack import blkio, depends, grants, health, limits, mounts, networking, ports, process, uses
from orchestra.stack.problems import Path, did_you_mean
from orchestra.stack.scalars import spelled
from orchestra.stack.scope import Scope, is_scalar, unique

Canon = Callable[[Any, Path, Scope], Any]


def _flag(value: Any, path: Path, scope: Scope) -> bool | None:
    return scope.flag(value, path) or None


def _tristate(value: Any, path: Path, scope: Scope) -> bool | None:
    return scope.flag(value, path)


def _text(value: Any, path: Path, scope: Scope) -> str | None:
    return scope.text(value, path) or None


def _unique(value: Any, path: Path, scope: Scope) -> list[str]:
    """Said twice is said once."""
    return unique(scope.texts(value, path))


def _pairs(value: Any, path: Path, scope: Scope) -> dict[str, str | None]:
    return scope.pairs(value, path)


def _whole(value: Any, path: Path, scope: Scope) -> int | None:
    return scope.integer(value, path) or None


def _scale(value: Any, path: Path, scope: Scope) -> int | None:
    return scope.integer(value, path, 0)


def _score(value: Any, path: Path, scope: Scope) -> int | None:
    return scope.integer(value, path, -1000, 1000) or None


def _number(value: Any, path: Path, scope: Scope) -> float | None:
    return scope.number(value, path) or None


def _build(value: Any, path: Path, scope: Scope) -> dict[str, Any]:
    given = {"context": value} if isinstance(value, str) else dict(value)
    given["context"] = scope.absolute(str(given.get("context", ".")))
    given.setdefault("dockerfile", "Dockerfile")
    if "args" in given:
        given["args"] = scope.pairs(given["args"], (*path, "args"), bare=None)
    return given


def _secrets(value: Any, path: Path, scope: Scope) -> list[dict[str, Any]]:
    return grants.grants("secrets", value, path, scope)


def _configs(value: Any, path: Path, scope: Scope) -> list[dict[str, Any]]:
    return grants.grants("configs", value, path, scope)


def _root(value: Any, path: Path, scope: Scope) -> str:
    return "host" if value == "host" else scope.absolute(str(value))


SERVICE: dict[str, Canon] = {
    "attach": _tristate,
    "blkio_config": blkio.canonical,
    "build": _build,
    "cap_add": _unique,
    "cap_drop": _unique,
    "configs": _configs,
    "container_name": _text,
    "cpu_period": _whole,
    "cpu_quota": _whole,
    "cpu_shares": _whole,
    "cpus": _number,
    "cpuset": _text,
    "deploy": limits.deploy,
    "dns": _unique,
    "dns_opt": _unique,
    "dns_search": _unique,
    "expose": ports.expose,
    "extra_hosts": networking.extra_hosts,
    "group_add": _unique,
    "healthcheck": health.healthcheck,
    "hostname": _text,
    "image": _text,
    "init": _tristate,
    "labels": _pairs,
    "links": _unique,
    "logging": limits.logging,
    "mem_limit": limits.size,
    "mem_reservation": limits.size,
    "memswap_limit": limits.swap,
    "network_mode": networking.network_mode,
    "on_unhealthy": _text,
    "oom_score_adj": _score,
    "pids_limit": _whole,
    "ports": ports.ports,
    "privileged": _flag,
    "profiles": _unique,
    "read_only": _flag,
    "restart": _text,
    "rootfs": _root,
    "scale": _scale,
    "secrets": _secrets,
    "security_opt": _unique,
    "shm_size": limits.size,
    "stdin_open": _flag,
    "stop_grace_period": process.grace,
    "stop_signal": _text,
    "sysctls": _pairs,
    "tmpfs": mounts.tmpfs,
    "tty": _flag,
    "ulimits": limits.ulimits,
    "user": _text,
    "volumes": mounts.volumes,
    "working_dir": _text,
}
# Read together with other keys, or kept even when empty.
SPECIAL = frozenset(("command", "entrypoint", "environment", "env_file", "networks", "depends_on", "extends", "uses"))


def canonical_service(name: str, given: dict[str, Any], scope: Scope) -> dict[str, Any]:
    if given.get("uses"):
        return uses.canonical(name, given, scope)
    path: Path = ("services", name)
    found: dict[str, Any] = {
        "command": process.command(given.get("command"), (*path, "command"), scope),
        "entrypoint": process.command(given.get("entrypoint"), (*path, "entrypoint"), scope),
        "environment": process.environment(given, path, scope),
        "networks": networking.joins(given.get("networks"), (*path, "networks"), scope),
        "depends_on": depends.depends_on(given, path, scope),
    }
    for key, value in given.items():
        if key in SPECIAL or key.startswith("x-") or value is None:
            continue
        canon = SERVICE.get(key)
        found[key] = canon(value, (*path, key), scope) if canon else value
    if not found["networks"] and "network_mode" not in given:
        found["networks"] = {"default": None}
    elif found["networks"] and "network_mode" in given:
        scope.report.problem(
            (*path, "network_mode"), "network_mode and networks exclude each other (keep one of them)"
        )
    _one_scale(found)
    limits.agree(found, path, scope)
    mounts.twice_mounted(found, path, scope)
    return {key: value for key, value in found.items() if _is_kept(key, value)}


def _one_scale(service: dict[str, Any]) -> None:
    """`deploy`, where there is one, says how many, too."""
    if "deploy" in service and service.get("scale") is not None:
        service["deploy"].setdefault("replicas", service["scale"])


def _is_kept(key: str, value: Any) -> bool:
    if key in ("command", "entrypoint"):
        return True
    if key in ("healthcheck", "logging") and value is not None:
        return True
    if value is False:
        return key in ("init", "attach")
    return value is not None and value not in ("", {}) and value != []


def active_services(services: dict[str, Any], profiles: Iterable[str], named: Iterable[str]) -> set[str]:
    """Without profiles a service is always on; naming one switches its profiles on."""
    wanted = set(profiles)
    for name in named:
        wanted.update(_profiles(services.get(name)))
    return {
        name
        for name, service in services.items()
        if not _profiles(service) or "*" in wanted or wanted & set(_profiles(service))
    }


def every_profile(merged: dict[str, Any]) -> set[str]:
    """Those that any service has, switched on or not."""
    services = merged.get("services")
    return {name for each in services.values() for name in _profiles(each)} if isinstance(services, dict) else set()


def _profiles(service: Any) -> list[str]:
    given = service.get("profiles") if isinstance(service, dict) else None
    return [spelled(each) for each in given if is_scalar(each)] if isinstance(given, list) else []


def model_of(
    merged: dict[str, Any], project: str, profiles: Iterable[str], named: Iterable[str], scope: Scope
) -> tuple[dict[str, Any], frozenset[str]]:
    """The model, and the names of the services that are switched off."""
    given: dict[str, Any] = merged.get("services") or {}
    active = active_services(given, profiles, named)
    disabled = set(given) - active
    services = {name: canonical_service(name, given[name] or {}, scope) for name in given if name in active}
    depends.check(services, disabled, scope)
    model: dict[str, Any] = {"name": project, "services": services}
    for section in ("networks", "volumes", "secrets", "configs"):
        entries = _used(section, merged.get(section) or {}, services, scope, project)
        if section == "networks":
            for key, entry in entries.items():
                entry.setdefault("ipam", {})
                networking.addressing(entry, (section, key), scope)
        if entries:
            model[section] = entries
    _observed(merged, model, scope)
    model.update({key: value for key, value in merged.items() if key.startswith("x-")})
    return model, frozenset(disabled)


def _observed(merged: dict[str, Any], model: dict[str, Any], scope: Scope) -> None:
    """`x-otel`, where it is written: variables that the services do not set themselves."""
    given: dict[str, Any] = merged.get("services") or {}
    if not any("x-otel" in each for each in (merged, *filter(None, given.values()))):
        return
    from orchestra.stack import otel  # few stacks ask for it

    for name, service in model["services"].items():
        if "uses" not in service:
            own = (given[name] or {}).get(otel.KEY)
            more = otel.environment(model["name"], name, merged.get(otel.KEY), own, ("services", name), scope)
            if more:
                service["environment"] = {**more, **(service.get("environment") or {})}


def _used(
    section: str, given: dict[str, Any], services: dict[str, dict[str, Any]], scope: Scope, project: str
) -> dict[str, dict[str, Any]]:
    """The entries of a section that some active service uses; using one that does not exist is a problem."""
    used: dict[str, dict[str, Any]] = {}
    for name, service in services.items():
        for key, path in _uses(section, name, service):
            if key in given or (section == "networks" and key == "default"):
                if key not in used:
                    used[key] = networking.top_level(key, given.get(key), (section, key), scope, project)
                continue
            near = did_you_mean(key, given)
            one = section.removesuffix("s")
            scope.report.problem(
                path, f"there is no {one} {key!r} in {section}:{near or f' (add {key}: below {section}:)'}"
            )
    return used


def _uses(section: str, name: str, service: dict[str, Any]) -> list[tuple[str, Path]]:
    path: Path = ("services", name, section)
    if section == "networks":
        return [(key, (*path, key)) for key in service.get("networks") or ()]
    if section == "volumes":
        return [
            (mount["source"], (*path, index))
            for index, mount in enumerate(service.get("volumes", ()))
            if mount["type"] == "volume" and mount.get("source")
        ]
    return [(grant["source"], (*path, index)) for index, grant in enumerate(service.get(section, ()))]
