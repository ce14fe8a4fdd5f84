"""One more process in a running container: exec, checks."""

from __future__ import annotations

import os

import pytest

from orchestra.runtime import StartError, cgroups

from .conftest import Machine

pytestmark = pytest.mark.kernel


def test_it_joins_everything(machine: Machine) -> None:
    """All namespaces and cgroups, and the same confinement as pid 1."""
    running = machine.sleeper()
    visitor = running.joined("sh", "-c", "echo ready; exec sleep 1000")
    assert visitor.line() == "ready"
    for kind in ("user", "net", "pid", "mnt", "ipc", "uts", "cgroup"):
        assert os.readlink(f"/proc/{visitor.pid}/ns/{kind}") == os.readlink(f"/proc/{running.pid}/ns/{kind}"), kind
    assert visitor.pid in cgroups.driver().processes(f"{machine.scope}/a")
    assert _read(visitor.pid, "cgroup") == _read(running.pid, "cgroup")
    for line in ("CapBnd", "CapEff", "Seccomp", "Seccomp_filters", "NoNewPrivs", "Uid", "Gid"):
        assert _status(visitor.pid, line) == _status(running.pid, line), line


def test_it_is_killed_with_the_container(machine: Machine) -> None:
    """What joined ends with pid 1."""
    running = machine.sleeper()
    visitor = running.joined("sleep", "1000")
    running.signal(9)
    assert running.wait() == -9
    assert visitor.wait() == -9


def test_it_has_its_own_user_environment_and_folder(machine: Machine) -> None:
    """`exec -u -e -w`."""
    ended = machine.sleeper().exec(
        "sh",
        "-c",
        "id -u; pwd; echo $A $HOME",
        user={"uid": 0, "gid": 0, "username": "www-data"},
        cwd="/var/lib",
        env=["A=b"],
    )
    assert ended.out.split() == ["33", "/var/lib", "b", "/var/www"]


def test_its_exit_code_comes_back(machine: Machine) -> None:
    """As the code of a child."""
    running = machine.sleeper()
    assert running.exec("sh", "-c", "exit 7").code == 7
    assert running.exec("sh", "-c", "kill -15 $$").code == -15


@pytest.mark.parametrize(("command", "code"), [("nothing-here", 127), ("/etc/passwd", 126), ("/var", 126)])
def test_what_cannot_run_has_the_code_of_a_shell(machine: Machine, command: str, code: int) -> None:
    """127 not found, 126 not executable."""
    running = machine.sleeper()
    with pytest.raises(StartError) as caught:
        running.exec(command)
    assert caught.value.code == code
    assert command in caught.value.what


def test_a_pid_that_is_somebody_else_is_not_joined(machine: Machine) -> None:
    """The start time tells one holder of a pid from the next."""
    running = machine.sleeper()
    running.start_time += 1
    with pytest.raises(StartError, match="No such process"):
        running.exec("true")


def test_it_works_at_the_pids_limit(machine: Machine) -> None:
    """Looking into a container that is full of processes is when one needs it most."""
    running = machine.sleeper(resources={"pids": {"limit": 1}})
    assert running.exec("echo", "hello").out == "hello\n"


def test_it_shows_nothing_of_the_host(machine: Machine) -> None:
    """Environment and descriptors are its own from its first instruction."""
    ended = machine.sleeper().exec("sh", "-c", "ls /proc/self/fd | wc -l; env | cut -d= -f1 | sort")
    assert ended.out.split() == ["4", "HOME", "PATH", "PWD"]


def test_it_cannot_be_spied_on_while_it_enters(machine: Machine) -> None:
    """Root inside that reads every new process' memory map and environment never sees Python's or the host's."""
    spy = (
        "import os\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for pid in os.listdir('/proc'):\n"
        "        if pid.isdigit() and int(pid) > 1:\n"
        "            for name in ('environ', 'maps', 'cmdline'):\n"
        "                try:\n"
        "                    text = open(f'/proc/{pid}/{name}').read()\n"
        "                except OSError:\n"
        "                    continue\n"
        "                if 'python' in text or 'pytest' in text.lower(): print('saw', name, flush=True)\n"
    )
    running = machine.start(machine.spec("/usr/bin/env", "python3", "-c", spy))
    assert running.line() == "ready"
    for _ in range(20):
        assert running.exec("/usr/bin/true", env=["PATH=/usr/bin"]).code == 0
    running.signal(9)
    assert "saw" not in running.end().out


def _read(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
        return file.read()


def _status(pid: int, name: str) -> str:
    return next(line for line in _read(pid, "status").splitlines() if line.startswith(f"{name}:"))
