"""Something runs out, or the clock jumps: one action is refused in words, nothing is lost, afterwards all goes on."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .ground import COUNTING, IDLE, MNT_DETACH, Ground, cpu, descriptors, ends, fill, free_port, libc, py, sh, until
from .ground import fetch as ask

pytestmark = pytest.mark.kernel
MANY = 200
JUMP = 600.0
"""Seconds: more than any time that orchestra waits for."""


@contextmanager
def small_disk(ground: Ground, part: str, size: str) -> Iterator[Path]:
    """A file system of its own for the run or the data directory, and a file on it that can fill it."""
    disk = ground.folder / "h" / part
    disk.mkdir(parents=True)
    assert libc.mount(b"tmpfs", str(disk).encode(), b"tmpfs", 0, f"size={size}".encode()) == 0
    ground.mounted.append(str(disk))
    try:
        yield disk / "filler"
    finally:
        ground.kill_both()
        libc.umount2(str(disk).encode(), MNT_DETACH)
        ground.mounted.clear()


def stalled(folder: Path) -> bool:
    """No file grows any more, although somebody writes."""
    before = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    time.sleep(0.5)
    return all(path.stat().st_size == size for path, size in before.items())


@contextmanager
def few_descriptors(pid: int, spare: int) -> Iterator[None]:
    """The process can open only so many more."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + spare, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_a_full_run_directory_harms_nobody(ground: Ground) -> None:
    """Containers and their output go on, restarts work or are tried again, `down` works with not a byte of room."""
    with small_disk(ground, "run", "4m") as filler:
        ground.up({"counts": sh(COUNTING), "idle": sh(restart="always")})
        pids = ground.pid("t-counts-1"), ground.pid("t-idle-1")
        fill(filler)
        os.kill(pids[1], signal.SIGKILL)
        until(lambda: ground.row("t-idle-1")["last_exit"] == "killed by SIGKILL", "the end is noticed")
        assert not ends(pids[0])
        filler.unlink()
        until(lambda: ground.row("t-idle-1")["state"] == "running", "the policy goes on")
        ground.kill_supervisor()
        until(lambda: ground.row("t-counts-1")["state"] == "running", "the next supervisor knows it")
        assert not ends(pids[0])
        fill(filler)
        ground.down()
        ground.nothing_left()


def test_a_full_disk_of_logs_stops_no_service(ground: Ground) -> None:
    """Who writes goes on writing; what fits afterwards is there, and a restart finds its log again."""
    with small_disk(ground, "data", "24m") as filler:
        ground.up({"counts": sh(COUNTING)})
        pid = ground.pid("t-counts-1")
        fill(filler)
        time.sleep(1)  # in which some hundred lines find no room
        assert not ends(pid)
        filler.unlink()
        before = ground.logs("--tail", "1", "counts")
        until(lambda: ground.logs("--tail", "1", "counts") != before, "new lines are kept")
        assert not ends(pid)
        ground.down()


def test_a_full_disk_that_has_the_logs_alone_costs_lines_only(ground: Ground) -> None:
    """What could not be kept is said, in the log itself; changes and restarts work all the while."""
    with small_disk(ground, "data/stacks/t/logs", "2m") as filler:
        ground.up({"counts": sh(COUNTING), "idle": sh(restart="always")})
        pid = ground.pid("t-counts-1")
        until(lambda: "line" in ground.logs("counts"), "it has written")
        fill(filler)
        lost = until(lambda: len(ground.logs("counts").splitlines()), "some lines are there")
        until(lambda: stalled(filler.parent), "lines find no room")
        os.kill(ground.pid("t-idle-1"), signal.SIGKILL)
        until(lambda: ground.row("t-idle-1")["restarts"] == 1, "the policy goes on")
        ground.up({"counts": sh(COUNTING), "idle": sh(restart="always"), "more": sh()})
        filler.unlink()
        until(lambda: "of output could not be kept, the disk was full" in ground.logs("counts"), "the loss is told")
        until(lambda: len(ground.logs("counts").splitlines()) > lost + 20, "new lines are kept")
        numbers = [int(line.split()[1]) for line in ground.logs("counts").splitlines() if line.startswith("line ")]
        assert numbers == sorted(set(numbers))
        assert ground.pid("t-counts-1") == pid
        assert "Traceback" not in ground.own_log()
        ground.down()
    Path(ground.places.data, "logs").rmdir()  # which was a disk until now


def test_a_full_data_disk_refuses_changes_and_forgets_nothing(ground: Ground) -> None:
    """Each refusal is a line that says where room is lacking and leaves all as it was; what happened meanwhile is in
    the history once there is room; `down` works without."""
    with small_disk(ground, "data", "24m") as filler:
        ground.up({"a": sh(restart="always", mem_limit="64m"), "b": sh()})
        fill(filler)
        first = ground.pid("t-a-1")
        os.kill(first, signal.SIGKILL)
        until(lambda: (row := ground.row("t-a-1"))["restarts"] == 1 and row["state"] == "running", "it is back")
        pair = ground.keeper(), ground.supervisor()
        ground.write({"a": sh(restart="always", mem_limit="64m"), "b": sh(environment={"NEW": "1"})})
        before = ground.pid("t-b-1")
        for words in (["update", "--memory", "48m", "a"], ["up", "-d"], ["up", "-d", "--scale", "b=3"]):
            fill(filler)
            code, said = ground.run(*words)
            assert code == 1, (words, said)
            assert "No space left on device" in said
            assert "make room there" in said
        assert (ground.keeper(), ground.supervisor()) == pair
        filler.unlink()
        ended = f"{ground.places.name}-a-1 ended: killed by SIGKILL"
        until(lambda: ended in ground.ok("events", "--since", "5m", "--until", "0s"), "the history has it")
        fill(filler)
        ground.kill_both()
        assert "t-a-1" in ground.ok("ps")
        assert (ground.pid("t-b-1"), len(ground.rows())) == (before, 2)
        assert str(64 << 20) in ground.ok("inspect", "a")
        filler.unlink()
        ground.ok("up", "-d")
        assert ground.pid("t-b-1") != before
        ground.ok("update", "--memory", "48m", "a")
        fill(filler)
        ground.down()
        ground.nothing_left()


def test_a_supervisor_without_descriptors_recovers(ground: Ground) -> None:
    """Commands wait, nothing spins, nobody is harmed; with room again the same supervisor answers."""
    port = free_port()
    ground.up({"web": py(ports=[f"127.0.0.1:{port}:80"]), "crash": sh("sleep 0.3; exit 1", restart="always")})
    until(lambda: ask(port) == "hello", "it answers")
    supervisor, web = ground.supervisor(), ground.pid("t-web-1")
    waiting = []
    for spare in range(4):
        with few_descriptors(supervisor, spare):
            waiting += [ground.begin("ps") for _ in range(3)]
            used, begun = cpu(supervisor), time.monotonic()
            time.sleep(2)  # measures what is used meanwhile
            assert cpu(supervisor) - used < 0.5 * (time.monotonic() - begun)
            assert ask(port) == "hello"
    for command in waiting:
        said, _ = command.communicate(timeout=30)
        assert "Traceback" not in said
    assert "t-web-1" in ground.ok("ps")
    assert (ground.supervisor(), ground.pid("t-web-1")) == (supervisor, web)
    assert "Traceback" not in ground.own_log()


def said(ground: Ground) -> str:
    """All that is remembered."""
    return ground.ok("events", "--since", "10m", "--until", "0s")


def test_idle_clients_of_a_published_port_take_nothing_from_others(ground: Ground) -> None:
    """They get a part of the supervisor's descriptors, and the last of them are served all the same: commands, health
    and whatever is looked after go on, and nothing false is remembered."""
    port = free_port()
    check = {"test": ["CMD", "true"], "interval": "500ms", "timeout": "5s", "retries": 1}
    ground.up({"web": py(ports=[f"{port}:80"], healthcheck=check)})
    until(lambda: ask(port, address="::1") == "hello", "it answers")
    until(lambda: ground.row("t-web-1")["health"] == "healthy", "it is healthy")
    supervisor = ground.supervisor()
    hard = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (128, hard))
    clients = []
    try:
        for _ in range(200):
            clients.append(socket.create_connection(("::1", port), timeout=5))
        until(lambda: "as many as it may have" in said(ground), "it is told")
        time.sleep(6)  # in which everything is looked at once
        assert descriptors(supervisor) < 100
        assert ask(port) == "hello"
        until(lambda: ask(port, address="::1") == "hello", "a new one is served")
        assert ground.row("t-web-1")["health"] == "healthy"
    finally:
        for client in clients:
            client.close()
    for false in ("damaged", "taken away", "cannot be checked", "went away"):
        assert false not in said(ground)
    assert "to now" not in ground.ok("history")
    assert ground.supervisor() == supervisor
    assert "Traceback" not in ground.own_log()


def test_what_a_supervisor_cannot_look_at_is_not_called_damage(ground: Ground) -> None:
    """With few descriptors or none it does not know, and says nothing false; afterwards it looks again."""
    checks = {"interval": "300ms", "timeout": "5s", "retries": 1}
    limits = {"resources": {"limits": {"memory": "64m", "network": {"ingress": "10mbit"}}}}
    ground.up(
        {
            "web": py(healthcheck={"tcp": 80, **checks}, deploy=limits),
            "plain": sh(healthcheck={"test": ["CMD", "true"], **checks}),
        }
    )
    until(lambda: {row["health"] for row in ground.rows().values()} == {"healthy"}, "they are healthy")
    supervisor = ground.supervisor()
    for spare in (0, 1, 3):
        with few_descriptors(supervisor, spare):
            time.sleep(6.5)  # in which everything is looked at once
    until(lambda: {row["health"] for row in ground.rows().values()} == {"healthy"}, "they are healthy")
    assert "is healthy" in said(ground)
    for false in (
        "damaged",
        "taken away",
        "is unhealthy: Too",
        "not limited",
        "was killed",
        "moved out",
        "went away",
    ):
        assert false not in said(ground)
    assert "to now" not in ground.ok("history")
    assert ground.supervisor() == supervisor
    assert "Traceback" not in ground.own_log()


def test_a_keeper_without_descriptors_refuses_starts_only(ground: Ground) -> None:
    """What runs is unharmed, the start says why it failed, and the restart policy succeeds once there is room."""
    ground.up({"counts": sh(COUNTING), "crash": sh("sleep 0.2; exit 1", restart="always")})
    keeper, counts = ground.keeper(), ground.pid("t-counts-1")
    until(lambda: ground.row("t-crash-1")["restarts"] >= 1, "it is restarted")
    with few_descriptors(keeper, 1):
        until(lambda: "Too many open files" in ground.row("t-crash-1")["last_exit"], "the cause is told")
        assert not ends(counts)
    number = ground.row("t-crash-1")["run"]
    until(lambda: ground.row("t-crash-1")["last_exit"] == "exit code 1", "it starts again")
    assert ground.row("t-crash-1")["run"] > number - 1
    assert (ground.keeper(), ground.pid("t-counts-1")) == (keeper, counts)
    assert "Traceback" not in ground.own_log()


@contextmanager
def clock_set(by: float) -> Iterator[None]:
    """The machine's clock is wrong by so many seconds for a moment."""
    wrong = time.clock_gettime(time.CLOCK_REALTIME) + by
    right = time.clock_gettime(time.CLOCK_REALTIME) - time.monotonic()
    time.clock_settime(time.CLOCK_REALTIME, wrong)
    try:
        yield
    finally:
        time.clock_settime(time.CLOCK_REALTIME, right + time.monotonic())


@pytest.mark.alone
@pytest.mark.parametrize("by", [JUMP, -JUMP], ids=["forward", "back"])
def test_a_clock_that_is_set_changes_nothing(ground: Ground, by: float) -> None:
    """Back-off, grace and health go by the monotonic clock; every line of the log can still be read, in order."""
    check = {"test": ["CMD", "true"], "interval": "200ms", "timeout": "2s", "retries": 2}
    ground.up(
        {
            "counts": sh(COUNTING),
            "checked": sh(healthcheck=check),
            "crash": sh("exit 1", restart="always"),
            "stubborn": sh("trap '' TERM; while :; do sleep 1; done", stop_grace_period="2s"),
        },
    )
    until(lambda: ground.row("t-crash-1")["restarts"] >= 5, "its back-off has grown")
    counts = ground.pid("t-counts-1")
    with clock_set(by):
        run = ground.row("t-crash-1")["run"]
        begun = time.monotonic()
        stopping = ground.begin("stop", "stubborn")
        time.sleep(1)  # a back-off by the wall clock would be over, or endless
        assert ground.row("t-crash-1")["run"] <= run + 1
        assert ground.row("t-checked-1")["health"] == "healthy"
        stopping.communicate(timeout=10)
        assert time.monotonic() - begun >= 1.8
    assert stopping.returncode == 0
    until(lambda: ground.row("t-crash-1")["run"] > run, "it is started again")
    until(lambda: ground.row("t-checked-1")["health"] == "healthy", "it is healthy")
    assert not ends(counts)
    numbers = [int(line.split()[1]) for line in ground.logs("counts").splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.timeout(300)
@pytest.mark.alone
def test_two_hundred_services_at_once(ground: Ground) -> None:
    """All of them run on one network, each with an address of its own, and all of them go."""
    ground.up({f"s{number}": sh() for number in range(MANY)})
    rows = ground.rows().values()
    assert [row["state"] for row in rows] == ["running"] * MANY
    assert len({row["addresses"]["default"] for row in rows}) == MANY
    assert descriptors(ground.keeper()) < 8 * MANY
    ground.ok("down", "-t", "5", timeout=120)
    ground.nothing_left()


def test_a_subnet_of_the_host_is_avoided_or_refused(ground: Ground) -> None:
    """A chosen subnet lies beside the host's routes; one that was asked for and overlaps is an error by name."""
    ground.up({"idle": sh()})
    [subnet] = ground.status()["networks"].values()
    ground.down()
    subprocess.run(["ip", "route", "add", "blackhole", subnet], check=True)
    try:
        ground.up({"idle": sh(IDLE)})
        [other] = ground.status()["networks"].values()
        assert other != subnet
        ground.down()
        ground.write({"idle": sh()}, networks={"default": {"ipam": {"config": [{"subnet": subnet}]}}})
        code, said = ground.run("up", "-d")
        assert code != 0
        assert subnet in said
        assert "Created" not in said
    finally:
        subprocess.run(["ip", "route", "del", "blackhole", subnet], check=True)
