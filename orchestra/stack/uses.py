"""`uses` (ours): a service of this stack that another stack owns.

The owner's file is read as its own stack, with its own folder, `.env` and name: what it is does not depend on who
uses it. Nothing but networks (and profiles) may stand beside `uses`: everything else is the owner's to say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestra.errors import OrchestraError
from orchestra.stack import graph, networking
from orchestra.stack.model import Port, Stack, Use
from orchestra.stack.problems import Path, Problems, did_you_mean
from orchestra.stack.scope import Scope, unique
from orchestra.values import replace

if TYPE_CHECKING:
    from orchestra.stack.files import Loaded, Request

_BESIDE = frozenset(("uses", "networks", "profiles"))
_OF_THE_USER = frozenset(
    ("COMPOSE_PROJECT_NAME", "COMPOSE_FILE", "ORCHESTRA_FILE", "COMPOSE_PROFILES", "COMPOSE_ENV_FILES")
)
"""Variables that say which stack the command is about: that is the user's, not the owner's."""
_JOIN_REFUSED = {
    "ipv4_address": "a shared service may have several containers, so it has no fixed address",
    "mac_address": "a shared service may have several containers, so it has no fixed address",
}


def canonical(name: str, given: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """The long form of a service that `uses` one of another stack."""
    path: Path = ("services", name)
    uses = given["uses"]
    for key in given:
        if key not in _BESIDE and not key.startswith("x-"):
            what = f"{key} has no place beside uses: the stack that owns the service says it"
            scope.report.key_problem((*path, key), what)
    joins = networking.joins(given.get("networks"), (*path, "networks"), scope) or {"default": None}
    for network, entry in joins.items():
        for key in _JOIN_REFUSED.keys() & set(entry or {}):
            scope.report.problem((*path, "networks", network, key), _JOIN_REFUSED[key])
    found: dict[str, Any] = {
        "uses": {"stack": scope.absolute(str(uses["stack"])), "service": str(uses.get("service") or name)},
        "networks": joins,
    }
    if given.get("profiles"):
        found["profiles"] = unique(scope.texts(given["profiles"], (*path, "profiles")))
    return found


def owners(model: dict[str, Any], request: Request, files: tuple[str, ...], scope: Scope) -> dict[str, Loaded]:
    """The owner of each service that `uses` one; what is wrong goes to the report."""
    found: dict[str, Loaded] = {}
    stacks: dict[str, Loaded] = {}
    for name, service in model["services"].items():
        if "uses" not in service:
            continue
        path: Path = ("services", name, "uses")
        file, wanted = service["uses"]["stack"], service["uses"]["service"]
        loaded = _owner(file, wanted, request, files, (*path, "stack"), scope)
        if loaded is None or not _has(loaded, file, wanted, path, request, scope):
            continue
        if loaded.stack.name == model["name"]:
            what = f"that stack is called {model['name']}, too (give one of them another name:)"
            scope.report.problem((*path, "stack"), what)
        elif (other := stacks.get(loaded.stack.name)) and other.stack.files != loaded.stack.files:
            what = f"{other.stack.files[0]} is called {loaded.stack.name}, too (give one of them another name:)"
            scope.report.problem((*path, "stack"), what)
        found[name] = stacks[loaded.stack.name] = loaded
        _check_needs(name, loaded.model["services"][wanted], model, scope)
        _check_clashes(name, wanted, loaded, model, scope)
    return found


def parsed(model: dict[str, Any], owners: Mapping[str, Stack]) -> dict[str, Use]:
    """`owners`: service -> the stack that owns it, as far as that could be read."""
    found = {}
    for name, owner in owners.items():
        service = model["services"][name]
        joins = networking.parsed_joins(service["networks"])
        found[name] = Use(name, owner.name, service["uses"]["service"], service["uses"]["stack"], joins)
    return found


def _owner(
    file: str, wanted: str, request: Request, files: tuple[str, ...], path: Path, scope: Scope
) -> Loaded | None:
    from orchestra.stack.files import load, shortened

    trail = (*request.trail, *(os.path.realpath(each) for each in files))
    if os.path.realpath(file) in trail:
        scope.report.problem(path, _circle(trail, os.path.realpath(file), request.cwd))
        return None
    environ = {key: value for key, value in request.environ.items() if key not in _OF_THE_USER}
    asked = replace(
        request,
        files=(file,),
        project_name=None,
        profiles=(),
        env_files=(),
        project_directory=None,
        environ=environ,
        services=(),
        trail=trail,
    )
    try:
        loaded = load(asked)
        return load(replace(asked, services=(wanted,))) if wanted in loaded.stack.disabled else loaded
    except Problems as wrong:
        scope.report.problems.extend(wrong.problems)
    except OrchestraError as error:
        scope.report.problem(path, error.what.replace(file, shortened(file, request.cwd)))
    return None


def _circle(trail: tuple[str, ...], file: str, cwd: str) -> str:
    from orchestra.stack.files import shortened

    walk = trail[trail.index(file) :]
    if len(walk) == 1:
        return "a stack cannot use a service of its own (depends_on is what you need)"
    steps = zip(walk, (*walk[1:], file), strict=True)
    return ", ".join(f"{shortened(one, cwd)} uses {shortened(two, cwd)}" for one, two in steps) + ": nobody is first"


def _has(loaded: Loaded, file: str, wanted: str, path: Path, request: Request, scope: Scope) -> bool:
    from orchestra.stack.files import shortened

    if wanted in loaded.stack.uses:
        use = loaded.stack.uses[wanted]
        what = f"{wanted} is not of that stack either (say stack: {shortened(use.file, request.cwd)})"
    elif wanted not in loaded.stack.services:
        near = did_you_mean(wanted, [*loaded.stack.services, *loaded.stack.disabled])
        what = f"there is no service {wanted!r} in {shortened(file, request.cwd)}{near}"
    elif loaded.stack.services[wanted].network_mode:
        what = f"{wanted} has no network of its own (network_mode), so it cannot be joined to another one"
    elif loaded.stack.services[wanted].sysctls.get("net.ipv4.ip_forward", "0") != "0":
        what = f"{wanted} forwards (net.ipv4.ip_forward), so it would join networks that must not see each other"
    else:
        return True
    scope.report.problem((*path, "service") if "service" in _written(path, scope) else path, what)
    return False


def _written(path: Path, scope: Scope) -> Mapping[str, Any]:
    node = scope.report.root
    for step in path:
        child = node.get(str(step))
        if child is None:
            return {}
        node = child
    return node.value if isinstance(node.value, dict) else {}


def _check_needs(name: str, owned: dict[str, Any], model: dict[str, Any], scope: Scope) -> None:
    """What others of this stack ask of it can be fulfilled."""
    check = owned.get("healthcheck") or {}
    never_healthy = not check or check.get("disable") or check.get("test") == ["NONE"]
    for other, service in model["services"].items():
        need = service.get("depends_on", {}).get(name)
        if need and need["condition"] == "service_healthy" and never_healthy:
            path: Path = ("services", other, "depends_on", name, "condition")
            scope.report.problem(path, f"{name} has no healthcheck in its own stack, so it can never become healthy")
        if service.get("network_mode") == f"service:{name}":
            what = f"{name} belongs to another stack, whose network cannot be shared (join its networks instead)"
            scope.report.problem(("services", other, "network_mode"), what)


def _check_clashes(name: str, wanted: str, owner: Loaded, model: dict[str, Any], scope: Scope) -> None:
    """A host port or a container's name that is the owner's."""
    needed = graph.dependencies(owner.stack, [wanted])
    ports = {key: other for other in needed for key in _fixed(owner.stack.services[other].ports)}
    names = {owner.stack.services[other].container_name: other for other in needed}
    for other, service in model["services"].items():
        fixed = service.get("container_name")
        if fixed in names:
            what = f"{fixed!r} is the name of {names[fixed]} of stack {owner.stack.name}, which is used here"
            scope.report.problem(("services", other, "container_name"), what)
        for index, port in enumerate(service.get("ports", ())):
            for address, number, protocol in ports:
                mine = port.get("host_ip", "")
                if (str(port.get("published")), port["protocol"]) == (str(number), protocol) and (
                    mine == address or "" in (mine, address)
                ):
                    whose = f"{ports[address, number, protocol]} of stack {owner.stack.name}"
                    what = f"host port {number}/{protocol} is published by {whose}, which is used here"
                    scope.report.problem(("services", other, "ports", index), what)


def _fixed(ports: tuple[Port, ...]) -> Iterator[tuple[str, int, str]]:
    for port in ports:
        if port.published and port.published[0] == port.published[1]:
            yield port.host_ip, port.published[0], port.protocol
