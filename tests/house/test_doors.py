"""The house keeps its doors: processes use workshops and thinking, workshops use thinking, thinking uses nobody."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "orchestra"
SHARED = {"errors", "ours", "places", "values"}
THINKING = {"stack", "plan", "wire"}
WORKSHOPS = {"archive", "runtime", "network", "logs", "state"}
PROCESSES = {"keeper", "supervisor", "cli", "dashboard"}
MAY_USE: dict[str, set[str]] = {
    **dict.fromkeys(THINKING, THINKING | SHARED),
    **{room: THINKING | SHARED | {room} for room in WORKSHOPS},
    "keeper": THINKING | SHARED | {"keeper", "archive", "runtime", "logs"},
    # The supervisor starts a keeper when there is none; what passes between them otherwise are messages.
    "supervisor": THINKING | WORKSHOPS | SHARED | {"supervisor", "client", "keeper"},
    "cli": THINKING | {"archive", "logs", "state"} | SHARED | {"cli", "client", "keeper", "dashboard", ""},
    # Of the workshops only the logs: they are read where they lie, also those of a stack that does not run.
    "dashboard": THINKING | {"logs"} | SHARED | {"dashboard", "client"},
    "client": {"wire"} | SHARED,
    "errors": set(),
    "ours": set(),
    "places": set(),
    "values": set(),
}
ONE_DOOR = {"supervisor": {"keeper.start"}, "cli": {"keeper.start", "dashboard.serve"}}
"""Which module of another process may be used, where any may."""
OWN_LIBRARY = {
    "yaml": {"stack"},
    "jsonschema": {"stack"},
    "click": {"cli"},
    "sqlite3": {"state"},
    "anyio": {"supervisor", "dashboard"},
    "starlette": {"dashboard"},
    "uvicorn": {"dashboard"},
}
STDLIB_ONLY = {"archive", "runtime", "network", "logs", "wire", "keeper", "plan", "state"} | {
    "client",
    "errors",
    "ours",
    "places",
    "values",
}
NO_INPUT_OUTPUT = {"socket", "select", "subprocess", "threading", "asyncio", "time", "random", "secrets", "ctypes"}
THINKING_ABOUT_FILES = {
    "stack/files.py",
    "stack/finding.py",
    "stack/dotenv.py",
    "stack/loading.py",
    "stack/extends.py",
    "stack/include.py",
    "stack/schema.py",
    "stack/uses.py",
}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> Iterator[str]:
    """Every module that is imported anywhere in the file, in full ("orchestra.plan.facts", "yaml")."""
    package = ["orchestra", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield stem
            yield from (f"{stem}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_doors_open_one_way(path: Path):
    """No module imports from a room that its own may not enter."""
    room = room_of(path)
    if room == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "orchestra" or len(parts) < 2 or parts[1] == "__version__":
            continue
        entered = parts[1]
        assert entered in MAY_USE[room] | {room}, f"{path.relative_to(ROOT)} imports {name}"
        if entered in PROCESSES and entered != room and len(parts) > 2:
            assert ".".join(parts[1:3]) in ONE_DOOR[room], f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_each_library_belongs_to_one_room(path: Path):
    """A library is imported by its own workshop only; the rooms that the keeper loads know only the stdlib."""
    room = room_of(path)
    for name in imports(path):
        top = name.split(".")[0]
        if top in OWN_LIBRARY:
            assert room in OWN_LIBRARY[top], f"{path.relative_to(ROOT)} imports {name}"
        if room in STDLIB_ONLY:
            assert top == "orchestra" or top in sys.stdlib_module_names, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize(
    "path", [p for p in modules() if room_of(p) in THINKING], ids=lambda p: str(p.relative_to(ROOT))
)
def test_thinking_touches_nothing(path: Path):
    """No sockets, clocks, dice or threads where things are decided; files only where the stack file is read."""
    found = {name.split(".")[0] for name in imports(path)}
    assert not found & NO_INPUT_OUTPUT
    if str(path.relative_to(ROOT)) not in THINKING_ABOUT_FILES:
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "open" not in calls


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_frozen_values_are_ours(path: Path):
    """What a supervisor imports has no dataclass of the standard library: each would be compiled at every start."""
    if room_of(path) not in ("dashboard", "values"):
        assert "dataclasses.dataclass" not in imports(path), "import it from orchestra.values"


def test_only_the_keeper_and_its_children_fork():
    """A fork of a grown process is slow, and one of a process with threads is unsafe."""
    for path in modules():
        forks = [
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("fork", "forkpty")
        ]
        assert not forks or room_of(path) in ("keeper", "runtime", "cli"), path


def test_commands_speak_through_one_door():
    """What a command prints commands no terminal: cli/console sees to it, and nobody speaks past it."""
    for path in modules():
        if room_of(path) != "cli" or path.name == "console.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                past = called in ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write")
                assert not past, f"{path.relative_to(ROOT)}:{node.lineno} calls {called}"
