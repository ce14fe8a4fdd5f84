"""`init: true`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from orchestra.runtime import StartError, init

from .conftest import Machine, until

HERE = Path(init.__file__).parent


@pytest.mark.kernel
@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143), ("true", 0)])
def test_it_ends_as_the_service_ends(machine: Machine, script: str, code: int) -> None:
    """With its code, or 128 and the signal."""
    assert machine.shell(script, init=True).code == code


@pytest.mark.kernel
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGRTMIN + 3]
)
def test_it_passes_signals_on(machine: Machine, number: int) -> None:
    """A service without any handler ends by SIGTERM, which as pid 1 it would not."""
    running = machine.start(machine.spec("sh", "-c", "echo ready; exec sleep 1000", init=True))
    assert running.line() == "ready"
    running.signal(number)
    assert running.wait() == 128 + number


@pytest.mark.kernel
def test_it_reaps_orphans(machine: Machine) -> None:
    """Children whose parent ended do not stay as zombies."""
    orphans = "for i in 1 2 3 4 5; do (true & exec true); done"
    until_reaped = "until [ $(ps -e -o stat= | grep -c Z) = 0 ]; do :; done"
    ended = machine.shell(f"{orphans}; {until_reaped}; echo reaped; ps -e -o args= | head -1", init=True)
    assert ended.out.split()[:2] == ["reaped", "init"]


@pytest.mark.kernel
def test_it_holds_nothing_open(machine: Machine) -> None:
    """Neither the streams nor the starter's pipe; and it has the service's confinement."""
    running = machine.sleeper(init=True)
    until(lambda: not os.listdir(f"/proc/{running.pid}/fd"), "init closed its streams")
    with open(f"/proc/{running.pid}/status", encoding="ascii") as file:
        assert "Seccomp_filters:\t2" in file.read()
    assert "/memfd:init" in os.readlink(f"/proc/{running.pid}/exe")


@pytest.mark.kernel
@pytest.mark.parametrize(("command", "code"), [("nothing-here", 127), ("/etc/passwd", 126)])
def test_a_program_that_cannot_run_fails_the_start(machine: Machine, command: str, code: int) -> None:
    """As without init."""
    with pytest.raises(StartError) as caught:
        machine.run(command, init=True)
    assert caught.value.code == code


@pytest.mark.parametrize("machine_name", ["x86_64", "aarch64"])
def test_the_shipped_program_is_what_the_source_builds(machine_name: str, tmp_path: Path) -> None:
    """With Debian 12's compiler the bytes are the same."""
    compiler = shutil.which(f"{machine_name}-linux-gnu-gcc")
    if compiler is None:
        pytest.skip(f"no {machine_name} gcc here")
    version = subprocess.run(
        [compiler, "-dumpfullversion"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if version != "12.2.0":
        pytest.skip(f"gcc {version}, built with 12.2.0")
    subprocess.run([HERE / "build.sh", tmp_path], check=True)
    name = f"init.{machine_name}"
    assert (tmp_path / name).read_bytes() == (HERE / name).read_bytes()
    assert len((HERE / name).read_bytes()) < 2048
