"""`include`: other files as projects of their own."""

from __future__ import annotations

from orchestra.stack.assemble import Assembly
from orchestra.stack.nodes import Node


def included(tree: Node, assembly: Assembly) -> Node:
    return tree
