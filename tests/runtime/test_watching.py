"""Probes leave nothing behind, also in a container whose process 1 waits for nobody."""

from __future__ import annotations

import os
import signal
import time

import pytest

from orchestra.runtime import StartError, cgroups

from .conftest import Machine, Running, until

pytestmark = pytest.mark.kernel
LONG = 60.0
LEAVING = "(sleep 1000 & setsid sh -c 'sleep 1000 & sleep 1000' & sh -c 'sleep 1000 & :' &) > /dev/null; sleep 0.1"


def inside(running: Running) -> list[int]:
    """Processes of a container, zombies among them: of these only the parent tells where they are."""
    wanted = os.readlink(f"/proc/{running.pid}/ns/pid")
    found, ended = [], []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{entry}/ns/pid_for_children") == wanted:
                found.append(int(entry))
        except PermissionError:  # what runs this machine
            continue
        except (FileNotFoundError, ProcessLookupError):
            ended.append(entry)
    return found + [int(entry) for entry in ended if _parent(entry) in found]


def _parent(entry: str) -> int:
    return int(_status(entry).partition("PPid:")[2].partition("\n")[0] or 0)


def _status(entry: str) -> str:
    try:
        with open(f"/proc/{entry}/status") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_what_it_leaves_behind_goes_with_it(machine: Machine) -> None:
    """In sessions of their own and with parents that have ended: killed and reaped; its exit code comes back."""
    running = machine.sleeper()
    begun = time.monotonic()
    assert running.exec("sh", "-c", f"{LEAVING}; exit 7", clean_after=LONG).code == 7
    assert time.monotonic() - begun < LONG / 2
    assert inside(running) == [running.pid]


def test_who_is_told_to_end_ends_with_all(machine: Machine) -> None:
    """As the keeper tells it when its time is over."""
    running = machine.sleeper()
    probe = running.joined("sh", "-c", f"trap '' TERM; {LEAVING}; echo ready; sleep 1000", clean_after=LONG)
    assert probe.line() == "ready"
    os.kill(probe.pid, signal.SIGTERM)
    assert probe.wait() == -signal.SIGKILL
    assert inside(running) == [running.pid]


def test_it_ends_in_time_also_when_nobody_tells_it(machine: Machine) -> None:
    """Its keeper may have been killed."""
    running = machine.sleeper()
    assert running.exec("sleep", "1000", clean_after=0.1).code == -signal.SIGKILL
    assert inside(running) == [running.pid]


def test_a_signal_that_ended_it_is_told(machine: Machine) -> None:
    """As of every process."""
    assert machine.sleeper().exec("sh", "-c", "kill -15 $$", clean_after=LONG).code == -signal.SIGTERM


def test_it_is_confined_as_the_service_is(machine: Machine) -> None:
    """In its cgroups; also where no process more could be forked in there."""
    running = machine.sleeper(resources={"pids": {"limit": 1}})
    probe = running.joined("sh", "-c", "echo $$; read line < /proc/self/cgroup; exec sleep 1000", clean_after=LONG)
    until(lambda: len(cgroups.driver().processes(f"{machine.scope}/a")) == 2, "it is in the cgroup")
    assert probe.pid not in cgroups.driver().processes(f"{machine.scope}/a")
    os.kill(probe.pid, signal.SIGTERM)
    probe.wait()


def test_what_cannot_run_leaves_nothing_either(machine: Machine) -> None:
    """And says why, with the code of a shell."""
    running = machine.sleeper()
    with pytest.raises(StartError) as caught:
        running.exec("nothing-here", clean_after=LONG)
    assert caught.value.code == 127
    until(lambda: inside(running) == [running.pid], "nobody else is there")


def test_what_a_person_has_started_stays(machine: Machine) -> None:
    """As with docker exec: only probes are cleaned up after. Who has ended waits for process 1 to see it."""
    running = machine.sleeper()
    assert running.joined("sh", "-c", LEAVING).wait() == 0
    stayed = [pid for pid in inside(running) if pid != running.pid]
    assert len(stayed) >= 4
    for pid in stayed:
        os.kill(pid, signal.SIGKILL)
    until(lambda: all("State:\tZ" in _status(str(pid)) for pid in stayed), "they have ended")
    assert set(inside(running)) == {running.pid, *stayed}
