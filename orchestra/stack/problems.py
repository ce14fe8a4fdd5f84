"""What is wrong with a stack file: every problem with its place, told in one go.

A problem reads `file:line:column: services.api.ports[0]: what was found (what was expected)`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from orchestra.errors import OrchestraError
from orchestra.wire.terminal import line

Path = tuple[str | int, ...]
LONGEST = 1000
"""Characters of one problem that are told; a file from somewhere else may have names of any length."""
MOST = 100
"""Problems that are told in one go."""


class Mark(NamedTuple):
    """A place in a file; lines and columns count from 1, as editors do."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(NamedTuple):
    """One thing that is wrong: where in the text, at which key, and what."""

    mark: Mark | None
    path: Path
    what: str

    def __str__(self) -> str:
        words = [str(self.mark)] if self.mark else []
        if self.path:
            words.append(spell(self.path))
        text = line(": ".join([*words, self.what]))
        return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 4 :]}"


class Problems(OrchestraError):
    """Everything that is wrong with a stack, one line each."""

    def __init__(self, problems: Iterable[Problem], hint: str | None = None) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems), key=_place))
        lines = [str(problem) for problem in self.problems[:MOST]]
        if len(self.problems) > MOST:
            lines.append(f"… and {len(self.problems) - MOST} more")
        super().__init__("\n".join(lines), hint)


def _place(problem: Problem) -> tuple[str, int, int]:
    return problem.mark or ("", 0, 0)


def refuse(what: str, mark: Mark | None = None, path: Path = ()) -> Problems:
    """A single problem that leaves nothing more to read."""
    return Problems([Problem(mark, path, what)])


def spell(path: Path) -> str:
    """A path as people write it: services.api.ports[0]."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def similar(word: str, choices: Iterable[str]) -> str | None:
    """The choice that was most likely meant, if there is one near enough."""
    return _similar(word, tuple(choices)) if len(word) <= 100 else None


@cache
def _similar(word: str, choices: tuple[str, ...]) -> str | None:
    ranked = sorted((_distance(word.lower(), choice.lower()), choice) for choice in choices)
    return ranked[0][1] if ranked and ranked[0][0] <= max(1, len(word) // 3) else None


def _distance(one: str, other: str) -> int:
    """Edits between two words; two neighbours that changed places count as one (Damerau)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """` (did you mean …?)`, or nothing."""
    meant = similar(word, choices)
    return f" (did you mean {meant!r}?)" if meant else ""
