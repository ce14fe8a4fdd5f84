"""A stack file as a tree whose every part knows where it was written.

Nodes are never changed once made: aliases share them, and each step makes new ones where something differs.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from orchestra.stack.problems import Mark, Path
from orchestra.values import dataclass

Scalar = str | int | float | bool | None
Tag = Literal["", "reset", "override"]


@dataclass(slots=True)
class Node:
    """A scalar, a list or a mapping. `keys` says where each key of a mapping stands."""

    value: Scalar | list[Node] | dict[str, Node]
    mark: Mark
    tag: Tag = ""
    keys: dict[str, Mark] = field(default_factory=dict)
    size: int = 1  # nodes below and itself, with every alias counted as often as it is used
    height: int = 1

    def plain(self) -> Any:
        """The bare value, without places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def get(self, key: str) -> Node | None:
        """The child under a key, if this is a mapping that has it."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    def with_value(self, value: Scalar | list[Node] | dict[str, Node]) -> Node:
        """The same place and tag around another value."""
        return Node(value, self.mark, self.tag, self.keys)


def empty(mark: Mark) -> Node:
    """A mapping with nothing in it."""
    return Node({}, mark)


def place(root: Node, path: Path) -> Mark:
    """Where the last key of a path is written, or the nearest part of it that is written anywhere."""
    return _walk(root, path)[0]


def value_place(root: Node, path: Path) -> Mark:
    """Like `place`, but of the value rather than of its key."""
    mark, node = _walk(root, path)
    return node.mark if node else mark


def written(root: Node, path: Path) -> Mark | None:
    """Where the value of exactly this path is written, None where it is not."""
    mark, node = _walk(root, path)
    return None if node is None else mark


def _walk(root: Node, path: Path) -> tuple[Mark, Node | None]:
    """The mark of the last step that exists, and its node if that was the last one of all."""
    mark, node = root.mark, root
    for step in path:
        child = _child(node, step)
        if child is None:
            return mark, None
        mark = node.keys.get(str(step), child.mark)
        node = child
    return mark, node


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node.value, dict):
        return node.value.get(str(step))
    if isinstance(node.value, list):
        if isinstance(step, int):
            return node.value[step] if step < len(node.value) else None
        # The short form of a mapping: a list of names, or of KEY=value.
        return next((child for child in node.value if _names(child.value, step)), None)
    return None


def _names(value: object, name: str) -> bool:
    return isinstance(value, str) and (value == name or value.startswith(f"{name}="))
