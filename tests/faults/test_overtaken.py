"""Who waits keeps nobody from changing what is wanted; and who waits for what others have just taken back is told."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from .ground import IDLE, PATIENCE, Ground, sh, until

pytestmark = pytest.mark.kernel

STUBBORN = "trap : TERM; while :; do sleep 1000 & wait $!; done"
LONG = "120"
"""Seconds of grace that no test waits for."""


@pytest.fixture(scope="module")
def installed() -> Iterator[Ground]:
    made = Ground("o")
    made.write(
        {
            "job": sh(IDLE),
            "late": sh(IDLE, depends_on={"job": {"condition": "service_completed_successfully"}}),
            "other": sh(IDLE),
            "stubborn": sh(STUBBORN),
        }
    )
    yield made
    made.close()


@pytest.fixture
def kept(installed: Ground) -> Iterator[Ground]:
    yield installed
    installed.down()
    installed.nothing_left()


def waits(ground: Ground, *words: str) -> subprocess.Popen[str]:
    """A command that waits for `job`, which does not end."""
    command = ground.begin(*words)
    until(lambda: ground.rows().get("o-job-1", {}).get("state") == "running", "what it waits for runs")
    return command


def told(command: subprocess.Popen[str], status: int, words: str) -> None:
    said, _ = command.communicate(timeout=PATIENCE)
    assert (command.returncode, words in said) == (status, True), (command.returncode, said)
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("kill job", "o-job-1 was stopped meanwhile by `orchestra kill job`"),
        ("stop job", "o-job-1 was stopped meanwhile by `orchestra stop job`"),
        ("rm -fs job", "o-job-1 was taken away meanwhile by `orchestra rm job`"),
        ("down late", "o-late-1 was taken away meanwhile by `orchestra down late`"),
        ("down", "o-job-1 and o-late-1 were taken away meanwhile by `orchestra down`"),
    ],
)
def test_what_ends_the_wish_of_a_waiting_up_takes_effect_at_once(kept: Ground, words: str, what: str) -> None:
    """The `up` says by whom and ends with 1; what it waited to start is not started."""
    waiting = waits(kept, "up", "-d", "--wait", "late")
    kept.ok(*words.split())
    told(waiting, 1, what)
    if words != "down":
        assert kept.rows().get("o-late-1", {}).get("run", 0) == 0


@pytest.mark.parametrize("words", ["up -d other", "restart job", "create other", "update --memory 64m job"])
def test_what_changes_something_else_does_not_end_it(kept: Ground, words: str) -> None:
    """It is done beside the `up`, which goes on waiting for what it still wants."""
    waiting = waits(kept, "up", "-d", "late")
    kept.ok(*words.split())
    assert waiting.poll() is None
    kept.run("exec", "job", "sh", "-c", "kill 1")  # which may take the shell along
    told(waiting, 0, "o-late-1  Started")


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ("stop -t {}", "start stubborn", "o-stubborn-1 was started meanwhile by `orchestra start stubborn`"),
        ("down -t {}", "up -d stubborn", "o-stubborn-1 was asked for again meanwhile by `orchestra up stubborn`"),
        (
            "rm -fs stubborn",
            "up -d stubborn",
            "o-stubborn-1 was asked for again meanwhile by `orchestra up stubborn`",
        ),
    ],
)
def test_what_is_wanted_again_before_it_has_ended_runs_anew(kept: Ground, first: str, second: str, what: str) -> None:
    """A signal cannot be taken back: it is another run that counts, and nothing is lost of what is about to go."""
    kept.ok("up", "-d", "stubborn")
    before = kept.row("o-stubborn-1")["run"]
    ending = kept.begin(*first.format(LONG).split())
    until(lambda: kept.row("o-stubborn-1")["state"] == "stopping", "it is asked to stop")
    kept.ok(*second.split())  # its own grace is a second
    told(ending, 1, what)
    row = kept.row("o-stubborn-1")
    assert (row["state"], row["run"] > before) == ("running", True)


def test_a_long_grace_blocks_nobody(kept: Ground) -> None:
    """Others may be started, and the impatient may kill."""
    kept.ok("up", "-d", "stubborn")
    ending = kept.begin("stop", "-t", LONG, "stubborn")
    until(lambda: kept.row("o-stubborn-1")["state"] == "stopping", "it is asked to stop")
    kept.ok("up", "-d", "other")
    kept.ok("kill", "stubborn")
    told(ending, 0, "Stopped")


def test_two_downs_agree(kept: Ground) -> None:
    """The one that allows less time counts, and both have nothing more to do."""
    kept.ok("up", "-d", "stubborn")
    slow = kept.begin("down", "-t", LONG)
    until(lambda: kept.row("o-stubborn-1")["state"] == "stopping", "it is asked to stop")
    kept.down()
    told(slow, 0, "Removed")


@pytest.mark.parametrize("words", ["run -d late true", "run late true"])
@pytest.mark.parametrize("end", ["down", "rm -fs job"])
def test_a_one_off_that_waits_blocks_nobody(kept: Ground, words: str, end: str) -> None:
    """It has what the service depends on started first; when that is taken away, it has nothing to wait for."""
    waiting = waits(kept, *words.split())
    kept.ok(*end.split())
    by = end.replace("-fs ", "")
    told(waiting, 1, f"was taken away before it could start by `orchestra {by}`")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_waiting_up_may_be_ended_by_a_signal(kept: Ground, number: int) -> None:
    """What it has asked for stands, and nobody waits for it."""
    waiting = waits(kept, "up", "-d", "late")
    waiting.send_signal(number)
    waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode in (130, -number)
    assert kept.row("o-late-1")["state"] == "waiting"
    kept.ok("stop", "-t", "1", "job")


@pytest.mark.parametrize("which", ["keeper", "supervisor"])
def test_one_of_them_is_killed_while_an_up_waits(kept: Ground, which: str) -> None:
    """The command goes on or says so; the next one has its turn."""
    waiting = waits(kept, "up", "-d", "late")
    subprocess.run(["kill", "-9", str(getattr(kept, which)())], check=True)
    kept.ok("stop", "-t", "1", "job")
    said, _ = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, "error: " in said) == (1, True), said


def test_what_others_have_stopped_is_not_started_by_an_up_that_finds_its_supervisor_killed(kept: Ground) -> None:
    """In the foreground it goes on with the next supervisor, and asks for nothing a second time."""
    waiting = waits(kept, "up", "late", "other")
    until(lambda: kept.rows().get("o-other-1", {}).get("state") == "running", "the other runs")
    waiting.send_signal(signal.SIGSTOP)
    try:
        kept.ok("stop", "-t", "1", "other")
        time.sleep(0.2)  # longer than what is stopped takes to be written down
        kept.kill_supervisor()
    finally:
        waiting.send_signal(signal.SIGCONT)
    told(waiting, 1, "o-other-1 was stopped meanwhile by ")
    assert kept.row("o-other-1")["state"] == "exited"


def test_a_question_keeps_nobody_waiting(kept: Ground) -> None:
    """`rm` asks a person, who may be away."""
    kept.ok("up", "-d", "other", "stubborn")
    kept.ok("kill", "stubborn")
    asking = kept.begin("rm", "stubborn", stdin=subprocess.PIPE)
    assert asking.stdout is not None
    assert "Going to remove o-stubborn-1" in asking.stdout.readline()
    kept.ok("stop", "-t", "1", "other")
    asking.communicate("n\n", timeout=PATIENCE)
    assert "o-stubborn-1" in kept.rows()
