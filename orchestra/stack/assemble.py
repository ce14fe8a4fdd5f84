"""One tree out of many texts: documents, variables, `include`, `extends`, and files merged in order.

Compose Specification, 13-merge.md, 14-include.md and 05-services.md (extends). Texts come through a function, so that
nothing here touches a disk itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field

from orchestra.errors import OrchestraError
from orchestra.stack.interpolate import Asked, interpolate, names
from orchestra.stack.merge import merge
from orchestra.stack.nodes import Node, empty
from orchestra.stack.problems import Mark, Path, Problem, Problems, refuse
from orchestra.stack.read import read
from orchestra.values import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """A file's name, as messages spell it, and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Assembly:
    """Where a project is, what its variables are, and how it reaches further files."""

    variables: Mapping[str, str]
    directory: str
    unset: Callable[[str], None]  # hears of each variable that has neither value nor default
    read_text: Callable[[str], str]
    spell: Callable[[str], str]  # a path as messages show it
    problems: list[Problem]  # what is wrong so far, and does not keep the rest from being read
    trail: tuple[str, ...] = ()  # files that include each other and then this one, as messages show them
    asked: dict[str, Asked] = field(default_factory=dict)  # variables that the texts speak of
    included: list[Node] = field(default_factory=list)  # every entry of an `include` so far, for all of them


def documents(sources: list[Source], problems: list[Problem]) -> list[Node]:
    """Every document of every file, in order; every file that is no YAML is told of."""
    found: list[Node] = []
    unreadable: list[Problem] = []
    for source in sources:
        try:
            found.extend(_top(node) for node in read(source.text, source.name, problems))
        except Problems as wrong:
            unreadable.extend(wrong.problems)
    if unreadable:
        raise Problems([*problems, *unreadable])
    if not found:
        raise refuse("the file is empty (it needs at least: services:)", Mark(sources[0].name, 1, 1))
    return found


def _top(node: Node) -> Node:
    if not isinstance(node.value, dict):
        raise refuse("a stack file is a mapping with the key services:", node.mark)
    return node


def assemble(found: list[Node], assembly: Assembly) -> Node:
    """Documents with their variables filled in, their services extended, merged in order."""
    merged = empty(found[0].mark)
    for tree in filled(found, assembly):
        if "include" in (tree.value if isinstance(tree.value, dict) else ()):
            from orchestra.stack.include import included

            tree = included(tree, assembly)
        if _extends(tree):
            from orchestra.stack.extends import extended

            tree = extended(tree, merged, assembly)
        merged = merge(merged, tree)
    return merged


def filled(found: list[Node], assembly: Assembly) -> list[Node]:
    """Documents with their variables filled in; every bad template is told of."""
    trees = []
    for node in found:
        assembly.asked.update(names(node))
        tree, wrong = interpolate(node, assembly.variables, assembly.unset)
        trees.append(tree)
        assembly.problems.extend(wrong)
    return trees


def _extends(tree: Node) -> bool:
    services = tree.get("services")
    if services is None or not isinstance(services.value, dict):
        return False
    return any(service.get("extends") for service in services.value.values())


@contextmanager
def reading(what: str, mark: Mark, path: Path) -> Iterator[None]:
    """A file that cannot be read is a problem of the place that names it."""
    try:
        yield
    except OSError as error:
        raise refuse(f"cannot read {what}: {error.strerror or error}", mark, path) from None
    except Problems:
        raise
    except OrchestraError as error:
        raise refuse(error.what, mark, path) from None
