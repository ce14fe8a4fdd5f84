"""What a subject (ports, mounts, limits …) needs while it reads its keys: where it is, and whom to tell.

Each subject turns what was written into the long, typed form that `docker compose config --format json` prints. What
cannot be turned is reported, left out, and the reading goes on: a file with five mistakes gets five lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

from orchestra.stack import units
from orchestra.stack.nodes import Node, place, value_place
from orchestra.stack.problems import Path, Problem, spell
from orchestra.stack.scalars import spelled
from orchestra.values import dataclass


@dataclass(slots=True)
class Report:
    """Collects what is wrong and what is odd."""

    root: Node
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    silenced: set[Path] = field(default_factory=set)  # told of already; what follows from it is not

    def problem(self, path: Path, what: str) -> None:
        """Something wrong with a value."""
        if path not in self.silenced:
            self.problems.append(Problem(value_place(self.root, path), path, what))

    def key_problem(self, path: Path, what: str) -> None:
        """Something wrong with a key itself, or with something that it should have."""
        if path not in self.silenced:
            self.problems.append(Problem(place(self.root, path), path, what))

    def place(self, path: Path) -> str:
        """As a problem says where it is."""
        return f"{value_place(self.root, path)}: {spell(path)}"

    def warn(self, what: str) -> None:
        """Something that is accepted, once per text."""
        if what not in self.warnings:
            self.warnings.append(what)


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything that reading depends on besides the text itself."""

    report: Report
    directory: str
    home: str
    variables: Mapping[str, str]
    read_text: Callable[[str], str]  # raises OSError, or OrchestraError for what is no regular file

    def absolute(self, path: str) -> str:
        """A path of the file as a path of the machine, `..` and `~` resolved, links left alone."""
        if path == "~" or path.startswith("~/"):
            path = self.home + path[1:]
        return normal(path if path.startswith("/") else f"{self.directory}/{path}")

    def flag(self, value: Any, path: Path) -> bool | None:
        if isinstance(value, bool):
            return value
        truth = units.truth(value) if isinstance(value, str) else None
        if truth is None:
            self.report.problem(path, f"{shown(value)} is neither true nor false")
        return truth

    def integer(self, value: Any, path: Path, least: int | None = None, most: int | None = None) -> int | None:
        number = value
        if isinstance(value, str):
            number = int(value) if value.lstrip("+-").isdecimal() and len(value) < 20 else None
        elif isinstance(value, float):
            number = int(value) if value == value and abs(value) < 2**63 and int(value) == value else None
        if number is None or isinstance(number, bool) or not isinstance(number, int):
            self.report.problem(path, f"{shown(value)} is not a whole number")
            return None
        if (least is not None and number < least) or (most is not None and number > most):
            bounds = f"{least} or more" if most is None else f"from {least} to {most}"
            self.report.problem(path, f"{number} is out of range (expected {bounds})")
            return None
        return number

    def number(self, value: Any, path: Path) -> float | int | None:
        found: float | None = None
        if isinstance(value, int | float) and not isinstance(value, bool):
            found = value
        elif isinstance(value, str):
            found = _float(value)
        if found is None or not 0 <= found < 2**31:
            self.report.problem(path, f"{shown(value)} is not a positive number")
            return None
        return int(found) if int(found) == found else found

    def size(self, value: Any, path: Path) -> int | None:
        found = units.size(value)
        if found is None:
            self.report.problem(path, f"{shown(value)} is not a size (write it like 512m, 1g or 4096)")
        return found

    def duration(self, value: Any, path: Path) -> int | None:
        found = units.duration(value)
        if found is None:
            self.report.problem(path, f"{shown(value)} is not a duration (write it like 30s, 1m30s or 500ms)")
        return found

    def text(self, value: Any, path: Path) -> str | None:
        if isinstance(value, str):
            return value
        self.report.problem(path, f"{shown(value)} is not a string (write it in quotes)")
        return None

    def texts(self, value: Any, path: Path) -> list[str]:
        """A list of words, numbers among them spelled; a single word is a list of one."""
        items = value if isinstance(value, list) else [] if value is None else [value]
        return [spelled(item) for item in items if item is not None and is_scalar(item)]

    def pairs(self, value: Any, path: Path, bare: str | None = "") -> dict[str, str | None]:
        """`KEY=value` lists and mappings as a mapping; `bare` is what a key without a value gets."""
        if isinstance(value, dict):
            return {key: bare if each is None else spelled(each) for key, each in value.items() if is_scalar(each)}
        found: dict[str, str | None] = {}
        for item in value if isinstance(value, list) else ():
            key, sign, text = spelled(item).partition("=") if is_scalar(item) and item is not None else ("", "", "")
            if key:
                found[key] = text if sign else bare
        return found


def is_scalar(value: Any) -> bool:
    return not isinstance(value, list | dict)


def without_extensions(mapping: dict[str, Any]) -> dict[str, Any]:
    """A mapping of fixed keys without `x-…`, which mean nothing."""
    return {key: value for key, value in mapping.items() if not key.startswith("x-")}


def shown(value: Any) -> str:
    """A value as a message quotes it, never long."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value) if isinstance(value, str) else "nothing" if value is None else spelled(value)
    return text if len(text) <= 80 else text[:79] + "…"


def normal(path: str) -> str:
    """A path with `.`, `..` and doubled slashes worked out, by its words alone."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if kept and kept[-1] != "..":
                kept.pop()
            elif not path.startswith("/"):
                kept.append(part)
        elif part not in ("", "."):
            kept.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(kept) or "."


def unique(items: Iterable[str]) -> list[str]:
    """In order, each once."""
    return list(dict.fromkeys(items))


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
