"""Variables in values: `$V`, `${V}`, `${V-d}`, `${V:-d}`, `${V+r}`, `${V:+r}`, `${V?e}`, `${V:?e}` and `$$`.

Compose Specification, 12-interpolation.md. Everything else in braces is a mistake and is said to be one; a `$` that
starts nothing stays as it is. Defaults nest, and one that is not needed is not evaluated (as in compose-go 2.10.1).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from orchestra.stack.nodes import Node, Scalar
from orchestra.stack.problems import Problem
from orchestra.values import dataclass

_START = frozenset("_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LETTERS = _START | frozenset("0123456789")
_OPERATORS = (":-", ":+", ":?", "-", "+", "?")
_MAX_DEPTH = 50
_MAX_LENGTH = 1 << 20
"""Characters of one value with its variables filled in: each line of a `.env` may double the one before."""
_MAX_TOTAL = 16 << 20
"""Characters of all values of a file that have variables."""
_MAX_PARTS = 10_000
"""Variables in one value."""


class BadTemplate(ValueError):
    """What is wrong with a `${…}`, or which required variable is missing."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A `${…}`: `word` is the default, the replacement or the message, by the operator."""

    name: str
    operator: str = ""
    word: tuple[str | Variable, ...] = ()


Template = tuple[str | Variable, ...]


def template(text: str) -> Template:
    """A text as its literal parts and its variables."""
    return _Scanner(text).parts(depth=0)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parts(self, depth: int) -> Template:
        """Up to the end, or within braces up to the one that closes them."""
        if depth > _MAX_DEPTH:
            raise BadTemplate(f"${{…}} nested deeper than {_MAX_DEPTH}")
        text, found, literal = self._text, list[str | Variable](), ""
        braces = 0  # plain ones within a default, which have to pair up
        while self._at < len(text) and not (depth and not braces and text[self._at] == "}"):
            if len(found) > 2 * _MAX_PARTS:
                raise BadTemplate(f"more than {_MAX_PARTS} variables in one value")
            if depth and text[self._at] in "{}":
                braces += 1 if text[self._at] == "{" else -1
                literal, self._at = literal + text[self._at], self._at + 1
                continue
            if text[self._at] != "$":
                stop = self._next_special(depth)
                literal, self._at = literal + text[self._at : stop], stop
                continue
            following = text[self._at + 1 : self._at + 2]
            if following == "$":
                literal, self._at = literal + "$", self._at + 2
            elif following == "{":
                found += [literal, self._braced(depth)]
                literal = ""
            elif following in _START and following:
                self._at += 1
                found += [literal, Variable(self._name())]
                literal = ""
            else:
                literal, self._at = literal + "$", self._at + 1
        return tuple(part for part in (*found, literal) if part != "")

    def _next_special(self, depth: int) -> int:
        stops = [self._text.find(mark, self._at) for mark in ("${}" if depth else "$")]
        return min((stop for stop in stops if stop >= 0), default=len(self._text))

    def _name(self) -> str:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] in _LETTERS:
            self._at += 1
        return self._text[start : self._at]

    def _braced(self, depth: int) -> Variable:
        opened = self._at
        self._at += 2
        name = self._name()
        if not name or name[0] not in _START:
            raise self._wrong(opened, "a variable's name is made of letters, digits and _, and starts with no digit")
        operator = next((each for each in _OPERATORS if self._text.startswith(each, self._at)), "")
        self._at += len(operator)
        if not operator and self._text[self._at : self._at + 1] not in ("}", ""):
            raise self._wrong(opened, "after the name comes one of } - :- + :+ ? :?")
        word = self.parts(depth + 1) if operator else ()
        if self._text[self._at : self._at + 1] != "}":
            raise self._wrong(opened, "the closing } is missing")
        self._at += 1
        return Variable(name, operator, word)

    def _wrong(self, opened: int, why: str) -> BadTemplate:
        end = self._text.find("}", opened)
        shown = self._text[opened : end + 1 if end >= 0 else len(self._text)]
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
        return BadTemplate(f"{shown!r} is not a variable: {why} (write $$ for a plain $)")


def substitute(text: str, variables: Mapping[str, str], unset: Callable[[str], None]) -> str:
    """A text with its variables filled in; `unset` hears of each that has neither value nor default."""
    if "$" not in text:
        return text
    return evaluate(template(text), variables, unset)


def evaluate(parts: Template, variables: Mapping[str, str], unset: Callable[[str], None]) -> str:
    texts, length = [], 0
    for part in parts:
        texts.append(part if isinstance(part, str) else _value(part, variables, unset))
        length += len(texts[-1])
        if length > _MAX_LENGTH:
            raise BadTemplate(f"longer than {_MAX_LENGTH >> 20} MiB once its variables are filled in")
    return "".join(texts)


class Budget:
    """How much variables may add up to in one file."""

    def __init__(self) -> None:
        self._left = _MAX_TOTAL

    @property
    def over(self) -> bool:
        return self._left < 0

    def spend(self, text: str) -> str:
        """The same text. Raises BadTemplate when it is too much."""
        self._left -= len(text)
        if self._left < 0:
            raise BadTemplate(f"more than {_MAX_TOTAL >> 20} MiB in one file once variables are filled in")
        return text


def _value(variable: Variable, variables: Mapping[str, str], unset: Callable[[str], None]) -> str:
    name, operator = variable.name, variable.operator
    value = variables.get(name)
    given = bool(value) if operator.startswith(":") else value is not None
    kind = operator[-1:]
    if kind == "+":
        return evaluate(variable.word, variables, unset) if given else ""
    if given and value is not None:
        return value
    if kind == "-":
        return evaluate(variable.word, variables, unset)
    if kind == "?":
        message = evaluate(variable.word, variables, unset)
        state = "is empty" if value == "" else "is not set"
        raise BadTemplate(f"required variable {name} {state}" + (f": {message}" if message else ""))
    unset(name)
    return ""


def interpolate(root: Node, variables: Mapping[str, str], unset: Callable[[str], None]) -> tuple[Node, list[Problem]]:
    """A file's tree with the variables of all its values filled in (never those of its keys)."""
    problems: list[Problem] = []
    budget = Budget()

    def visit(node: Node, path: tuple[str | int, ...]) -> Node:
        value = node.value
        if isinstance(value, dict):
            changed = {key: visit(child, (*path, key)) for key, child in value.items()}
            same = all(changed[key] is child for key, child in value.items())
            return node if same else node.with_value(changed)
        if isinstance(value, list):
            items = [visit(child, (*path, index)) for index, child in enumerate(value)]
            return node if all(a is b for a, b in zip(items, value, strict=True)) else node.with_value(items)
        return scalar(node, value, path)

    def scalar(node: Node, value: Scalar, path: tuple[str | int, ...]) -> Node:
        if not isinstance(value, str) or "$" not in value or budget.over:
            return node
        try:
            return node.with_value(budget.spend(substitute(value, variables, unset)))
        except BadTemplate as error:
            problems.append(Problem(node.mark, path, str(error)))
            return node

    return visit(root, ()), problems


@dataclass(frozen=True, slots=True)
class Asked:
    """How a file speaks of a variable, as `config --variables` shows it."""

    required: bool = False
    default: str = ""
    replacement: str = ""


def names(root: Node) -> dict[str, Asked]:
    """Every variable that a tree speaks of, by the first place that has it."""
    found: dict[str, Asked] = {}
    _note_all(root, found)
    return found


def _note_all(node: Node, found: dict[str, Asked]) -> None:
    if isinstance(node.value, dict | list):
        for child in node.value.values() if isinstance(node.value, dict) else node.value:
            _note_all(child, found)
    elif isinstance(node.value, str) and "$" in node.value:
        with contextlib.suppress(BadTemplate):  # told of when the tree is filled in
            _note(template(node.value), found)


def _note(parts: Template, found: dict[str, Asked]) -> None:
    for part in parts:
        if isinstance(part, Variable):
            kind, words = part.operator[-1:], _shown(part.word)
            asked = Asked(kind == "?", words if kind == "-" else "", words if kind == "+" else "")
            found.setdefault(part.name, asked)
            _note(part.word, found)


def _shown(parts: Template) -> str:
    return "".join(part if isinstance(part, str) else f"${{{part.name}}}" for part in parts)
