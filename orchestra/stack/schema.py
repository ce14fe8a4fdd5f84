"""The stack file against `schema/stack.schema.json`, all problems with their places.

jsonschema costs 70 ms to import, so it is only imported when a document was not found valid before; the caller keeps
that memory. What is wrong is cut out of the document, so that the reading can go on and find what else is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from orchestra.stack.problems import Path, did_you_mean
from orchestra.stack.scope import Report, shown

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "boolean": "true or false",
    "null": "nothing",
    "integer": "a whole number",
    "number": "a number",
}


def text() -> str:
    """The schema: beside this module when installed, in `schema/` of the source tree."""
    here = os.path.dirname(os.path.abspath(__file__))
    for path in (f"{here}/stack.schema.json", f"{here}/../../schema/stack.schema.json"):
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                return file.read()
    raise FileNotFoundError(f"{here}/stack.schema.json")


def check(
    document: dict[str, Any],
    report: Report,
    known_valid: Callable[[str], bool] | None = None,
    remember_valid: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Reports what the schema does not allow, and gives the document without it."""
    schema = text()
    digest = fingerprint(document, schema)
    if known_valid is not None and known_valid(digest):
        return document
    errors = _errors(document, json.loads(schema))
    if not errors:
        if remember_valid is not None:
            remember_valid(digest)
        return document
    for error in errors:
        for path, on_key, what in _explain(error):
            (report.key_problem if on_key else report.problem)(path, what)
    report.silenced.update(problem.path for problem in report.problems if problem.path)
    return _without(document, report.silenced)


def fingerprint(document: dict[str, Any], schema: str) -> str:
    """Changes when the document or the schema does."""
    # Types matter (1 is not "1"), so does not the order of keys.
    body = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(schema.encode() + b"\0" + body.encode("utf-8", "surrogatepass")).hexdigest()


def _errors(document: dict[str, Any], schema: dict[str, Any]) -> list[ValidationError]:
    from jsonschema import Draft202012Validator

    return list(Draft202012Validator(schema).iter_errors(document))


def _explain(error: ValidationError) -> Iterator[tuple[Path, bool, str]]:
    """Path, whether the key is to be pointed at, and words; an `anyOf` is followed into the branch that was meant."""
    path: Path = tuple(error.absolute_path)
    given: Any = error.instance
    rule: Any = error.validator_value
    if error.validator == "anyOf":
        branch = _meant(error)
        if branch:
            for inner in branch:
                yield from _explain(inner)
        else:
            yield path, False, f"{_found(error.instance)} is not allowed here{_expected(error.schema)}"
    elif error.validator == "additionalProperties":
        yield from _unknown_keys(error, path)
    elif error.validator == "required":
        for name in rule:
            if name not in given:
                yield path, True, f"{name} is missing"
    elif error.validator == "enum":
        choices = [str(choice) for choice in rule]
        near = did_you_mean(str(error.instance), choices)
        yield path, False, f"{shown(error.instance)} is not one of {', '.join(choices)}{near}"
    elif error.validator == "type":
        quotes = "; write it in quotes" if _wants_quotes(error) else ""
        yield path, False, f"{_found(error.instance)} is not allowed here{_expected(error.schema, quotes)}"
    else:
        yield path, False, f"{shown(error.instance)} is not allowed here{_expected(error.schema)}"


def _meant(error: ValidationError) -> list[ValidationError]:
    """The errors of the one branch whose type fits the value."""
    branches: dict[int, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)  # type: ignore[arg-type]
    fitting = [
        found
        for found in branches.values()
        if not any(inner.validator in ("type", "anyOf") and not inner.path for inner in found)
    ]
    return fitting[0] if len(fitting) == 1 else []


def _unknown_keys(error: ValidationError, path: Path) -> Iterator[tuple[Path, bool, str]]:
    import re

    schema: Any = error.schema
    given: Any = error.instance
    known = list(schema.get("properties", ()))
    patterns = list(schema.get("patternProperties", ()))
    for key in given:
        if key in known or any(re.search(pattern, key) for pattern in patterns):
            continue
        if known:
            yield (*path, key), True, f"unknown key {key!r}{did_you_mean(key, known) or _choices(known)}"
        elif key:
            yield (*path, key), True, f"{key!r} is not a name (expected letters, digits, . _ and -)"
        else:
            yield (*path, key), True, "a key cannot be empty"


def _choices(known: list[str]) -> str:
    return f" (expected one of {', '.join(known)})" if len(known) <= 12 else ""


def _found(value: Any) -> str:
    if isinstance(value, dict | list):
        return shown(value)
    if value is None:
        return "an empty value"
    kind = "" if isinstance(value, str) else "the boolean " if isinstance(value, bool) else "the number "
    return f"{kind}{shown(value)}"


def _wants_quotes(error: ValidationError) -> bool:
    wanted = error.validator_value
    return wanted == "string" and isinstance(error.instance, int | float)


def _expected(schema: Any, more: str = "") -> str:
    if not isinstance(schema, dict):
        return ""
    words = schema.get("description") or _kinds(schema.get("type"))
    return f" (expected {words}{more})" if words else ""


def _kinds(kinds: Any) -> str:
    names: Iterable[str] = [kinds] if isinstance(kinds, str) else kinds or ()
    return " or ".join(_WORDS[name] for name in names)


def _without(document: dict[str, Any], wrong: set[Path]) -> dict[str, Any]:
    """A copy without the wrong parts.

    An item of a list becomes None, so that the others keep their index; what is named at the top level stays,
    emptied, so that it can be referred to.
    """
    cuts = {_cut(path) for path in wrong}

    def visit(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: visit(child, (*path, key)) for key, child in value.items() if (*path, key) not in cuts}
        if isinstance(value, list):
            return [None if (*path, i) in cuts else visit(child, (*path, i)) for i, child in enumerate(value)]
        return value

    kept: dict[str, Any] = visit(document, ())
    for section in ("services", "networks", "volumes", "secrets", "configs"):
        entries = document.get(section)
        if isinstance(entries, dict) and isinstance(kept.get(section), dict):
            kept[section] = {key: kept[section].get(key) or {} for key in entries}
        else:
            kept.pop(section, None)
    return kept


def _cut(path: Path) -> Path:
    """What to leave out for a wrong path: the whole item, when it is inside of a list."""
    numbers = [index for index, step in enumerate(path) if isinstance(step, int)]
    return path[: numbers[-1] + 1] if numbers else path
