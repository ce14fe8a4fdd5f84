"""Whether the file that a command read is the one that its stack runs from, and what is done where it is another.

Two files of one name in two folders are two projects to their authors, and one stack to us, as to docker compose:
who brings the second one up has to say so, and its `down` leaves the services of the first alone, which are orphans
to it. A name that was given by hand (-p, COMPOSE_PROJECT_NAME) means whatever runs under it.
"""

from __future__ import annotations

import os
import sys

from orchestra.client import SupervisorGone
from orchestra.errors import OrchestraError
from orchestra.stack.finding import is_same_project
from orchestra.wire.terminal import line

from .console import raw
from .recipe import recall
from .telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from orchestra.client import Connection

    from .asked import Asked
    from .queue import turn


def is_named(asked: Asked) -> bool:
    return bool(asked.project_name or asked.environ.get("COMPOSE_PROJECT_NAME"))


def settle(connection: Connection, asked: Asked, held: turn, stack: Any, take_over: bool = False) -> None:
    """Before the stack (encoded) takes the place of what runs under its name. Raises OrchestraError where that is of
    another file that is still there, and nobody agrees."""
    agreed: dict[str, Any] | None = None
    while (before := _before(connection)) is not None and not _is_same(before, stack):
        name, old, new = stack["name"], _spelt(before), _spelt(stack)
        if not _is_there(before):
            warn(f"stack {name} was started from {old}, which is not there any more; it goes on as {new}")
            return
        if take_over or is_named(asked) or (agreed is not None and _is_same(before, agreed)):
            warn(f"stack {name} was started from {old}; it is {new} from now on")
            return
        if not _agreed(f"Stack {name} runs from {old}. Have {new} take its place?", held):
            beside = "-p OTHER runs this one beside it under another name"
            raise OrchestraError(
                f"stack {name} runs from another file: {old}, not {new}",
                f"{beside}; orchestra up --take-over has it go on as {new}",
            )
        agreed = before


def concerned(connection: Connection, asked: Asked, what: str, held: turn | None = None) -> list[str] | None:
    """The services that a command without names is about: None for all; where another file runs, those that only the
    command's own one has, as from before the other took its place."""
    if is_named(asked):
        return None
    before = _before(connection)
    if before is None:
        return None
    own = _read(asked)
    if own is None or _is_same(before, own):
        return None
    name, old = before["stack"], _spelt(before)
    if not _is_there(before):
        warn(f"stack {name} was started from {old}, which is not there any more")
        return None
    if _agreed(f"Stack {name} runs from {old}, not from {_spelt(own)}. Still `orchestra {what}` all of it?", held):
        return None
    mine = _services(asked) - {*before["own"]}
    left = [service for service in before["services"] if service not in mine]
    if left:
        alone = f"{', '.join(left)} left alone: stack {name} runs from {old}"
        warn(f"{alone}; orchestra -p {name} {what} means all of it")
    return [service for service in before["services"] if service in mine] if left else None


def _before(connection: Connection) -> dict[str, Any] | None:
    """What runs, None where that is nothing, or nobody knows from where."""
    try:
        answer = connection.call({"do": "origin"})
    except SupervisorGone:
        raise
    except OrchestraError:  # of a version that does not know
        return None
    return answer if answer["services"] and answer["files"] else None


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return is_same_project(one["directory"], one["files"], other["directory"], other["files"])


def _read(asked: Asked) -> dict[str, Any] | None:
    """Where the command's own file is, None without one."""
    recipe = recall(asked)
    if recipe is not None and recipe.files:
        return {"directory": recipe.directory, "files": recipe.files}
    from orchestra.stack import files

    from .project import request

    try:
        found = files.find(request(asked))
    except OrchestraError:
        return None
    return {"directory": found.directory, "files": found.files}


def _services(asked: Asked) -> set[str]:
    from .project import names_in_file

    try:
        return names_in_file(asked)
    except OrchestraError:
        return set()


def _spelt(origin: dict[str, Any]) -> str:
    first: str = origin["files"][0]
    return first if first != "-" else f"standard input in {origin['directory']}"


def _is_there(origin: dict[str, Any]) -> bool:
    files: Sequence[str] = origin["files"]
    return any(os.path.exists(origin["directory"] if path == "-" else path) for path in files)


def _agreed(question: str, held: turn | None) -> bool:
    """On a terminal, whether a person says y. Nobody else has to wait for that."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    if held is not None:
        held.let_go()
    raw(f"{line(question)} [y/N] ", sys.stderr)
    answer = sys.stdin.readline().strip().lower()
    if held is not None:
        held.take()
    return answer in ("y", "yes")
