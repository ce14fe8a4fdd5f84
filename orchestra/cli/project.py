"""Which stack is meant, and its file.

Commands on a running stack need its name only: it is given, or seen in the file without a YAML parser, which costs
more than the whole command. Only what leaves no doubt counts: a wrong name would stop somebody else's stack. Order of
the sources as in the Compose Specification: -p, COMPOSE_PROJECT_NAME, `name:`, folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from orchestra.errors import OrchestraError
from orchestra.places import Home, Places
from orchestra.stack.finding import Disk

from .asked import Asked
from .recipe import Recipe, Watched, keep, recall

if TYPE_CHECKING:
    from orchestra.stack.files import Loaded, Request

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
# A block mapping from the first line that says something, so that top-level keys stand at the margin.
PLAIN_START = re.compile(r"\s*(?:#.*\n\s*|---[ ]*\n\s*)*[\w-]+:", re.MULTILINE)
UNCLEAR = re.compile(r"^(?:<<|\?|[{&*!\"'])", re.MULTILINE)
NAME_LINE = re.compile(r"^name\s*:.*$", re.MULTILINE)
PLAIN_NAME_LINE = re.compile(r"^name:[ ]+[\"']?([\w-]+)[\"']?[ ]*(?:#.*)?$", re.MULTILINE)


def find(asked: Asked) -> Places:
    """The stack that is meant, with as little reading as possible."""
    home = asked.home()
    if asked.project_name:
        return home.stack(checked(asked.project_name, "--project-name"))
    if recipe := recall(asked):
        return home.stack(recipe.name)
    from orchestra.stack import files

    watched = Watched()
    found = files.find(request(asked, disk=watched))
    if given := found.variables.get("COMPOSE_PROJECT_NAME"):
        name = checked(given, "COMPOSE_PROJECT_NAME")
    else:
        seen = seen_name([_text(watched, path) for path in found.files], found.directory)
        if seen is None:
            return home.stack(load(asked).stack.name)
        name = seen
    keep(asked, watched, Recipe(name, directory=found.directory, files=found.files))
    return home.stack(name)


def checked(name: str, origin: str) -> str:
    if not NAME.fullmatch(name):
        raise OrchestraError(
            f"{name!r} ({origin}) cannot be the name of a stack",
            "use lower case letters, digits, - and _, and start with a letter or digit",
        )
    return name


def seen_name(texts: Sequence[str], directory: str) -> str | None:
    """The name as it can be seen in the files without parsing them; None when only a parser could tell."""
    from orchestra.stack.finding import normalised

    name = os.path.basename(directory)
    for text in texts:
        if not PLAIN_START.match(text) or UNCLEAR.search(text):
            return None
        written = NAME_LINE.findall(text)
        if len(written) > len(PLAIN_NAME_LINE.findall(text)):
            return None
        name = PLAIN_NAME_LINE.findall(text)[-1] if written else name
    return normalised(name) or None


def _text(disk: Disk, path: str) -> str:
    try:
        return disk.read_text(path) if path != "-" else ""
    except OSError as error:
        raise OrchestraError(f"cannot read {path}: {error.strerror}", "is its name right?") from None


def request(asked: Asked, services: Iterable[str] = (), disk: Disk | None = None) -> Request:
    from orchestra.stack.files import Request

    from .valid import Valid

    valid = Valid(asked.home().cache)
    return Request(
        files=tuple(asked.files),
        project_name=asked.project_name,
        profiles=tuple(asked.profiles),
        env_files=tuple(asked.env_files),
        project_directory=asked.project_directory,
        cwd=asked.cwd,
        environ=asked.environ,
        services=tuple(services),
        known_valid=valid.knows,
        remember_valid=valid.remember,
        disk=disk or Disk(),
        subnet_of=lambda name: _subnet_of(asked.home(), name),
    )


def _subnet_of(home: Home, network: str) -> tuple[str, str] | None:
    from orchestra.state.externals import definition

    found = definition(home, network)
    return (found.subnet, found.gateway) if found is not None else None


def load(asked: Asked, services: Iterable[str] = ()) -> Loaded:
    """Read the stack file; its warnings go to stderr."""
    from orchestra.stack import files

    watched = Watched()
    try:
        loaded = files.load(request(asked, services, watched))
    except OrchestraError:
        _check_names(asked, tuple(services))
        raise
    if loaded.warnings:
        from .telling import warn

        for warning in loaded.warnings:
            warn(str(warning))
    if not services:
        keep(asked, watched, Recipe.of(loaded))
    return loaded


def _check_names(asked: Asked, services: tuple[str, ...]) -> None:
    """Whether it was only a service that does not exist: then say which there are."""
    if services:
        refuse_unknown(services, names_in_file(asked))


def names_in_file(asked: Asked) -> set[str]:
    """All services that the stack file knows, used and disabled ones too."""
    from orchestra.stack import files

    stack = files.load(request(asked)).stack
    return {*stack.services, *stack.uses, *stack.disabled}


def need_services(asked: Asked, wanted: Collection[str], rows: Iterable[dict[str, Any]]) -> None:
    """Refuse services that neither run nor are in the file."""
    missing = sorted(set(wanted) - {row["service"] for row in rows})
    if not missing:
        return
    names = {row["service"] for row in rows}
    try:
        stack = load(asked).stack
        names |= set(stack.services) | set(stack.uses) | stack.disabled
    except OrchestraError:
        pass
    refuse_unknown(missing, names)


def with_containers(asked: Asked, wanted: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Those of the services that have containers; of the others it is said. Refuses what `need_services` refuses."""
    there = {row["service"] for row in rows}
    if set(wanted) <= there:
        return list(wanted)
    from .telling import warn

    need_services(asked, wanted, rows)
    for name in wanted:
        if name not in there:
            warn(f"{name} has no container")
    return [name for name in wanted if name in there]


def refuse_unknown(wanted: Iterable[str], names: Collection[str]) -> None:
    from orchestra.stack.problems import did_you_mean

    wrong = [name for name in wanted if name not in names]
    if wrong:
        what = "\n".join(f"no such service: {name}{did_you_mean(name, names)}" for name in wrong)
        listed = ", ".join(sorted(names))
        raise OrchestraError(what, f"one of: {listed}" if listed else "orchestra ls shows the stacks that run")
