"""Loading a stack: its files, `.env`, its name. Nothing heavy is imported before `load` is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from orchestra.errors import OrchestraError
from orchestra.stack.finding import LETTERS, LOWER, MAX_BYTES, Disk, decoded, normalised, search
from orchestra.values import dataclass
from orchestra.wire.terminal import lines

if TYPE_CHECKING:
    from orchestra.stack.interpolate import Asked
    from orchestra.stack.model import Stack
    from orchestra.stack.networking import SubnetOf
    from orchestra.stack.nodes import Node


@dataclass(frozen=True, slots=True)
class Request:
    """Which stack is meant: options of the command line, the working folder, the environment."""

    files: tuple[str, ...] = ()
    project_name: str | None = None
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    project_directory: str | None = None
    cwd: str = "/"
    environ: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()  # naming a service switches its profiles on
    trail: tuple[str, ...] = ()  # files whose stacks use, one after the other, a service of this one
    known_valid: Callable[[str], bool] | None = None
    remember_valid: Callable[[str], None] | None = None
    disk: Disk = field(default_factory=Disk)
    subnet_of: SubnetOf | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A stack as values, the compose model that `config` prints, and what was odd about it."""

    stack: Stack
    model: dict[str, Any]
    warnings: tuple[str, ...]
    variables: Mapping[str, str]  # what `${…}` was filled in from
    asked: Mapping[str, Asked]  # variables that the files speak of
    profiles: frozenset[str] = frozenset()  # of all services, switched on or not


@dataclass(frozen=True, slots=True)
class Found:
    """Where a project is, and what its variables are."""

    files: tuple[str, ...]
    directory: str
    variables: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def find(request: Request) -> Found:
    """The files of a project, its folder and its variables (compose's order: options, variables, search upward)."""
    start = os.path.join(request.cwd, request.project_directory or "")
    first = _dot_env(request, start)
    variables = {**first, **request.environ}
    files, from_variable, warnings = request.files, False, list[str]()
    if not files:
        named = variables.get("COMPOSE_FILE") or variables.get("ORCHESTRA_FILE")
        if named:
            files, from_variable = tuple(named.split(variables.get("COMPOSE_PATH_SEPARATOR") or ":")), True
        else:
            files = search(start, warnings, request.disk)
    paths = tuple(each if each == "-" else os.path.join(request.cwd, each) for each in files)
    directory = os.path.abspath(start)
    if not request.project_directory and paths[0] != "-":
        directory = os.path.dirname(os.path.abspath(paths[0]))
    if directory != os.path.abspath(start) and not request.env_files:
        own = _dot_env(request, directory)
        variables = {**own, **(first if from_variable else {}), **request.environ}
    return Found(paths, directory, variables, tuple(warnings))


def _dot_env(request: Request, folder: str) -> dict[str, str]:
    """`--env-file` (missing is an error) or the folder's `.env` (missing is fine)."""
    from orchestra.stack import dotenv

    found: dict[str, str] = {}
    for name in request.env_files:
        path = os.path.join(request.cwd, name)
        found.update(dotenv.parse(_existing(request.disk, path), path, {**found, **request.environ}))
    disabled = request.environ.get("COMPOSE_DISABLE_ENV_FILE", "").lower() in ("1", "t", "true", "yes", "on")
    if request.env_files or disabled:
        return found
    path = os.path.join(folder, ".env")
    # A folder of that name is somebody's virtual environment.
    if not request.disk.is_there(path) or os.path.isdir(path):
        return {}
    return dotenv.parse(_existing(request.disk, path), path, request.environ)


def _existing(disk: Disk, path: str) -> str:
    try:
        return disk.read_text(path)
    except OSError as error:
        raise OrchestraError(f"cannot read {path}: {error.strerror}", "is its name right?") from None


def _checked(name: str, origin: str) -> str:
    if not name or name[0] not in LOWER or not set(name) <= LETTERS:
        raise OrchestraError(
            f"{name!r} ({origin}) is not a project name",
            "use lower case letters, digits, - and _, starting with a letter or digit",
        )
    return name


def _given_name(request: Request, variables: Mapping[str, str]) -> str | None:
    if request.project_name:
        return _checked(request.project_name, "--project-name")
    if variables.get("COMPOSE_PROJECT_NAME"):
        return _checked(variables["COMPOSE_PROJECT_NAME"], "COMPOSE_PROJECT_NAME")
    return None


def load(request: Request) -> Loaded:
    """Everything that a command needs to know of a stack; raises `Problems` with all that is wrong."""
    from orchestra.stack import loading

    return loading.load(request, find(request))


def sources(found: Found, request: Request) -> list[tuple[str, str]]:
    """Name and text of each file; names are relative to the working folder where that is shorter."""
    texts = []
    for path in found.files:
        if path == "-":
            texts.append(("stdin", decoded(sys.stdin.buffer.read(MAX_BYTES + 1), "stdin")))
            continue
        try:
            texts.append((shortened(path, request.cwd), request.disk.read_text(path)))
        except OSError as error:
            raise OrchestraError(f"cannot read {path}: {error.strerror}", "is its name right?") from None
    return texts


def shortened(path: str, cwd: str) -> str:
    """A path as a person in `cwd` would write it."""
    inside = os.path.abspath(path)
    folder = os.path.abspath(cwd).rstrip("/") + "/"
    return inside.removeprefix(folder) if inside.startswith(folder) else inside


def project_name(request: Request, found: Found, documents: list[Node]) -> str:
    """-p, COMPOSE_PROJECT_NAME, the last `name:` of the files, the folder's name."""
    from orchestra.stack.interpolate import BadTemplate, substitute
    from orchestra.stack.problems import refuse

    given = _given_name(request, found.variables)
    if given:
        return given
    written = [node for document in documents if (node := document.get("name")) and isinstance(node.value, str)]
    if written:
        try:
            word = substitute(str(written[-1].value), found.variables, lambda name: None)
        except BadTemplate as error:
            raise refuse(str(error), written[-1].mark, ("name",)) from None
        name = normalised(word)
        if not name:
            raise refuse(f"{word!r} has nothing that a project name is made of", written[-1].mark, ("name",))
        return name
    name = normalised(os.path.basename(found.directory))
    if not name:
        raise OrchestraError(
            f"the folder {found.directory} gives no project name", "add name: to the file, or say --project-name"
        )
    return name


def to_json(model: dict[str, Any]) -> str:
    """The model as `config --format json` prints it: `$` doubled, so that it can be read back."""
    import json

    return lines(json.dumps(_doubled(model), indent=2, sort_keys=True, ensure_ascii=False))


def to_yaml(model: dict[str, Any]) -> str:
    """The model as `config` prints it: `$` doubled, so that it can be read back."""
    from orchestra.stack.read import write

    return write(_doubled(model))


def _doubled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.replace("$", "$$"): _doubled(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_doubled(child) for child in value]
    return value.replace("$", "$$") if isinstance(value, str) else value
