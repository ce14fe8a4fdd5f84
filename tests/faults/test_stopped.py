"""Keeper or supervisor is stopped by a signal: no command hangs, each says who it waits for, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .ground import ANSWERING, IDLE, Ground, fetch, free_port, py, sh, until

pytestmark = pytest.mark.kernel

BOUND = 15.0
"""Seconds within which a command has to answer, on a busy machine; not stopped it takes a tenth of one."""
COMMANDS = {
    "ps": ["ps"],
    "up": ["up", "-d", "--force-recreate"],
    "down": ["down"],
    "exec": ["exec", "-T", "idle", "true"],
    "cp": ["cp", "idle:/etc/hostname", "-"],
    "stats": ["stats", "--no-stream"],
    "ls": ["ls"],
}
NEED_NO_KEEPER = ("ps", "stats", "ls")


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def served(ground: Ground) -> tuple[Ground, int]:
    port = free_port()
    ground.up({"web": py(ANSWERING, ports=[f"127.0.0.1:{port}:80"], restart="always"), "idle": sh(IDLE)})
    until(lambda: fetch(port) == "hello", "it answers")
    return ground, port


@pytest.mark.parametrize("which", ["supervisor", "keeper"])
def test_no_command_waits_for_one_that_is_stopped(served: tuple[Ground, int], which: str) -> None:
    """Each ends in bounded time and names the process and the way out; once that goes on, all is as it was."""
    ground, port = served
    before = {name: ground.pid(name) for name in ("t-web-1", "t-idle-1")}
    pid = getattr(ground, which)()
    with stopped(pid):
        under_way = {name: ground.begin(*words) for name, words in COMMANDS.items()}
        for name, command in under_way.items():
            said, _ = command.communicate(timeout=BOUND)
            assert "Traceback" not in said, said
            if name == "ls":
                assert ("does not answer" in said) is (which == "supervisor"), said
            elif which == "keeper" and name in NEED_NO_KEEPER:
                assert command.returncode == 0, said
            else:
                assert command.returncode == 1, (name, said)
                assert f"{which} of stack t is stopped" in said, (name, said)
                assert f"kill -CONT {pid}" in said
        assert fetch(port) == "hello"
    until(lambda: ground.rows(), "it answers again")
    assert {name: ground.pid(name) for name in before} == before
    ground.ok("restart", "-t", "1", "idle")
    assert ground.pid("t-web-1") == before["t-web-1"]


@pytest.mark.parametrize("which", ["supervisor", "keeper"])
def test_a_command_under_way_notices_that_its_partner_is_stopped(ground: Ground, which: str) -> None:
    """`up` that waits for health while what it relies on is stopped: one line, and another `up` completes."""
    check = {"test": ["CMD", "test", "-e", "/tmp/ready"], "interval": "100ms", "timeout": "5s", "retries": 1000}
    ground.write({"slow": sh(IDLE, healthcheck=check)})
    command = ground.begin("up", "-d", "--wait")
    until(lambda: ground.pids("t-slow-1"), "it runs")
    with stopped(getattr(ground, which)()):
        said, _ = command.communicate(timeout=BOUND)
        assert command.returncode == 1
        assert f"{which} of stack t is stopped" in said, said
    ground.ok("exec", "-T", "slow", "touch", "/tmp/ready")
    ground.ok("up", "-d", "--wait")


def test_callers_without_end_do_not_wait_without_end(ground: Ground) -> None:
    """A queue that is full of callers who gave up: the next one is told, and after that all is well."""
    ground.up({"idle": sh(IDLE)})
    crowd: list[socket.socket] = []
    with stopped(ground.supervisor()):
        try:
            with contextlib.suppress(BlockingIOError):
                while len(crowd) < 1000:
                    crowd.append(socket.socket(socket.AF_UNIX))
                    crowd[-1].setblocking(False)
                    crowd[-1].connect(ground.places.api_socket)
            assert len(crowd) < 1000
            begun = time.monotonic()
            code, said = ground.run("ps")
            assert code == 1
            assert "takes no more callers" in said
            assert time.monotonic() - begun < BOUND
        finally:
            for each in crowd:
                each.close()
    assert "t-idle-1" in ground.ok("ps")
