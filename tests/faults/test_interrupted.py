"""Commands that are killed in the midst of their work, or that meet each other: `down` always leaves nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from .ground import IDLE, Ground, free_port, kill, sh

pytestmark = pytest.mark.kernel

POINTS = 30


@pytest.fixture(scope="module")
def kept() -> Iterator[Ground]:
    """One installation for all points, so that the host's base is there from the second one on."""
    made = Ground("k")
    yield made
    made.close()


def stack() -> dict[str, Any]:
    """Two services, one after the other, with all that is made for them: volume, port, network."""
    return {
        "first": sh(IDLE, volumes=["data:/data"]),
        "second": sh(IDLE, depends_on=["first"], ports=[f"127.0.0.1:{free_port()}:80"]),
    }


def duration(ground: Ground) -> float:
    """Seconds that an `up` takes now."""
    ground.write(stack(), volumes={"data": {}})
    ground.ok("up", "-d")
    ground.down()
    ground.nothing_left()
    begun = time.monotonic()
    ground.ok("up", "-d")
    took = time.monotonic() - begun
    ground.down()
    ground.nothing_left()
    return took


def test_up_may_be_killed_at_any_point(kept: Ground) -> None:
    """At thirty points over its whole length; `down` right afterwards takes away whatever there is."""
    took = duration(kept)
    for point in range(POINTS):
        command = kept.begin("up", "-d")
        time.sleep(took * 1.1 * point / POINTS)
        command.kill()
        command.communicate()
        kept.down()
        kept.nothing_left(15)


def test_up_may_be_killed_and_said_again(kept: Ground) -> None:
    """A second `up` completes what the first one has begun."""
    took = duration(kept)
    for point in range(6):
        command = kept.begin("up", "-d")
        time.sleep(took * point / 6)
        command.kill()
        command.communicate()
        kept.ok("up", "-d")
        assert {row["state"] for row in kept.rows().values()} == {"running"}
    kept.down()
    kept.nothing_left()


def test_keeper_and_supervisor_may_be_killed_at_any_point_of_up(kept: Ground) -> None:
    """At thirty points; whatever the command then says, `down` leaves nothing."""
    took = duration(kept)
    for point in range(POINTS):
        command = kept.begin("up", "-d")
        time.sleep(took * 1.1 * point / POINTS)
        command.kill()
        command.communicate()
        kept.kill_both()
        kept.down()
        kept.nothing_left(15)


@pytest.mark.parametrize("which", ["keeper", "supervisor"])
def test_up_succeeds_or_tells_although_one_of_them_is_killed(kept: Ground, which: str) -> None:
    """The command ends in time, with success or one line, and saying it again succeeds."""
    took = duration(kept)
    for point in range(10):
        command = kept.begin("up", "-d")
        time.sleep(took * point / 10)
        if pid := getattr(kept, which)():
            kill(pid)
        said, _ = command.communicate(timeout=25)
        assert "Traceback" not in said
        assert command.returncode == 0 or "error: " in said, said
        kept.ok("up", "-d")
        assert {row["state"] for row in kept.rows().values()} == {"running"}
        kept.down()
        kept.nothing_left()


def test_down_may_be_killed_at_any_point(kept: Ground) -> None:
    """The supervisor goes on with what was asked for; another `down` finds nothing left to do, or does the rest."""
    duration(kept)
    for point in range(8):
        kept.ok("up", "-d")
        command = kept.begin("down", "-t", "1")
        time.sleep(0.3 * point / 8)
        command.kill()
        command.communicate()
        kept.ok("down", "-t", "1")
        kept.nothing_left()


def test_two_ups_at_once_agree(kept: Ground) -> None:
    """Both succeed; every container is there once."""
    kept.write(stack(), volumes={"data": {}})
    for _ in range(3):
        both = [kept.begin("up", "-d") for _ in range(2)]
        said = [command.communicate(timeout=25)[0] for command in both]
        assert [command.returncode for command in both] == [0, 0], said
        assert {row["state"] for row in kept.rows().values()} == {"running"}
        assert len(kept.pids("k-first-1")) == len(kept.pids("k-second-1")) == 2
        kept.down()
        kept.nothing_left()


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_up_and_down_at_once(kept: Ground, pause: float) -> None:
    """Each does its work, or says that the other one wanted the opposite; then either all is there or nothing."""
    kept.write(stack(), volumes={"data": {}})
    for first, second in (("up", "down"), ("down", "up")):
        kept.ok("up", "-d")
        commands = []
        for word in (first, second):
            commands.append(kept.begin(word, *(("-d",) if word == "up" else ("-t", "1"))))
            time.sleep(pause)
        said = [command.communicate(timeout=25)[0] for command in commands]
        for command, words in zip(commands, said, strict=True):
            assert command.returncode == 0 or (command.returncode == 1 and "meanwhile" in words), said
        assert 0 in [command.returncode for command in commands], said
        kept.ok("up", "-d")
        assert {row["state"] for row in kept.rows().values()} == {"running"}
        kept.down()
        kept.nothing_left()
