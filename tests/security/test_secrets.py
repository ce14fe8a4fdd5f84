"""Secrets reach the service that is given them, as files, and nobody else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from whole.stage import Stage, idle, until

pytestmark = pytest.mark.kernel
FROM_FILE, FROM_ENVIRONMENT = "tulip-in-a-file", "lily-in-a-variable"
TOKENS = {"STACK_TOKEN": FROM_ENVIRONMENT, "OTHER_TOKEN": "rose-of-the-caller"}
TALKATIVE = ["CMD-SHELL", "cat /run/secrets/*; test -e /tmp/well"]


@pytest.fixture
def garden(orchestra: Stage) -> Stage:
    """A service with two secrets whose health check talks of them, and one without."""
    (orchestra.work / "s.txt").write_text(FROM_FILE + "\n")
    check = {"test": TALKATIVE, "interval": "100ms", "retries": 1}
    orchestra.write(
        {
            "services": {"a": idle(secrets=["file", "variable"], healthcheck=check), "b": idle()},
            "secrets": {"file": {"file": "./s.txt"}, "variable": {"environment": "STACK_TOKEN"}},
        }
    )
    orchestra.ok("up", "-d", env=TOKENS)
    until(lambda: orchestra.row("t-a-1")["Health"] == "unhealthy", "the check has talked")
    return orchestra


def test_a_secret_is_told_by_nothing(garden: Stage) -> None:
    """No command, no event, no history has its value, though a health check printed it; masked is what it printed."""
    garden.inside("a", "touch /tmp/well")
    until(lambda: garden.row("t-a-1")["Health"] == "healthy", "the check is content")
    commands = (
        ("config", "--format", "json"),
        ("ps", "-a", "--format", "json"),
        ("inspect", "a"),
        ("events", "--json", "--since", "10m", "--until", "0s"),
        ("up", "--dry-run"),
        ("why", "a"),
        ("logs",),
        ("graph",),
    )
    for words in commands:
        said = garden.ok(*words, env=TOKENS)
        assert FROM_FILE not in said, words
        assert FROM_ENVIRONMENT not in said, words
    assert "********" in garden.ok("events", "--json", "--since", "10m", "--until", "0s")
    own = Path(garden.stack().data)
    garden.ok("stop")  # what is kept is written down by now
    for path in own.rglob("*"):
        if path.is_file() and "wanted.json" not in path.name:
            content = path.read_bytes()
            assert FROM_FILE.encode() not in content, path
            assert FROM_ENVIRONMENT.encode() not in content, path


def test_the_book_that_keeps_it_is_for_root_only(garden: Stage) -> None:
    """What came from a variable has to be kept somewhere, or no crash could be survived."""
    for path in Path(garden.home_folder).rglob("*"):
        if path.is_file() and path.parent.name != "ns" and FROM_ENVIRONMENT.encode() in path.read_bytes():
            assert path.stat().st_mode & 0o077 == 0, path
            assert path.stat().st_uid == 0, path


def test_helpers_have_nothing_of_it(garden: Stage) -> None:
    """Neither in their arguments nor in their environment, nor anything else that the caller had in its own."""
    values = [value.encode() for value in (*TOKENS.values(), FROM_FILE)]
    for pid in (garden.process("orchestra-keeper"), garden.supervisor()):
        found = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert not [value for value in values if value in found], pid


def test_only_the_service_that_is_given_it_has_it(garden: Stage) -> None:
    """As a file that cannot be changed, on no disk; not in its environment; the neighbour has nothing."""
    assert garden.inside("a", "cat /run/secrets/file /run/secrets/variable").split() == [FROM_FILE, FROM_ENVIRONMENT]
    assert "Read-only" in garden.inside("a", "echo x 2>&1 > /run/secrets/file || true")
    assert FROM_ENVIRONMENT not in garden.inside("a", "env; cat /proc/1/environ")
    assert "No such file" in garden.inside("b", "ls /run/secrets 2>&1 || true")
    upper = Path(garden.stack().data, "roots")
    assert not [
        path for path in upper.rglob("*") if path.is_file() and path.stat().st_size and "secrets" in str(path)
    ]


def test_the_socket_lets_only_its_owner_in(garden: Stage) -> None:
    """Not by the folder, and if somebody opened that, not by who is asking."""
    places = garden.stack()
    program = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "client = socket.socket(socket.AF_UNIX)\n"
        "try:\n"
        "    client.connect(sys.argv[1]); client.sendall(sys.argv[2].encode())\n"
        "    print(client.recv(1000) or 'closed')\n"
        "except OSError as error:\n"
        "    print(type(error).__name__)\n"
    )
    request = json.dumps({"do": "rows", "id": 1}) + "\n"
    short = Path("/tmp") / f"sock-{os.getpid()}"  # sun_path takes 108 bytes

    def ask() -> str:
        python = shutil.which("python3", path="/usr/bin") or "python3"
        done = subprocess.run([python, "-c", program, f"{short}/api.sock", request], capture_output=True, text=True)
        return done.stdout.strip()

    assert os.stat(places.run).st_mode & 0o777 == 0o700
    short.symlink_to(places.run)
    modes = {path: path.stat().st_mode for path in (Path(places.api_socket), *Path(places.run).parents)}
    try:
        assert ask() == "PermissionError"
        for path in (Path(places.run), *Path(places.run).parents):
            if path != Path("/"):
                path.chmod(0o777 if path != Path("/tmp") else 0o1777)
        Path(places.api_socket).chmod(0o777)
        assert ask() in ("closed", "ConnectionResetError", "BrokenPipeError")
    finally:
        short.unlink()
        Path(places.run).chmod(0o700)
        for path, mode in modes.items():
            path.chmod(mode & 0o7777)
