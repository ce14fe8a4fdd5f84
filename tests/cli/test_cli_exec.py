"""`exec` and `run`: descriptors, terminals, signals, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import threading

import pytest
from fake_supervisor import FakeSupervisor, Request, Talk, row
from test_cli_up import wait_for

STARTED = {"started": 4711, "name": "store-cart-run-1"}


def process_in_container(script: str):
    """Runs a shell on the descriptors that came along, as a container would."""

    def answer(_: Request, talk: Talk) -> None:
        stdin, stdout, stderr = talk.descriptors
        talk.say(**STARTED)
        ended = subprocess.run(["sh", "-c", script], stdin=stdin, stdout=stdout, stderr=stderr, check=False)
        for descriptor in talk.descriptors:
            os.close(descriptor)
        talk.done(code=ended.returncode)

    return answer


def terminal_in_container(_: Request, talk: Talk) -> None:
    """A shell on a terminal, whose master is handed over."""
    master, slave = os.openpty()
    shell = subprocess.Popen(
        ["sh", "-c", "echo ready; while read line; do $line; done"],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    os.close(slave)
    talk.say(descriptors=[master], **STARTED)
    os.close(master)
    talk.done(code=shell.wait())


def test_output_errors_and_exit_code_come_through(process, places):
    """stdout and stderr stay apart, and what the process wrote last is not lost."""
    with FakeSupervisor(places, {"exec": process_in_container("echo out; echo err >&2; exit 7")}) as fake:
        ran = process("exec", "store.yml", "cart", "sh", "-c", "whatever", "--flag")
    assert (ran.status, ran.out, ran.err) == (7, "out\n", "err\n")
    assert fake.asked("exec")[0]["args"] == ["sh", "-c", "whatever", "--flag"]
    assert fake.asked("exec")[0]["tty"] is False


def test_input_comes_through_and_ends(process, places):
    """More than a pipe holds, both ways at once."""
    text = "0123456789abcdef\n" * 40_000
    with FakeSupervisor(places, {"exec": process_in_container("cat")}):
        assert process("exec", "-T", "-p", "store", "cart", "cat", stdin=text).out == text


def test_a_process_that_reads_nothing_does_not_block_its_output(process, places):
    """Input that nobody takes is given up when the process has ended."""
    with FakeSupervisor(places, {"exec": process_in_container("echo done")}):
        assert process("exec", "-p", "store", "cart", "x", stdin="x" * 300_000).out == "done\n"


def test_options_of_exec_reach_the_supervisor(process, places, monkeypatch):
    """A bare -e KEY has the caller's value; the file may stand before or behind the options."""
    monkeypatch.setenv("TOKEN", "secret")
    options = ["-e", "A=1", "-e", "TOKEN", "-e", "UNSET_ANYWHERE", "-u", "1000:1000", "-w", "/tmp", "--index", "2"]
    with FakeSupervisor(places, {"exec": process_in_container("true")}) as fake:
        assert process("exec", *options, "--privileged", "store.yml", "cart", "env").status == 0
    request = fake.asked("exec")[0]
    assert request["env"] == ["A=1", "TOKEN=secret"]
    assert (request["user"], request["cwd"], request["index"]) == ("1000:1000", "/tmp", 2)
    assert (request["service"], request["args"], request["privileged"]) == ("cart", ["env"], True)


def test_a_command_that_cannot_be_started_ends_with_what_the_supervisor_says(process, places):
    """127: not found, 126: not executable, as docker exec."""
    with FakeSupervisor(places, {"exec": lambda _, talk: talk.fail("cannot run nope in cart", status=127)}):
        ran = process("exec", "store.yml", "cart", "nope")
    assert (ran.status, ran.err) == (127, "error: cannot run nope in cart\n")


def test_a_terminal_is_refused_where_there_is_none(process, places):
    """-t without a terminal is a mistake that is told."""
    with FakeSupervisor(places, {}) as fake:
        ran = process("exec", "-it", "store.yml", "cart", "sh")
    assert (ran.status, fake.seen) == (1, [])
    assert "cannot give the command a terminal" in ran.err


def test_exec_on_a_terminal_is_raw_and_follows_its_size(window, places):
    """Keys go through untouched, the window's size too, and the terminal is as before at the end."""
    with FakeSupervisor(places, {"exec": terminal_in_container}) as fake:
        screen = window("exec", "-it", "store.yml", "cart", "sh", rows=33, columns=101)
        before = termios.tcgetattr(screen.master)
        screen.until("ready")
        wait_for(lambda: termios.tcgetattr(screen.master)[3] != before[3])
        screen.press("stty size\r")
        screen.until("33 101")
        screen.resize(44, 91)
        screen.press("stty size\r")
        screen.until("44 91")
        screen.press("exit 5\r")
        assert screen.end() == 5
        assert termios.tcgetattr(screen.master) == before
    assert fake.asked("exec")[0]["tty"] is True


def test_a_window_that_is_closed_is_no_fault(window, places, home):
    """The command ends, and nothing is written down as a fault of orchestra."""
    with FakeSupervisor(places, {"exec": terminal_in_container}):
        screen = window("exec", "-it", "store.yml", "cart", "sh")
        screen.until("ready")
        screen.shut()
        assert screen.end() in (0, -signal.SIGHUP)
    assert not os.path.exists(f"{home.data}/faults")


def test_detached_exec_returns_at_once(process, places):
    """Without descriptors, without output."""
    with FakeSupervisor(places, {"exec": lambda _, talk: (talk.say(**STARTED), talk.done(code=0))}) as fake:
        ran = process("exec", "-d", "store.yml", "cart", "sleep", "100")
    assert (ran.status, ran.out) == (0, "")
    assert "fds" not in fake.asked("exec")[0]


def test_run_tells_what_it_waits_for_and_returns_the_code(process, places):
    """Dependencies on stderr, the command's output on stdout."""

    def run(request: Request, talk: Talk) -> None:
        talk.rows(row("cart", health="healthy"))
        process_in_container("cat; exit 4")(request, talk)

    arguments = ["--rm", "-e", "A=1", "-l", "x=y", "-v", "./here:/there:ro", "--publish", "127.0.0.1:8080:80", "-P"]
    arguments += ["--cap-add", "net_admin", "--cap-drop", "CAP_CHOWN"]
    with FakeSupervisor(places, {"run": run}) as fake:
        ran = process("run", *arguments, "--entrypoint", "sh -c", "store.yml", "web", "a", "-b", stdin="in")
    assert (ran.status, ran.out) == (4, "in")
    assert ran.err == " Container store-cart-1  Healthy\n"
    request = fake.asked("run")[0]
    assert (request["service"], request["args"], request["entrypoint"]) == ("web", ["a", "-b"], ["sh", "-c"])
    assert (request["remove"], request["service_ports"], request["labels"]) == (True, True, {"x": "y"})
    security = request["stack"]["services"]["web"]["security"]
    assert (security["cap_add"], security["cap_drop"]) == (["NET_ADMIN"], ["CHOWN"])
    (mount,) = request["mounts"]
    assert (mount["type"], mount["source"], mount["read_only"]) == ("bind", os.path.abspath("here"), True)
    (port,) = request["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", [8080, 8080], 80)


def test_run_passes_signals_on(home, places):
    """SIGTERM to the command is SIGTERM to the container, whose code is returned."""
    over = threading.Event()

    def run(_: Request, talk: Talk) -> None:
        talk.say(**STARTED)
        over.wait(20)
        talk.done(code=143)

    def passed(_: Request, talk: Talk) -> None:
        talk.done()
        over.set()

    with FakeSupervisor(places, {"run": run, "signal": passed}) as fake:
        command = [sys.executable, "-m", "orchestra.cli.main", "run", "-T", "store.yml", "cart"]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_for(lambda: fake.asked("run"))
        wait_for(lambda: _catches(child.pid, signal.SIGUSR1))
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 143
    assert fake.asked("signal")[0] == {"id": 3, "do": "signal", "name": "store-cart-run-1", "signal": "SIGTERM"}


def test_a_bad_port_on_the_command_line_is_told(process, places):
    """In the words of the stack file."""
    with FakeSupervisor(places, {}):
        ran = process("run", "-T", "--publish", "80:99999", "store.yml", "cart")
    assert ran.status == 1
    assert ran.err.startswith("error: --publish: ")


def test_a_detached_run_prints_the_name(process, places):
    """On stdout, for scripts."""
    with FakeSupervisor(places, {"run": lambda _, talk: (talk.say(**STARTED), talk.done(code=0))}):
        ran = process("run", "-d", "store.yml", "cart", "sleep", "100")
    assert (ran.status, ran.out) == (0, "store-cart-run-1\n")


def _catches(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/status") as file:
        caught = next(line for line in file if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("broken", ["| true", "| head -1"])
def test_a_reader_that_goes_away_is_no_error(home, places, broken):
    """`orchestra … | head` ends quietly."""
    with FakeSupervisor(places, {"exec": process_in_container("yes | head -c 1000000")}):
        command = f"{sys.executable} -m orchestra.cli.main exec -T store.yml cart yes {broken}"
        ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
