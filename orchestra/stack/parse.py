"""From the compose model to the frozen `Stack`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from orchestra.stack import (
    clashes,
    depends,
    grants,
    health,
    limits,
    mounts,
    networking,
    ports,
    process,
    security,
    units,
    updates,
    uses,
)
from orchestra.stack.model import Alerting, DirRoot, FileSource, HostRoot, Service, Stack, Volume
from orchestra.stack.problems import Path
from orchestra.stack.scope import Scope

# The container is the same whatever these say (docker/compose, pkg/compose/hash.go).
_NOT_HASHED = frozenset(("build", "pull_policy", "scale", "depends_on", "profiles"))
_NOT_OF_THE_CONTAINER = frozenset(("replicas", "update_config", "rollback_config"))
"""The same for `deploy`."""


def parse(
    model: dict[str, Any],
    files: tuple[str, ...],
    disabled: frozenset[str],
    scope: Scope,
    owners: Mapping[str, Stack] = MappingProxyType({}),
) -> Stack:
    """Everything as values; what is wrong goes to the report, and then the result is not to be used.

    `owners`: service that `uses` one of another stack -> that stack.
    """
    sources = {
        kind: {key: grants.source(kind, key, entry, (kind, key), scope) for key, entry in model.get(kind, {}).items()}
        for kind in ("secrets", "configs")
    }
    services = {
        name: _service(name, model, sources, scope)
        for name, entry in model["services"].items()
        if "uses" not in entry
    }
    updates.remarks(services, scope)
    return Stack(
        name=model["name"],
        directory=scope.directory,
        files=files,
        services=services,
        uses=uses.parsed(model, owners),
        owners={owner.name: owner for owner in owners.values()},
        networks={key: networking.network(key, entry) for key, entry in model.get("networks", {}).items()},
        volumes={
            key: Volume(key, entry["name"], entry.get("external", False), entry.get("labels", {}))
            for key, entry in model.get("volumes", {}).items()
        },
        secrets=sources["secrets"],
        configs=sources["configs"],
        alerts=_alerting(model, scope),
        disabled=disabled,
        places=clashes.places(services.values(), scope),
    )


def _alerting(model: dict[str, Any], scope: Scope) -> Alerting | None:
    if "x-alerts" not in model:
        return None
    from orchestra.stack import alerts  # few stacks have it

    return alerts.parsed(model["x-alerts"], model["services"], scope)


def _service(name: str, whole: dict[str, Any], sources: dict[str, dict[str, FileSource]], scope: Scope) -> Service:
    model: dict[str, Any] = whole["services"][name]
    path: Path = ("services", name)
    given = _optional(model)
    if model.get("network_mode") == "host":
        # Published it is as it stands: what counts is where it listens.
        given["expose"] = (*given.get("expose", ()), *(str(port["target"]) for port in model.get("ports", ())))
    return Service(
        name=name,
        rootfs=HostRoot() if model.get("rootfs", "host") == "host" else DirRoot(model["rootfs"]),
        config_hash=config_hash(model, whole, sources),
        command=tuple(model["command"] or ()),
        entrypoint=tuple(model["entrypoint"] or ()),
        environment={key: value for key, value in model.get("environment", {}).items() if value is not None},
        working_dir=_working_dir(model, path, scope),
        scale=(model.get("deploy") or {}).get("replicas", model.get("scale", 1)),
        stop_signal=_stop_signal(model, path, scope),
        restart=limits.restart(model, path, scope),
        depends_on=depends.parsed(model.get("depends_on", {}), whole["services"]),
        healthcheck=health.parsed(model.get("healthcheck"), (*path, "healthcheck"), scope),
        networks=networking.parsed_joins(model.get("networks")),
        ports=ports.parsed(model.get("ports", [])) if not model.get("network_mode") else (),
        extra_hosts=tuple(_host(line) for line in model.get("extra_hosts", ())),
        mounts=mounts.parsed(model),
        secrets=grants.parsed("secrets", model.get("secrets", []), (*path, "secrets"), scope),
        configs=grants.parsed("configs", model.get("configs", []), (*path, "configs"), scope),
        ulimits=limits.parsed_ulimits(model.get("ulimits", {})),
        security=security.parsed(model, path, scope),
        limits=limits.parsed(model, path, scope),
        logging=limits.parsed_logging(model.get("logging"), (*path, "logging"), scope),
        update=updates.parsed(model),
        rollback=updates.parsed_rollback(model),
        **given,
    )


def _optional(model: dict[str, Any]) -> dict[str, Any]:
    """Keys that are taken as they are; the defaults stand in the model's dataclass."""
    given: dict[str, Any] = {}
    for key in ("user", "hostname", "container_name", "init", "tty", "stdin_open", "attach", "on_unhealthy"):
        if key in model:
            given[key] = model[key]
    for key in ("network_mode", "read_only", "labels", "sysctls", "oom_score_adj"):
        if key in model:
            given[key] = model[key]
    for key in ("group_add", "expose", "dns", "dns_search", "dns_opt"):
        if key in model:
            given[key] = tuple(model[key])
    if "shm_size" in model:
        given["shm_size"] = int(model["shm_size"])
    if "stop_grace_period" in model:
        given["stop_grace_period"] = (units.duration(model["stop_grace_period"]) or 0) / 1e9
    return given


def _host(line: str) -> tuple[str, str]:
    name, _, address = line.partition("=")
    return name, address


def _working_dir(model: dict[str, Any], path: Path, scope: Scope) -> str:
    folder = str(model.get("working_dir", "/"))
    if not folder.startswith("/"):
        scope.report.problem((*path, "working_dir"), f"{folder!r} is not an absolute path inside of the container")
    return folder


def _stop_signal(model: dict[str, Any], path: Path, scope: Scope) -> str:
    text = str(model.get("stop_signal", "SIGTERM"))
    signal = process.stop_signal(text)
    if signal is None:
        scope.report.problem((*path, "stop_signal"), f"{text!r} is no signal (write it like SIGTERM, INT or 15)")
    return signal or "SIGTERM"


def config_hash(model: dict[str, Any], whole: dict[str, Any], sources: dict[str, dict[str, FileSource]]) -> str:
    """sha256 over the resolved service and the definitions of what it uses; not over the files that it mounts."""
    service = {key: value for key, value in model.items() if key not in _NOT_HASHED}
    if "deploy" in service:
        # What is left of `deploy: {replicas: 2}` are two empty mappings, and scaling replaces nothing.
        service["deploy"] = {
            key: value for key, value in service["deploy"].items() if key not in _NOT_OF_THE_CONTAINER and value
        }
        if not service["deploy"]:
            del service["deploy"]
    volumes = [mount.get("source") for mount in model.get("volumes", ()) if mount["type"] == "volume"]
    used = {
        "networks": {key: whole["networks"].get(key) for key in model.get("networks") or () if "networks" in whole},
        "volumes": {key: whole["volumes"].get(key) for key in volumes if key and "volumes" in whole},
    }
    for kind in ("secrets", "configs"):
        names = {grant["source"] for grant in model.get(kind, ())}
        used[kind] = {key: [source.file, source.content] for key, source in sources[kind].items() if key in names}
    text = json.dumps([service, used], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
