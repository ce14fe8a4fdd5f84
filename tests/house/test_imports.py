"""What tests and benchmarks take from the product is there: who removes it hears of it at once, not in a long run."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
FILES = sorted(path for folder in ("tests", "benchmarks") for path in (TOP / folder).rglob("*.py"))


def taken(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of each `from orchestra… import …`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "orchestra":
            yield from ((node.module, name.name) for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TOP)))
def test_what_is_imported_is_there(path: Path) -> None:
    """A name of a module, or a module of a package."""
    for module, name in taken(path):
        if not hasattr(importlib.import_module(module), name):
            importlib.import_module(f"{module}.{name}")
