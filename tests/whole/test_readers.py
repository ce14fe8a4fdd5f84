"""A command that follows ends with whoever reads it, though there is nothing more to say."""

from __future__ import annotations

import subprocess
import time

import pytest

from .stage import COMMAND, PATIENCE, Stage, idle, sh, until

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def quiet(shared: Stage) -> Stage:
    """A service that says one word, and one that says nothing."""
    shared.up({"a": sh("echo ready; trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"), "b": idle()})
    until(lambda: "ready" in shared.logs(), "it has said it")
    return shared


@pytest.mark.parametrize(
    "words",
    [
        ("logs", "-f"),
        ("events",),
        ("attach", "--no-stdin", "a"),
        ("wait", "b"),
        ("up",),
        ("stats", "--format", "json"),
    ],
    ids=lambda words: words[0],
)
def test_a_follower_ends_with_its_reader(quiet: Stage, words: tuple[str, ...]) -> None:
    """Soon, with 0, and without a word about it; the stack goes on."""
    follower = subprocess.Popen(
        [*COMMAND, *words], cwd=quiet.work, env=quiet.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert follower.stdout is not None
    assert follower.stderr is not None
    with follower:
        if words[0] == "logs":
            assert b"ready" in follower.stdout.readline()
        else:
            time.sleep(1)  # most likely it waits by now; where it does not yet, the end comes all the same
        assert follower.poll() is None
        follower.stdout.close()
        try:
            assert follower.wait(PATIENCE) == 0
        finally:
            follower.kill()
        assert b"Traceback" not in (said := follower.stderr.read())
        assert b"error" not in said
    assert quiet.row("t-a-1")["State"] == "running"
