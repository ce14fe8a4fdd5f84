"""`extends`: a service that starts from another one."""

from __future__ import annotations

from orchestra.stack.assemble import Assembly
from orchestra.stack.nodes import Node


def extended(tree: Node, assembly: Assembly) -> Node:
    return tree
