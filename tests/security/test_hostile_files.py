"""A stack file from somewhere else: it can neither hang nor exhaust whoever reads it, nor reach what is not its own.

Each is read by the command itself, with a bound on its memory and time; each gets one clear line.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMORY = 1 << 30
SECONDS = 20
"""Of the processor: what hangs takes all of it; the slowest of these takes one."""
SERVICE = "services: {a: {rootfs: host, command: x%s}}\n"
HALVES = [f"x-{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]\n" for i in range(1, 12)]
MERGES = [f"x-{i}: &b{i} {{<<: [{', '.join([f'*b{i - 1}'] * 9)}], k{i}: 1}}\n" for i in range(1, 9)]
DOUBLES = "V0=aaaaaaaaaa\n" + "".join(f"V{i + 1}=${{V{i}}}${{V{i}}}\n" for i in range(60))
TWICE = {f"f{i}.yml": f"include: [f{i + 1}.yml, ./f{i + 1}.yml, {{path: f{i + 1}.yml}}]\n" for i in range(1, 20)}

BOMBS: dict[str, tuple[str, str, dict[str, str]]] = {
    "aliases": ("x-0: &b0 [1]\n" + "".join(HALVES) + SERVICE % "", "more than 100000 values", {}),
    "merge keys": ("x-0: &b0 {k: v}\n" + "".join(MERGES) + SERVICE % "", "", {}),
    "nested lists": ("x-a: " + "[" * 100_000, "not YAML: exceeded maximum nesting depth", {}),
    "nested mappings": ("x-a: " + "{a: " * 50_000, "nested deeper than 64", {}),
    "includes itself": ("include: [stack.yml]\n" + SERVICE % "", "there is no end to it", {}),
    "includes twice": (
        "include: [f1.yml]\n" + SERVICE % "",
        "more than 200 files are included",
        {**TWICE, "f20.yml": "services: {}\n"},
    ),
    "extends in a ring": ("services: {a: {extends: b}, b: {extends: a}}\n", "nothing is left to start from", {}),
    "extends on and on": (
        "services:\n  a0: {rootfs: host}\n" + "".join(f"  a{i}: {{extends: a{i - 1}}}\n" for i in range(1, 900)),
        "more than 50 services extend one another",
        {},
    ),
    "doubling variables": (SERVICE % ", environment: {X: '${V60}'}", "longer than 1 MiB", {".env": DOUBLES}),
    "doubling in env_file": (SERVICE % ", env_file: e.env", "longer than 1 MiB", {"e.env": DOUBLES}),
    "one value many times": (
        SERVICE % (", environment: [" + ", ".join([f"'A{i}=x${{V}}'" for i in range(900)]) + "]"),
        "more than 16 MiB in one file",
        {".env": "V=" + "v" * 1_000_000},
    ),
    "nested variables": (SERVICE % f", user: '{'${A:-' * 5000}{'}' * 5000}'", "nested deeper than 50", {}),
    "many variables": (SERVICE % f", user: '{'${A:-b}' * 200_000}'", "more than 10000 variables in one value", {}),
    "many containers": (SERVICE % ", scale: 1000000000", "1000000000 containers are asked for", {}),
    "many ports": (
        SERVICE % (", ports: [" + ", ".join(f"'{i}-{i + 15000}:1-15001'" for i in range(1, 99)) + "]"),
        "host port 2-15002/tcp is published by a already",
        {},
    ),
    "many ports, one by one": (
        SERVICE % (", ports: [" + ", ".join(f"'{i}:1'" for i in range(1, 3000)) + "]"),
        "more than 1000 ports",
        {},
    ),
    "a long number": (SERVICE % f", scale: {'9' * 1_000_000}", "is not a whole number", {}),
    "a long ring": (
        "services:\n"
        + "".join(f"  s{i}: {{rootfs: host, command: x, depends_on: [s{(i + 1) % 900}]}}\n" for i in range(900)),
        "nothing can start first",
        {},
    ),
    "a tag of Python's": ("services: {a: !!python/object/apply:os.system ['touch owned']}\n", "not allowed here", {}),
    "many documents": ("---\n" * 50_000 + SERVICE % "", "", {}),
    "a name that is a path": ("services: {'../../a': {rootfs: host}}\n", "is not a name", {}),
    "a container name that is a path": (SERVICE % ", container_name: '../../a'", "is not allowed here", {}),
    "a volume name that is a path": (
        "volumes: {v: {name: ../../../../precious}}\n" + SERVICE % ", volumes: ['v:/v']",
        "'../../../../precious' is no name for a volume",
        {},
    ),
    "a network name that is a path": (
        "networks: {default: {name: ../../n}}\n" + SERVICE % "",
        "'../../n' is no name for a network",
        {},
    ),
    "a secret name that is a path": (
        "secrets: {../../s: {environment: A}}\n" + SERVICE % ", secrets: [../../s]",
        "is not a name",
        {},
    ),
}

Read = Callable[[str], subprocess.CompletedProcess[str]]


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`orchestra config` on a stack file with this text, as a process of its own."""

    def run(text: str, *words: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "stack.yml").write_text(text)
        return subprocess.run(
            [sys.executable, "-m", "orchestra.cli.main", "config", "-q", *words],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ORCHESTRA_HOME": str(tmp_path / "h")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=_bounded,
        )

    return run


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What was told, which is a line or two that a person can read."""
    assert done.returncode in (0, 1), done
    assert "fault in orchestra" not in done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) <= 3, lines[:5]
    assert max(map(len, lines), default=0) <= 1100, lines
    return done.stderr


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_stays_small(read: Read, tmp_path: Path, name: str) -> None:
    """However it multiplies itself, refers to itself, or asks for what nobody has."""
    text, words, others = BOMBS[name]
    for path, content in others.items():
        (tmp_path / path).write_text(content)
    done = read(text)
    assert words in said(done)
    assert (done.returncode == 1) == bool(words)
    assert not (tmp_path / "owned").exists()


USES = {  # the file's path stands for the @
    "the stack file": (SERVICE % "", ("-f", "@")),
    "env_file": (SERVICE % ", env_file: '@'", ()),
    "include": ("include: ['@']\n" + SERVICE % "", ()),
    "env_file of include": ("include: [{path: other.yml, env_file: '@'}]\n" + SERVICE % "", ()),
    "extends": ("services: {a: {extends: {file: '@', service: b}}}\n", ()),
    "--env-file": (SERVICE % "", ("--env-file", "@")),
}
TRAPS = ("a FIFO", "a socket", "a folder", "a huge file", "/dev/zero", "/dev/urandom", "/dev/tty", "/proc/self/mem")


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("use", USES)
def test_only_regular_files_of_a_reasonable_size_are_read(read: Read, tmp_path: Path, use: str, trap: str) -> None:
    """A FIFO keeps nobody waiting, a device without end fills no memory."""
    path = _trap(tmp_path, trap)
    text, words = USES[use]
    (tmp_path / "other.yml").write_text("services: {}\n")
    done = read(text.replace("@", path), *(word.replace("@", path) for word in words))
    assert done.returncode == 1
    told = said(done)
    assert os.path.basename(path) in told
    assert any(why in told for why in ("is not a regular file", "is larger than", "cannot", "error"))


def _trap(folder: Path, kind: str) -> str:
    path = folder / "trap"
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a socket":
        import socket

        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a huge file":
        with open(path, "wb") as file:
            file.truncate(10 << 30)
    else:
        return kind
    return str(path)
