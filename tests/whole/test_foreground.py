"""`up` in a terminal: progress, then output, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from orchestra.state.turns import try_turn

from .stage import COMMAND, PATIENCE, Stage, idle, sh, until
from .terminal import at_terminal

pytestmark = pytest.mark.kernel
CTRL_C = "\x03"
SPEAK = "echo hello from $NAME; trap 'echo bye from $NAME; exit 0' TERM; while :; do sleep 1000 & wait $!; done"


def speaking(name: str, **more: object) -> dict[str, object]:
    return sh(SPEAK, environment={"NAME": name}, **more)


def test_up_shows_progress_then_output_with_names_in_front(orchestra: Stage) -> None:
    """Each container from waiting to started, then all logs interleaved."""
    orchestra.write({"services": {"a": speaking("a"), "b": speaking("b", depends_on=["a"])}})
    with at_terminal(orchestra, "up") as terminal:
        terminal.until(r"\[\+\] up")
        terminal.until(r"t-a-1\s+Started")
        terminal.until(r"t-b-1\s+Started")
        terminal.until(r"(?m)^a-1\s+\| hello from a")
        terminal.until(r"(?m)^b-1\s+\| hello from b")
        assert "\x1b[" in terminal.text
        terminal.press(CTRL_C)
        assert terminal.end() == 130


def test_whoever_had_the_turn_before_may_have_left(orchestra: Stage) -> None:
    """Keeper and supervisor that were there when this command came are gone when it has its turn."""
    orchestra.up({"a": speaking("a")})
    turn = until(lambda: try_turn(orchestra.stack(), "somebody"), "the turn")
    try:
        with at_terminal(orchestra, "up") as terminal:
            terminal.until("waiting for somebody")
            pids = orchestra.process("orchestra-keeper", "t"), orchestra.supervisor()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            until(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids), "their end")
            os.close(turn)
            turn = -1
            terminal.until(r"t-a-1\s+Running")
            terminal.press(CTRL_C)
            assert terminal.end() == 130
    finally:
        if turn >= 0:
            os.close(turn)


def test_a_service_is_shown_on_its_way_to_healthy(orchestra: Stage) -> None:
    """The progress goes on until everything is healthy."""
    check = {"test": ["CMD", "test", "-e", "/tmp/well"], "interval": "100ms", "retries": 100}
    orchestra.write(
        {
            "services": {
                "a": sh("sleep 0.6; touch /tmp/well; trap 'exit 0' TERM; sleep 1000 & wait", healthcheck=check)
            }
        }
    )
    with at_terminal(orchestra, "up") as terminal:
        terminal.until(r"t-a-1\s+(Started|Starting)")
        terminal.until(r"t-a-1\s+Healthy")
        terminal.press(CTRL_C)
        assert terminal.end() == 130


def test_ctrl_c_stops_everything_in_reverse_order(orchestra: Stage) -> None:
    """Says so, shows the last words, and ends with 130; the containers are stopped, not removed."""
    orchestra.write({"services": {"a": speaking("a"), "b": speaking("b", depends_on=["a"])}})
    with at_terminal(orchestra, "up") as terminal:
        terminal.until("hello from b")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
        said = terminal.plain
    assert "Gracefully stopping" in said
    assert said.index("bye from b") < said.index("bye from a")
    assert {row["State"] for row in orchestra.rows().values()} == {"exited"}
    ends = [line for line in orchestra.ok("events", "--since", "1m", "--until", "0s").splitlines() if " die " in line]
    assert "t-b-1" in ends[0]


def test_ctrl_c_says_what_is_still_stopping(orchestra: Stage) -> None:
    """And a second one kills it."""
    orchestra.write({"services": {"a": sh("trap '' TERM; echo up; sleep 1000", stop_grace_period="1m"), "b": idle()}})
    with at_terminal(orchestra, "up") as terminal:
        terminal.until(r"\| up")
        terminal.press(CTRL_C)
        terminal.until(r"t-a-1\s+Stopping")
        terminal.until(r"t-b-1\s+Stopped")
        began = time.monotonic()
        terminal.press(CTRL_C)
        terminal.until(r"Killing[\s\S]*t-a-1\s+Stopped")
        assert terminal.end() in (130, 137)
        assert time.monotonic() - began < 10
    assert orchestra.row("t-a-1")["ExitCode"] == 137


def test_ctrl_c_while_it_starts(orchestra: Stage) -> None:
    """What was started is stopped again."""
    check = {"test": ["CMD", "false"], "interval": "1s", "start_period": "1m"}
    orchestra.write(
        {"services": {"a": idle(healthcheck=check), "b": idle(depends_on={"a": {"condition": "service_healthy"}})}}
    )
    with at_terminal(orchestra, "up") as terminal:
        terminal.until(r"t-b-1\s+Waiting")
        terminal.until(r"t-a-1\s+(Started|Starting)")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
    assert not [name for name, row in orchestra.rows().items() if row["State"] == "running"]


def test_up_ends_when_everything_has_ended(orchestra: Stage) -> None:
    """By itself, with 0."""
    orchestra.write({"services": {"a": sh("echo done; exit 0")}})
    done = orchestra.run("up")
    assert done.returncode == 0, done.stderr
    assert "a-1" in done.stdout
    assert "done" in done.stdout


def test_output_goes_on_through_a_crash(orchestra: Stage) -> None:
    """The next run writes under the same name."""
    orchestra.write({"services": {"a": sh("echo run; sleep 0.3; exit 1", restart="always")}})
    with at_terminal(orchestra, "up") as terminal:
        terminal.until(r"(?s)\| run.*\| run.*\| run")
        terminal.press(CTRL_C)
        assert terminal.end() == 130


def test_abort_on_container_exit(orchestra: Stage) -> None:
    """The first end stops all, and its code is the exit status."""
    orchestra.write({"services": {"a": sh("sleep 0.2; exit 7"), "b": idle()}})
    ended = orchestra.run("up", "--abort-on-container-exit")
    assert ended.returncode == 7
    assert "t-a-1 has ended: exit code 7; stopping all" in ended.stderr
    assert "Ctrl-C" not in ended.stderr
    assert orchestra.row("t-b-1")["State"] == "exited"


def test_exit_code_from(orchestra: Stage) -> None:
    """The exit status is that of the service that is named."""
    orchestra.write(
        {"services": {"a": sh("sleep 0.3; exit 0"), "tests": sh("trap 'exit 9' TERM; sleep 1000 & wait")}}
    )
    assert orchestra.run("up", "--exit-code-from", "tests").returncode == 9


def test_sigterm_stops_as_ctrl_c_does(orchestra: Stage) -> None:
    """For who runs `up` under another supervisor."""
    import os
    import signal

    orchestra.write({"services": {"a": speaking("a")}})
    with at_terminal(orchestra, "up") as terminal:
        terminal.until("hello from a")
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.end() in (130, 143)
        assert "bye from a" in terminal.plain
    until(lambda: orchestra.row("t-a-1")["State"] == "exited", "it is stopped")


def test_detached_up_returns_while_everything_runs(orchestra: Stage) -> None:
    """-d."""
    began = time.monotonic()
    orchestra.up({"a": speaking("a")})
    assert time.monotonic() - began < 5
    assert orchestra.row("t-a-1")["State"] == "running"


def test_ctrl_c_that_is_ignored_stays_so(orchestra: Stage) -> None:
    """A job in the background of a shell is not meant by it (`orchestra up &`); SIGTERM ends it as ever."""
    orchestra.write({"services": {"a": speaking("a")}})
    with subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *COMMAND, "up"],
        cwd=orchestra.work,
        env=orchestra.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as up:
        assert up.stdout is not None
        try:
            assert any("hello from a" in line for line in up.stdout)
            up.send_signal(signal.SIGINT)
            orchestra.ok("exec", "-T", "a", "sh", "-c", "echo still here > /proc/1/fd/1")
            assert any("still here" in line for line in up.stdout)
            assert up.poll() is None
            up.send_signal(signal.SIGTERM)
            assert "Gracefully stopping" in up.stdout.read()
            assert up.wait(PATIENCE) != 0
        finally:
            up.kill()
