"""What runs beside what the files say now: resolved, with the place of each value, and what `up` would change.

Secrets are masked before anything leaves this module; of two masked values that differ only that is told. Variables
are those of the dashboard's own environment and of `.env`, which need not be those that the stack was started with.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..errors import OrchestraError
from ..plan.masking import MASK, masked
from ..stack import alerts
from ..stack.files import Found, Request, find
from ..stack.finding import Disk
from ..stack.loading import load, modelled_of
from ..stack.model import Stack
from ..stack.nodes import Node, value_place, written
from ..wire.codec import decode, encode

Path = tuple[str | int, ...]
DERIVED = ("config_hash", "is")
VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
KEY_DEPTH = 3
"""services, a service, a key: what is not written down to there is a default."""


def compare(running: Stack, environ: Mapping[str, str]) -> dict[str, Any]:
    """The answer of the endpoint `config`; what is wrong with the files is part of it."""
    now = _plain(running)
    answer: dict[str, Any] = {"running": masked(now), "file": None, "problems": [], "differs": [], "sources": {}}
    request = Request(
        files=running.files,
        project_name=running.name,
        project_directory=running.directory,
        cwd=running.directory,
        environ=environ,
    )
    try:
        found = find(request)
        loaded = load(request, found)
        if needed := loaded.stack.disabled & running.services.keys():
            # Started with a profile that nobody told us of: naming a service switches its profile on.
            request = replace(request, services=tuple(sorted({*loaded.stack.services, *needed})))
            loaded = load(request, found)
        root = modelled_of(request, found).scope.report.root
    except OrchestraError as error:
        answer["problems"] = error.what.splitlines()
        return answer
    answer["file"] = masked(alerts.masked(loaded.model, MASK))
    answer["differs"] = _differences(now, _plain(loaded.stack))
    answer["sources"] = _sources(loaded.model, root, found, loaded.variables, environ)
    return answer


def _plain(stack: Stack) -> dict[str, Any]:
    """Services, networks and volumes as plain values, without what is only derived; contents are never among them."""
    model: dict[str, Any] = encode(stack)
    return {key: _without(model[key]) for key in ("services", "networks", "volumes")}


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(child) for key, child in value.items() if key not in DERIVED}
    return [_without(child) for child in value] if isinstance(value, list) else value


def _differences(running: Any, file: Any, path: Path = ()) -> list[dict[str, Any]]:
    if running == file:
        return []
    if isinstance(running, dict) and isinstance(file, dict):
        return [
            difference
            for key in dict.fromkeys([*running, *file])
            for difference in _differences(running.get(key), file.get(key), (*path, key))
        ]
    name = str(next((step for step in reversed(path) if isinstance(step, str)), ""))
    return [{"path": spelled(path), "running": masked(running, name), "file": masked(file, name)}]


def _sources(
    model: dict[str, Any], root: Node, found: Found, variables: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Where each value of the model is written, and through which variables it came."""
    lines = _Lines(found)
    places: dict[str, dict[str, Any]] = {}
    for path in _leaves(model):
        if path[0] != "services" or len(path) < KEY_DEPTH:
            continue
        if written(root, path[:KEY_DEPTH]) is None:
            places[spelled(path)] = {"place": "default", "variables": {}}
            continue
        mark = value_place(root, path)
        names = VARIABLE.findall(lines.text(mark.file, mark.line))
        came = {name: _origin(name, variables, environ) for name in names}
        places[spelled(path)] = {"place": f"{mark.file}:{mark.line}", "variables": came}
    return places


def _origin(name: str, variables: Mapping[str, str], environ: Mapping[str, str]) -> str:
    if name in environ:
        return "environment"
    return ".env" if name in variables else "default"


class _Lines:
    """Lines of the files; only for the names of variables in them, a line itself is never shown."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._texts: dict[str, list[str]] = {}

    def text(self, file: str, number: int) -> str:
        if file not in self._texts:
            path = next(
                (path for path in self._found.files if path.endswith(file)), f"{self._found.directory}/{file}"
            )
            try:
                self._texts[file] = Disk().read_text(path).splitlines()
            except (OSError, OrchestraError):
                self._texts[file] = []
        lines = self._texts[file]
        return lines[number - 1] if 0 < number <= len(lines) else ""


def _leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves(child, (*path, key))
    elif isinstance(value, list) and value:
        for number, child in enumerate(value):
            yield from _leaves(child, (*path, number))
    else:
        yield path


def spelled(path: Path) -> str:
    """`services.web.ports[0].target`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


if __name__ == "__main__":
    json.dump(compare(decode(Stack, json.load(sys.stdin)), os.environ), sys.stdout)
