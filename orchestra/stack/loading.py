"""The way from files to a `Stack`, step by step: read, fill in, merge, check, make long, refuse, parse."""

from __future__ import annotations

from typing import Any

from orchestra.stack import clashes, files, networking, uses
from orchestra.stack.assemble import Assembly, Source, assemble, documents
from orchestra.stack.compose import every_profile, model_of
from orchestra.stack.files import Found, Loaded, Request
from orchestra.stack.graph import cycle_problems
from orchestra.stack.interpolate import Asked
from orchestra.stack.nodes import Node
from orchestra.stack.parse import parse
from orchestra.stack.problems import Problem, Problems, did_you_mean
from orchestra.stack.schema import check
from orchestra.stack.scope import Report, Scope
from orchestra.stack.supported import refuse_unbuilt
from orchestra.values import dataclass


@dataclass(frozen=True, slots=True)
class Modelled:
    """A compose model before anything is said about what orchestra can run."""

    model: dict[str, Any]
    disabled: frozenset[str]
    scope: Scope
    asked: dict[str, Asked]
    profiles: frozenset[str]


def load(request: Request, found: Found) -> Loaded:
    """Raises `Problems` with everything that is wrong, or gives the stack."""
    modelled = modelled_of(request, found)
    model, scope = modelled.model, modelled.scope
    refuse_unbuilt(model, scope)
    clashes.check(model, scope)
    networking.fixed_addresses(model, request.subnet_of, scope)
    owners = uses.owners(model, request, found.files, scope)
    stack = parse(model, found.files, modelled.disabled, scope, {name: owner.stack for name, owner in owners.items()})
    if scope.report.problems:
        raise Problems(scope.report.problems)
    return Loaded(stack, model, tuple(scope.report.warnings), scope.variables, modelled.asked, modelled.profiles)


def modelled_of(request: Request, found: Found) -> Modelled:
    """The model as far as it can be made; the problems are in the report of its scope."""
    problems: list[Problem] = []
    trees = documents([Source(name, text) for name, text in files.sources(found, request)], problems)
    project = files.project_name(request, found, trees)
    variables = {**found.variables, "COMPOSE_PROJECT_NAME": project}
    unset: dict[str, None] = {}
    assembly = Assembly(
        variables=variables,
        directory=found.directory,
        unset=lambda name: unset.setdefault(name),
        read_text=request.disk.read_text,
        spell=lambda path: files.shortened(path, request.cwd),
        problems=problems,
    )
    root = _assembled(trees, assembly)
    silenced = {problem.path for problem in problems if problem.path}
    report = Report(root, problems, list(found.warnings), silenced)
    for name in unset:
        report.warn(f"the variable {name} is not set; it is taken to be empty")
    scope = Scope(report, found.directory, variables.get("HOME", "/"), variables, request.disk.read_text)
    merged = check(root.plain(), report, request.known_valid, request.remember_valid)
    if "version" in merged:
        report.warn("version is obsolete and has no effect (leave it out)")
    if not merged.get("services"):
        report.key_problem(("services",), "there is nothing to run (add a service below services:)")
    model, disabled = model_of(merged, project, _profiles(request, variables), request.services, scope)
    _named_exist(request, model, disabled, scope)
    report.problems.extend(cycle_problems(model, root))
    return Modelled(model, disabled, scope, assembly.asked, frozenset(every_profile(merged)))


def _assembled(trees: list[Node], assembly: Assembly) -> Node:
    """What ends the reading is told together with what was found before."""
    try:
        return assemble(trees, assembly)
    except Problems as wrong:
        raise Problems([*assembly.problems, *wrong.problems]) from None


def _named_exist(request: Request, model: dict[str, Any], disabled: frozenset[str], scope: Scope) -> None:
    known = [*model["services"], *disabled]
    for name in request.services:
        if name not in known:
            what = f"there is no service {name!r}{did_you_mean(name, known)}"
            scope.report.problems.append(Problem(None, (), what))


def _profiles(request: Request, variables: dict[str, str]) -> list[str]:
    """--profile, else COMPOSE_PROFILES."""
    if request.profiles:
        return list(request.profiles)
    return [word for each in variables.get("COMPOSE_PROFILES", "").split(",") if (word := each.strip())]
