"""How the service's own process starts, what it gets, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .stage import COMMAND, PATIENCE, Stage, idle, py, sh, until

pytestmark = pytest.mark.kernel
IPC = {
    "kernel.shmmax": 1 << 30,
    "kernel.shmall": 1 << 20,
    "kernel.shmmni": 123,
    "kernel.shm_rmid_forced": 1,
    "kernel.msgmax": 65536,
    "kernel.msgmnb": 131072,
    "kernel.msgmni": 77,
    "kernel.sem": "250 64000 100 512",
    "fs.mqueue.msg_max": 50,
    "fs.mqueue.msg_default": 20,
    "fs.mqueue.msgsize_max": 16384,
    "fs.mqueue.msgsize_default": 4096,
    "fs.mqueue.queues_max": 99,
}


@pytest.fixture(scope="module")
def dressed(shared: Stage) -> Stage:
    """One service with every attribute of a process, a second with none."""
    (shared.work / "first.env").write_text("FILE=from file\nBOTH=file\n# no\nQUOTED='a b'\n")
    (shared.work / ".env").write_text("GREETING=good morning\n")
    given = {
        "environment": {"PLAIN": "x", "BOTH": "service", "GREETS": "${GREETING} $$HOME ${NONE:-nobody}", "EMPTY": ""},
        "env_file": ["first.env"],
        "working_dir": "/var/tmp",
        "user": "1000:1001",
        "group_add": ["44"],
        "hostname": "anne",
        "ulimits": {"nofile": {"soft": 100, "hard": 200}, "core": 0},
        "sysctls": {"net.core.somaxconn": 1234, **IPC},
        "shm_size": "2m",
        "extra_hosts": ["db.example:192.0.2.7"],
        "labels": {"team": "books"},
    }
    shared.up({"a": idle(**given), "bare": idle()})
    return shared


@pytest.fixture(scope="module")
def a(dressed: Stage) -> dict[str, Any]:
    return dressed.probe("a")


def test_environment_reaches_the_process(a: dict[str, Any]) -> None:
    """Values of `environment`, also empty ones."""
    assert a["environ"]["PLAIN"] == "x"
    assert a["environ"]["EMPTY"] == ""


def test_env_file_gives_what_environment_does_not(a: dict[str, Any]) -> None:
    """A variable of both has the value of `environment`."""
    assert a["environ"]["FILE"] == "from file"
    assert a["environ"]["QUOTED"] == "a b"
    assert a["environ"]["BOTH"] == "service"


def test_variables_of_the_file_are_filled_in(a: dict[str, Any]) -> None:
    """From .env, with defaults, and $$ for one dollar."""
    assert a["environ"]["GREETS"] == "good morning $HOME nobody"


def test_the_shell_wins_over_dotenv(orchestra: Stage) -> None:
    """A variable of the caller's environment comes before that of .env."""
    (orchestra.work / ".env").write_text("WHO=file\n")
    orchestra.write({"services": {"a": idle(environment={"WHO": "${WHO}"})}})
    orchestra.ok("up", "-d", env={"WHO": "shell"})
    assert orchestra.inside("a", "echo $WHO") == "shell"


def test_working_dir(a: dict[str, Any]) -> None:
    """The process, and what is run beside it, start there."""
    assert a["cwd"] == "/var/tmp"


def test_user_and_groups(a: dict[str, Any]) -> None:
    """As numbers; the groups are those asked for and no others; no capability is left."""
    assert (a["uid"], a["gid"]) == (1000, 1001)
    assert set(a["groups"]) <= {44, 1001}
    assert 44 in a["groups"]
    assert int(a["status"]["CapEff"], 16) == 0


def test_user_by_name(orchestra: Stage) -> None:
    """A name is looked up inside of the container."""
    orchestra.up({"a": idle(user="nobody")})
    assert orchestra.probe("a")["uid"] == 65534


def test_an_unknown_user_is_told(orchestra: Stage) -> None:
    """The error names the service and the user."""
    orchestra.write({"services": {"a": idle(user="mallory")}})
    said = orchestra.fails("up", "-d")
    assert "mallory" in said


def test_hostname(dressed: Stage, a: dict[str, Any]) -> None:
    """As asked for, in /etc/hosts as well, and for others on the network."""
    assert a["hostname"] == "anne"
    assert "anne" in a["hosts"]
    assert dressed.inside("bare", "getent hosts anne").split()[0] == dressed.inside("a", "hostname -I").strip()


def test_extra_hosts(a: dict[str, Any]) -> None:
    """They stand in /etc/hosts."""
    assert "192.0.2.7\tdb.example" in a["hosts"] or "192.0.2.7 db.example" in a["hosts"]


def test_ulimits(dressed: Stage) -> None:
    """Soft and hard, of the service's own process."""
    limits = dressed.inside("a", "cat /proc/1/limits")
    assert "Max open files            100                  200" in limits
    assert "Max core file size        0                    0" in limits


def test_sysctls(dressed: Stage) -> None:
    """In the container's own network namespace."""
    assert dressed.inside("a", "cat /proc/sys/net/core/somaxconn") == "1234"


def test_sysctls_of_the_ipc_namespace(dressed: Stage) -> None:
    """They are the container's: it has them, another one and the machine have what they had."""
    files = " ".join("/proc/sys/" + name.replace(".", "/") for name in IPC)
    said = [line.split() for line in dressed.inside("a", f"cat {files}").splitlines()]
    assert said == [str(value).split() for value in IPC.values()]
    assert dressed.inside("bare", f"cat {files}") != dressed.inside("a", f"cat {files}")
    assert Path("/proc/sys/kernel/shmmni").read_text() != "123\n"


def test_a_sysctl_that_the_kernel_refuses_is_named(orchestra: Stage) -> None:
    """With its value."""
    orchestra.write({"services": {"a": idle(sysctls={"fs.mqueue.msg_max": "many"})}})
    assert "fs.mqueue.msg_max cannot be 'many'" in orchestra.fails("up", "-d")


def test_low_ports_need_no_rights(dressed: Stage) -> None:
    """A plain user may listen on port 80 of its container."""
    assert dressed.python("a", "import socket; socket.create_server(('', 80)); print('yes')") == "yes"


def test_shm_size(dressed: Stage) -> None:
    """/dev/shm is as large as asked for, 64 MiB otherwise."""
    assert dressed.inside("a", "df --output=size /dev/shm | tail -1").strip() == "2048"
    assert dressed.inside("bare", "df --output=size /dev/shm | tail -1").strip() == "65536"


def test_entrypoint_and_command_are_joined(orchestra: Stage) -> None:
    """entrypoint first, then command; a string is split as a shell would, without a shell."""
    orchestra.up({"a": {"rootfs": "host", "entrypoint": ["echo", "one"], "command": "'two three' four"}})
    until(lambda: "one two three four" in orchestra.logs(), "the words are said")


def test_a_command_that_is_not_there_is_told(orchestra: Stage) -> None:
    """The error names container and program, and the exit status of `up` is not zero."""
    orchestra.write({"services": {"a": {"rootfs": "host", "command": ["no-such-program"]}}})
    said = orchestra.fails("up", "-d")
    assert "no-such-program" in said
    assert "a" in said


def test_init_reaps_the_dead(orchestra: Stage) -> None:
    """With `init`, what loses its parent and dies does not stay as a zombie."""
    script = "(sh -c 'sleep 0.05 & echo $! > /tmp/lost'); sleep 1000"
    orchestra.up({"a": sh(script, init=True)})
    lost = until(lambda: orchestra.inside("a", "cat /tmp/lost 2>/dev/null || true"), "it was started")
    until(lambda: orchestra.inside("a", f"test -d /proc/{lost} || echo gone"), "it is gone")


def test_init_passes_signals_on(orchestra: Stage) -> None:
    """With `init`, SIGTERM reaches the program, which without it would ignore it as process 1."""
    orchestra.up({"a": {"rootfs": "host", "command": ["sleep", "1000"], "init": True}})
    began = time.monotonic()
    orchestra.ok("stop", "a")
    assert time.monotonic() - began < 5
    assert orchestra.row("t-a-1")["ExitCode"] == 143


def test_stop_signal_is_the_one_asked_for(orchestra: Stage) -> None:
    """`stop` sends stop_signal."""
    orchestra.up(
        {"a": sh("trap 'echo asked; exit 3' USR1; while :; do sleep 1000 & wait $!; done", stop_signal="SIGUSR1")}
    )
    orchestra.ok("stop", "a")
    assert "asked" in orchestra.logs("a")
    assert orchestra.row("t-a-1")["ExitCode"] == 3


def test_who_does_not_stop_within_its_grace_is_killed(orchestra: Stage) -> None:
    """stop_grace_period, then SIGKILL; not earlier."""
    orchestra.up({"a": sh("trap '' TERM; sleep 1000", stop_grace_period="700ms")})
    began = time.monotonic()
    orchestra.ok("stop", "a")
    assert 0.7 <= time.monotonic() - began < 5
    assert orchestra.row("t-a-1")["ExitCode"] == 137


def test_a_grace_given_to_stop_wins(orchestra: Stage) -> None:
    """`stop -t` counts instead of stop_grace_period."""
    orchestra.up({"a": sh("trap '' TERM; sleep 1000", stop_grace_period="1m")})
    began = time.monotonic()
    orchestra.ok("stop", "-t", "0.3", "a")
    assert time.monotonic() - began < 5


def test_output_is_not_a_terminal_unless_asked_for(orchestra: Stage) -> None:
    """`tty: true` gives the process a terminal."""
    program = "import os; print('terminal', os.isatty(0), os.isatty(1)); import time; time.sleep(1000)"
    orchestra.up({"a": py(program, stop_signal="SIGKILL"), "b": py(program, tty=True, stop_signal="SIGKILL")})
    until(lambda: "terminal False False" in orchestra.logs("a"), "a has spoken")
    until(lambda: "terminal True True" in orchestra.logs("b"), "b has spoken")


def test_the_processes_of_a_container_end_with_it(orchestra: Stage) -> None:
    """Whatever forked off and hid is gone after `stop`."""
    orchestra.up(
        {"a": sh("setsid sh -c 'sleep 1000 & sleep 1000' & trap 'exit 0' TERM; while :; do sleep 9 & wait $!; done")}
    )
    until(lambda: len(orchestra.pids("t-a-1")) >= 4, "they are there")
    pids = orchestra.pids("t-a-1")
    orchestra.ok("stop")
    assert not [pid for pid in pids if _lives(pid)]


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


REOPEN = "for name in stdout stderr fd/1; do echo $name > /dev/$name; done; read line < /dev/stdin; echo $line"


@pytest.mark.parametrize("user", ["root", "33"])
def test_what_is_run_inside_can_open_its_streams_again(orchestra: Stage, user: str) -> None:
    """By their names in /dev, as programs do that log to /dev/stdout: in `exec`, `run` and health checks."""
    check = {"test": ["CMD-SHELL", "echo fine > /dev/stdout"], "start_interval": "50ms", "start_period": "5s"}
    orchestra.up({"a": idle(user=user, healthcheck=check)}, "--wait")
    assert orchestra.row("t-a-1")["Health"] == "healthy"
    for words in (("exec", "-T", "-u", user), ("run", "--rm", "-T", "-i", "-u", user)):
        done = orchestra.run(*words, "a", "sh", "-c", REOPEN, stdin="in\n")
        assert done.stdout.split() == ["stdout", "fd/1", "in"], (words, done.stderr)
        assert "stderr" in done.stderr


def stubborn() -> None:
    """As the worst of callers: everything is ignored and blocked that can be."""
    every = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    for number in every:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, every)


def numbers(pid: int | str, key: str) -> set[int]:
    """The signals of a mask in /proc/PID/status."""
    text = Path(f"/proc/{pid}/status").read_text()
    mask = int(text.partition(f"\n{key}:")[2].split()[0], 16)
    return {number for number in range(1, 65) if mask >> number - 1 & 1}


def test_signals_are_as_at_birth_whoever_starts_it(orchestra: Stage) -> None:
    """In the service, beside it, and in what orchestra itself leaves behind, which ignores a few on purpose."""
    orchestra.write({"services": {"a": {"rootfs": "host", "command": ["sleep", "1000"], "stop_signal": "KILL"}}})
    for words in (["up", "-d"], ["exec", "-T", "a", "grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"]):
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=orchestra.work,
            env=orchestra.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            preexec_fn=stubborn,
            restore_signals=False,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert {line.split()[1] for line in done.stdout.splitlines()} == {"0" * 16}
    pid, supervisor = orchestra.pid("t-a-1"), orchestra.supervisor()
    keeper = int(Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()[1])
    assert numbers(pid, "SigIgn") == numbers(pid, "SigBlk") == set()
    ours = {signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ}
    for each in (keeper, supervisor):
        assert numbers(each, "SigIgn") <= ours
        assert numbers(each, "SigBlk") == set()
