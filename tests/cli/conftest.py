"""Commands against a fake supervisor: in this process, as a process of their own, and on a terminal."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from terminal_window import Window

from orchestra.cli import colours
from orchestra.cli.guard import guarded
from orchestra.places import Home, Places

SOURCE = Path(__file__).parents[2]
STORE = """
name: store
services:
  web:
    rootfs: host
    command: [python3, -m, http.server]
    depends_on: {cart: {condition: service_healthy}}
  cart:
    rootfs: host
    command: [python3, -m, cart]
    healthcheck: {tcp: 8000}
"""


@dataclass
class Ran:
    status: int
    out: str
    err: str


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home of its own, a folder with a stack file in it, and nothing else in the environment that matters."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "store.yml").write_text(STORE)
    monkeypatch.chdir(project)
    for name in [name for name in os.environ if name.startswith(("COMPOSE_", "ORCHESTRA_", "DOCKER_"))]:
        monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ORCHESTRA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.setenv("PWD", str(project))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TZ", "UTC")
    return Home.of(os.environ, os.geteuid())


@pytest.fixture
def places(home: Home) -> Places:
    return home.stack("store")


@pytest.fixture
def orchestra(home: Home, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ran]]:
    """Run a command in this process."""

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        status = guarded(arguments)
        return Ran(status, *capfd.readouterr())

    yield run
    colours.choose("auto")


@pytest.fixture
def process(home: Home) -> Callable[..., Ran]:
    """Run a command as a process of its own."""

    def run(*arguments: str, stdin: str = "") -> Ran:
        command = [sys.executable, "-m", "orchestra.cli.main", *arguments]
        ended = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30, check=False)
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def begun(home: Home) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begin a command as a process of its own, with its outputs to be read."""
    with contextlib.ExitStack() as processes:

        def begin(*arguments: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "orchestra.cli.main", *arguments]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield begin


@pytest.fixture
def window(home: Home) -> Iterator[Callable[..., Window]]:
    """Run a command on a terminal."""
    opened: list[Window] = []

    def run(*arguments: str, rows: int = 24, columns: int = 80) -> Window:
        opened.append(Window([sys.executable, "-m", "orchestra.cli.main", *arguments], rows, columns))
        return opened[-1]

    yield run
    for each in opened:
        each.close()
