"""The README's tables of promises name tests; a test that is renamed or gone must not go on being promised."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADING = "## What is promised, and the test that shows it"


def tables() -> list[list[str]]:
    """The rows of the section, each as its cells; heads and rules left out. The first table is about tests/faults."""
    section = (ROOT / "README.md").read_text().partition(HEADING)[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return [row for row in rows if not set(row[0]) <= {"-"} and row[-1] != "shown by"]


def found(name: str) -> list[Path]:
    """Files that a word of the table can mean: a path, or a module of any folder of tests."""
    path = ROOT / name
    if "/" in name:
        return [path] if path.is_file() else sorted(path.glob("test_*.py"))
    return sorted((ROOT / "tests").glob(f"*/{name.removesuffix('.py')}.py"))


def functions(path: Path) -> list[str]:
    return [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def matches(pattern: str, names: list[str]) -> bool:
    """`…` stands for any words."""
    shape = ".*".join(map(re.escape, pattern.split("…")))
    return any(re.fullmatch(shape, name) for name in names)


def test_there_are_promises():
    """The section is found, so that the others mean something."""
    assert len(tables()) > 25


@pytest.mark.parametrize("row", tables(), ids=lambda row: row[0][:40])
def test_what_is_promised_is_shown(row: list[str]):
    """Every module and every test that a row names is there."""
    assert len(row) == 3, row
    words = re.findall(r"`([^`]+)`", row[2])
    assert words, f"no test shows: {row[0]}"
    modules: list[Path] = []
    for word in words:
        if files := ([] if "…" in word else found(word)):
            modules = files
        elif match := re.fullmatch(r"python -m (tests\.[\w.]+)", word):
            assert (ROOT / match[1].replace(".", "/")).with_suffix(".py").is_file(), word
        else:
            named = [name for module in modules for name in functions(module)]
            assert matches(word, named), f"{word} is in none of {[str(module) for module in modules]}"
