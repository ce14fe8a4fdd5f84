"""The way from files to a `Stack`, step by step: read, fill in, merge, check, make long, refuse, parse."""

from __future__ import annotations

from orchestra.stack import files
from orchestra.stack.assemble import Assembly, Source, assemble, documents
from orchestra.stack.compose import model_of
from orchestra.stack.files import Found, Loaded, Request
from orchestra.stack.graph import cycle_problems
from orchestra.stack.interpolate import names
from orchestra.stack.parse import parse
from orchestra.stack.problems import Problems
from orchestra.stack.schema import check
from orchestra.stack.scope import Report, Scope
from orchestra.stack.supported import refuse_unbuilt


def load(request: Request, found: Found) -> Loaded:
    """Raises `Problems` with everything that is wrong, or gives the stack."""
    texts = [Source(name, text) for name, text in files.sources(found, request)]
    trees = documents(texts)
    project = files.project_name(request, found, trees)
    variables = {**found.variables, "COMPOSE_PROJECT_NAME": project}
    unset: dict[str, None] = {}
    root = assemble(trees, Assembly(variables, lambda name: unset.setdefault(name), found.directory, files.read_text))
    report = Report(root, warnings=list(found.warnings))
    for name in unset:
        report.warn(f"the variable {name} is not set; it is taken to be empty")
    scope = Scope(report, found.directory, variables.get("HOME", "/"), variables, files.read_text)
    merged = check(root.plain(), report, request.known_valid, request.remember_valid)
    if "version" in merged:
        report.warn("version is obsolete and has no effect (leave it out)")
    model, disabled = model_of(merged, project, _profiles(request, variables), request.services, scope)
    if not any(problem.path[:1] == ("services",) and "depends_on" in problem.path for problem in report.problems):
        report.problems.extend(cycle_problems(model, root))
    refuse_unbuilt(model, scope)
    stack = parse(model, found.files, disabled, scope)
    if report.problems:
        raise Problems(report.problems)
    asked = {name: how for tree in trees for name, how in names(tree).items()}
    return Loaded(stack, model, tuple(report.warnings), variables, asked)


def _profiles(request: Request, variables: dict[str, str]) -> list[str]:
    """--profile, else COMPOSE_PROFILES."""
    if request.profiles:
        return list(request.profiles)
    return [word for each in variables.get("COMPOSE_PROFILES", "").split(",") if (word := each.strip())]
