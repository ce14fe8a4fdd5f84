"""Services that misbehave: none of them harms the others, the supervisor or the disk."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from .ground import ANSWERING, IDLE, MNT_DETACH, Ground, cpu, ends, fill, libc, py, sh, until

pytestmark = pytest.mark.kernel

STUBBORN = "trap '' TERM INT HUP; while :; do sleep 1; done"
DAEMON = """
import os, time
for _ in range(2):
    if os.fork() and os.getpid() != 1:
        os._exit(0)
os.setsid() if os.getpid() != 1 else None
for descriptor in (0, 1, 2):
    os.close(descriptor)
time.sleep(1000)
"""


def test_who_ignores_sigterm_is_killed_after_the_grace(ground: Ground) -> None:
    """Not before, and not much later."""
    ground.up({"stubborn": sh(STUBBORN)})
    pids = until(lambda: ground.pids("t-stubborn-1"), "it runs")
    begun = time.monotonic()
    ground.ok("stop", "-t", "1", "stubborn")
    assert 0.9 < time.monotonic() - begun < 4
    assert all(ends(pid) for pid in pids)
    assert ground.row("t-stubborn-1")["last_exit"] == "killed by SIGKILL"


def test_double_forks_and_closed_streams_leave_nobody(ground: Ground) -> None:
    """Processes that left their parent, their session and their streams go with their container."""
    ground.up({"daemon": py(DAEMON)})
    pids = until(lambda: len(found := ground.pids("t-daemon-1")) > 2 and found, "it has forked")
    ground.down()
    assert all(ends(pid) for pid in pids)


def test_a_flood_of_output_is_bounded(ground: Ground) -> None:
    """Only so much as the log's policy allows is on disk; the newest line can be read."""
    policy = {"driver": "local", "options": {"max-size": "256k", "max-file": "2"}}
    flood = "yes 0123456789012345678901234567890123456789 | head -c 20000000; echo the end; " + IDLE
    ground.up({"flood": sh(flood, logging=policy)})
    until(lambda: "the end" in ground.logs("--tail", "1", "flood"), "all of it is written", 20)
    size = sum(path.stat().st_size for path in Path(ground.places.logs("t-flood-1")).iterdir())
    assert size < 2 * 256 * 1024 + 128 * 1024


def test_who_exits_at_once_for_ever_costs_little(ground: Ground) -> None:
    """The back-off doubles: few starts in three seconds, and no processor time while waiting."""
    ground.up({"crash": sh("exit 3", restart="always"), "idle": sh()})
    until(lambda: ground.row("t-crash-1")["restarts"] >= 4, "it was restarted some times", 10)
    row = ground.row("t-crash-1")
    assert row["last_exit"] == "exit code 3"
    begun, used = time.monotonic(), cpu(ground.supervisor()) + cpu(ground.keeper())
    time.sleep(2)  # measures what is used meanwhile
    spent = cpu(ground.supervisor()) + cpu(ground.keeper()) - used
    assert spent < 0.3 * (time.monotonic() - begun)
    assert ground.row("t-crash-1")["restarts"] <= row["restarts"] + 3
    assert ground.row("t-idle-1")["state"] == "running"


def test_a_stopped_service_is_found_out(ground: Ground) -> None:
    """SIGSTOP: it runs and does not answer."""
    check = {"http": "http://:80/", "interval": "200ms", "timeout": "300ms", "retries": 2}
    ground.up({"web": py(ANSWERING, healthcheck=check)}, "--wait")
    os.kill(ground.pid("t-web-1"), signal.SIGSTOP)
    row = until(lambda: (row := ground.row("t-web-1"))["health"] == "unhealthy" and row, "it is found out", 5)
    assert row["state"] == "running"
    os.kill(ground.pid("t-web-1"), signal.SIGCONT)
    until(lambda: ground.row("t-web-1")["health"] == "healthy", "it is healthy again", 5)


def test_a_check_that_hangs_is_killed_at_its_timeout(ground: Ground) -> None:
    """Also its children; checks do not pile up in the container."""
    check = {
        "test": ["CMD-SHELL", "sleep 1000 & sleep 1000"],
        "interval": "200ms",
        "timeout": "300ms",
        "retries": 3,
    }
    ground.up({"idle": sh(healthcheck=check)})
    until(lambda: ground.row("t-idle-1")["health"] == "unhealthy", "it is judged", 10)
    most = 0
    end = time.monotonic() + 2
    while time.monotonic() < end:
        most = max(most, len(ground.pids("t-idle-1")))
        time.sleep(0.05)
    assert most <= 8
    assert "within 0.3 s" in ground.row("t-idle-1")["why"]


def test_a_full_disk_harms_nobody(ground: Ground) -> None:
    """Nothing can be written: containers run on, a change is refused in one line, with room again all works."""
    disk = ground.folder / "h" / "data"
    disk.mkdir(parents=True)
    assert libc.mount(b"tmpfs", str(disk).encode(), b"tmpfs", 0, b"size=24m") == 0
    ground.mounted.append(str(disk))
    try:
        chatty = sh("trap 'exit 0' TERM; while :; do echo hello; sleep 0.01; done")
        ground.up({"chatty": chatty, "idle": sh(restart="always")})
        pids = ground.pid("t-chatty-1"), ground.pid("t-idle-1")
        filler = disk / "filler"
        fill(filler)
        crashed = ground.pid("t-idle-1")
        os.kill(crashed, signal.SIGKILL)
        until(lambda: ground.row("t-idle-1")["restarts"] == 1, "the policy goes on")
        assert not ends(pids[0])
        ground.write({"chatty": chatty, "idle": sh(restart="always"), "more": sh()})
        fill(filler)
        code, said = ground.run("up", "-d")
        assert code != 0
        assert "No space left" in said, said + ground.own_log()
        filler.unlink()
        ground.ok("up", "-d")
        assert {row["state"] for row in ground.rows().values()} == {"running"}
        assert not ends(pids[0])
        assert "hello" in ground.logs("--tail", "3", "chatty")
        ground.down()
        ground.nothing_left()
    finally:
        ground.kill_both()
        libc.umount2(str(disk).encode(), MNT_DETACH)
        ground.mounted.clear()
