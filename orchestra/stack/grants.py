"""`secrets` and `configs`: what a service may read, where it finds it, whose it is."""

from __future__ import annotations

from typing import Any

from orchestra.stack.model import FileSource, Grant
from orchestra.stack.problems import Path
from orchestra.stack.scope import Scope, normal, shown, without_extensions

_FOLDERS = {"secrets": "/run/secrets", "configs": ""}


def grants(kind: str, value: Any, path: Path, scope: Scope) -> list[dict[str, Any]]:
    """The long form; of two with one target, the later one stays."""
    found: dict[str, dict[str, Any]] = {}
    for index, entry in enumerate(value or ()):
        at = (*path, index)
        if entry is None:
            continue
        grant = without_extensions(entry) if isinstance(entry, dict) else {"source": entry}
        if not grant.get("source"):
            scope.report.key_problem(at, "source is missing (the key at the top level)")
            continue
        if "mode" in grant:
            mode = _mode(grant["mode"])
            if mode is None:
                scope.report.problem((*at, "mode"), f"{shown(grant['mode'])} is not a mode (write it like 0440)")
                continue
            grant["mode"] = f"0{mode:o}"
        if kind == "secrets" and "target" not in grant:
            grant["target"] = f"/run/secrets/{grant['source']}"
        found[str(grant.get("target") or grant["source"])] = grant
    return list(found.values())


def _mode(value: Any) -> int | None:
    """An octal number, or its digits as a string."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value <= 0o7777 else None
    text = str(value).lower().removeprefix("0o")
    return int(text, 8) if text and len(text) <= 5 and set(text) <= set("01234567") else None


def _target(kind: str, grant: dict[str, Any]) -> str:
    target = str(grant.get("target") or grant["source"])
    return normal(target if target.startswith("/") else f"{_FOLDERS[kind]}/{target}")


def parsed(kind: str, model: list[dict[str, Any]], path: Path, scope: Scope) -> tuple[Grant, ...]:
    found: dict[str, Grant] = {}
    for index, grant in enumerate(model):
        owner = {}
        for key in ("uid", "gid"):
            text = str(grant.get(key) or "0")
            if text.isascii() and text.isdecimal() and int(text[:12]) < 2**32 - 1:
                owner[key] = int(text)
            else:
                scope.report.problem((*path, index, key), f"{text!r} is not a number of a user or group")
        mode = int(grant.get("mode", "0444"), 8)
        target = _target(kind, grant)
        found[target] = Grant(grant["source"], target, mode=mode, **owner)
    return tuple(found.values())


def source(kind: str, key: str, model: dict[str, Any], path: Path, scope: Scope) -> FileSource:
    """Exactly one of file, environment and content; the environment is read now, the file when it is needed."""
    given = [name for name in ("file", "environment", "content", "external") if name in model]
    if "external" in given:
        scope.report.key_problem(
            (*path, "external"), f"external {kind} are not supported (use file, environment or content)"
        )
    elif len(given) != 1:
        found = " and ".join(given) if given else "nothing"
        scope.report.key_problem(path, f"expected exactly one of file, environment and content, found {found}")
    for name in ("driver", "template_driver", "driver_opts"):
        if name in model:
            scope.report.key_problem((*path, name), f"{name} of {kind} is not supported")
    content = model.get("content")
    variable = model.get("environment")
    if variable and "external" not in given:
        content = scope.variables.get(variable)
        if content is None:
            scope.report.problem((*path, "environment"), f"environment variable {variable} is not set")
    return FileSource(key, file=model.get("file"), content=content)
