"""One tree out of many texts: documents, variables, `include`, `extends`, and files merged in order.

It asks for texts through a function, so that it never touches a disk itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestra.stack.interpolate import interpolate
from orchestra.stack.merge import merge, settle
from orchestra.stack.nodes import Node, empty
from orchestra.stack.problems import Mark, Problem, Problems, refuse
from orchestra.stack.read import read


@dataclass(frozen=True, slots=True)
class Source:
    """A file's name, as messages spell it, and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Assembly:
    """How texts become one tree: the variables, who hears of unset ones, and where further files come from."""

    variables: Mapping[str, str]
    unset: Callable[[str], None]
    directory: str
    read_text: Callable[[str], str]


def documents(sources: list[Source]) -> list[Node]:
    """Every document of every file, in order; all unreadable files are told of at once."""
    problems: list[Problem] = []
    found: list[Node] = []
    for source in sources:
        try:
            found.extend(_top(node) for node in read(source.text, source.name))
        except Problems as wrong:
            problems.extend(wrong.problems)
    if problems:
        raise Problems(problems)
    if not found:
        raise refuse("the file is empty (it needs at least: services:)", Mark(sources[0].name, 1, 1))
    return found


def _top(node: Node) -> Node:
    if not isinstance(node.value, dict):
        raise refuse("a stack file is a mapping with the key services:", node.mark)
    return node


def assemble(found: list[Node], assembly: Assembly) -> Node:
    """Documents with their variables filled in, their services extended, merged in order."""
    from orchestra.stack.extends import extended
    from orchestra.stack.include import included

    problems: list[Problem] = []
    filled = []
    for node in found:
        tree, wrong = interpolate(node, assembly.variables, assembly.unset)
        filled.append(tree)
        problems.extend(wrong)
    if problems:
        raise Problems(problems)
    merged = empty(found[0].mark)
    for tree in filled:
        merged = merge(merged, settle(tree) if merged.value == {} else extended(tree, assembly))
    return included(merged, assembly)
