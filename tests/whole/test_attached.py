"""Attaching to a container's own process, making without starting, and numbers of containers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

import pytest

from .stage import COMMAND, Stage, idle, py, sh, until, words_of
from .terminal import Terminal, at_terminal

pytestmark = pytest.mark.kernel
ECHO = """
print("ready", flush=True)
while True:
    line = input()
    print("heard", line, flush=True)
    if line == "end":
        raise SystemExit(4)
"""


def attached(stage: Stage, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "-p", "t", "attach", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=stage.work,
        env=stage.environ,
        text=True,
    )


def test_what_is_typed_arrives_and_what_is_said_comes_back(orchestra: Stage) -> None:
    """Where stdin is open; the exit code is the container's."""
    orchestra.up({"a": py(ECHO, stdin_open=True, stop_signal="SIGKILL")})
    until(lambda: "ready" in orchestra.logs(), "it listens")
    with attached(orchestra, "a") as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write("hello\n")
        client.stdin.flush()
        assert client.stdout.readline() == "heard hello\n"
        client.stdin.write("end\n")
        client.stdin.flush()
        assert client.stdout.readline() == "heard end\n"
        assert client.wait(20) == 4


def test_signals_are_passed_on_unless_they_are_not_to_be(orchestra: Stage) -> None:
    """--sig-proxy; without it the container goes on."""
    orchestra.up({"a": sh("trap 'echo got; exit 7' USR1; echo ready; while :; do sleep 1000 & wait $!; done")})
    until(lambda: "ready" in orchestra.logs(), "it listens")
    with attached(orchestra, "--no-stdin", "--no-sig-proxy", "a") as client:
        until(lambda: signal_is_default(client.pid), "it is attached", 10)
        client.send_signal(signal.SIGUSR1)
        assert client.wait(20) == -signal.SIGUSR1
    assert orchestra.row("t-a-1")["State"] == "running"
    with attached(orchestra, "a") as client:
        until(lambda: catches(client.pid, signal.SIGUSR1), "it passes signals on", 10)
        client.send_signal(signal.SIGUSR1)
        assert client.wait(20) == 7
        assert client.stdout is not None
        assert "got" in client.stdout.read()


def caught(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("SigCgt")), 16)


def catches(pid: int, number: int) -> bool:
    return bool(caught(pid) >> (number - 1) & 1)


def signal_is_default(pid: int) -> bool:
    return not catches(pid, signal.SIGUSR1)


def test_a_terminal_is_shared_and_left_by_keys(orchestra: Stage) -> None:
    """Also after another supervisor took over; what runs in it goes on."""
    orchestra.up({"a": {**sh("exec sh"), "tty": True, "stop_signal": "SIGKILL"}})
    pid = orchestra.pid("t-a-1")
    first = orchestra.supervisor()
    os.kill(first, signal.SIGKILL)
    until(lambda: orchestra.supervisor() not in (0, first), "another supervisor has taken over")
    until(lambda: orchestra.row("t-a-1")["State"] == "running", "it answers")
    with at_terminal(orchestra, "-p", "t", "attach", "a") as terminal:
        answered(terminal)
        terminal.press("echo $((40+2)) && tty\n")
        terminal.until("42")
        terminal.until("/dev/")
        terminal.press("\x10\x11")
        assert terminal.end() == 0
    assert orchestra.pid("t-a-1") == pid
    assert orchestra.row("t-a-1")["State"] == "running"


def test_a_terminals_log_comes_back_with_another_keeper(orchestra: Stage) -> None:
    """The supervisor, which outlives it, has the other end."""
    orchestra.up({"a": {**sh("exec sh"), "tty": True, "stop_signal": "SIGKILL"}})
    keeper = orchestra.process("orchestra-keeper")
    os.kill(keeper, signal.SIGKILL)
    until(lambda: any(pid != keeper and "orchestra-keeper" in words_of(pid) for pid in orchestra.processes()), "next")
    until(lambda: orchestra.run("exec", "-T", "a", "true").returncode == 0, "it has taken over")
    with at_terminal(orchestra, "-p", "t", "attach", "a") as terminal:
        answered(terminal)
        terminal.press("echo still $((40+2))\n")
        terminal.until("still 42")
        terminal.press("\x10\x11")
        assert terminal.end() == 0
    assert "still 42" in orchestra.logs("a")


def answered(terminal: Terminal) -> None:
    """The shell shows its prompt: keys that come before the terminal is handed over are dropped."""
    for _ in range(100):
        terminal.press("\n")
        with contextlib.suppress(AssertionError):
            terminal.until(r"[#$] ", 0.3)
            return
    raise AssertionError(terminal.plain)


def test_who_is_paused_or_stopped_cannot_be_attached_to(orchestra: Stage) -> None:
    """In words; so are keys that are none."""
    orchestra.up({"a": idle(), "b": idle()})
    orchestra.ok("pause", "a")
    orchestra.ok("stop", "b")
    assert "t-a-1 is paused" in orchestra.fails("attach", "a")
    assert "does not run" in orchestra.fails("attach", "b")
    assert "is no key" in orchestra.fails("attach", "--detach-keys", "strg-p", "a")


def test_create_makes_and_start_starts(orchestra: Stage) -> None:
    """Nothing runs before."""
    orchestra.write({"services": {"a": idle(depends_on=["b"]), "b": idle()}})
    orchestra.ok("create", "--scale", "b=2")
    states = {name: row["State"] for name, row in orchestra.rows().items()}
    assert states == {"t-a-1": "created", "t-b-1": "created", "t-b-2": "created"}
    orchestra.ok("start")
    assert {row["State"] for row in orchestra.rows().values()} == {"running"}
    assert "incompatible" in orchestra.fails("create", "--force-recreate", "--no-recreate")


def test_scale_changes_the_number_and_nothing_else(orchestra: Stage) -> None:
    """The others keep their processes."""
    orchestra.up({"a": idle(), "b": idle()})
    pids = {name: orchestra.pid(name) for name in ("t-a-1", "t-b-1")}
    orchestra.ok("scale", "a=3")
    assert set(orchestra.rows()) == {"t-a-1", "t-a-2", "t-a-3", "t-b-1"}
    orchestra.ok("scale", "a=1")
    assert set(orchestra.rows()) == {"t-a-1", "t-b-1"}
    assert {name: orchestra.pid(name) for name in pids} == pids
    assert "not SERVICE=NUMBER" in orchestra.fails("scale", "a=many")
