"""A file that says the name of a stack which runs from another file: nobody loses what is not theirs."""

from __future__ import annotations

import os
import shutil

import pytest

from .stage import Stage, idle
from .terminal import at_terminal

pytestmark = pytest.mark.kernel

DB, WEB = {"services": {"db": idle()}}, {"services": {"web": idle()}}


@pytest.fixture
def two(orchestra: Stage) -> Stage:
    """one/s.yml runs; two/s.yml has the same name and another service, copy/s.yml the same one as well."""
    orchestra.write(DB, "one/s.yml")
    orchestra.write(WEB, "two/s.yml")
    orchestra.write(DB, "copy/s.yml")
    orchestra.ok("-f", "one/s.yml", "up", "-d")
    return orchestra


def running(stage: Stage) -> set[str]:
    return set(stage.ok("-p", "t", "ps", "-q").split())


def test_nobody_is_taken_over_or_removed_without_a_word(two: Stage) -> None:
    """`up` refuses and names both files and the ways out; what stops or removes leaves the first one's alone."""
    one = str(two.work / "one/s.yml")
    for words in (["up", "-d"], ["up"], ["create"], ["scale", "web=2"], ["run", "--rm", "web", "true"]):
        said = two.fails("-f", "two/s.yml", *words, status=1)
        assert one in said
        assert str(two.work / "two/s.yml") in said
        assert "-p OTHER" in said
        assert "--take-over" in said
    before = two.pid("t-db-1")
    for words in (
        ["stop"],
        ["restart"],
        ["kill"],
        ["pause"],
        ["rm", "-f", "-s"],
        ["down", "-t", "1"],
        ["down", "-v"],
    ):
        done = two.run("-f", "two/s.yml", *words)
        assert done.returncode == 0, done.stderr
        assert f"db left alone: stack t runs from {one}" in done.stderr, words
        assert two.pid("t-db-1") == before
        assert running(two) == {"t-db-1"}
    assert f"db left alone: stack t runs from {one}" in two.run("-f", "copy/s.yml", "down", "-t", "1").stderr
    assert two.pid("t-db-1") == before
    two.ok("-f", "two/s.yml", "down", "--remove-orphans", "-t", "1")
    assert not running(two)


def test_the_other_one_is_taken_over_when_that_is_said(two: Stage) -> None:
    """Its services are orphans then, and `down` of the new file leaves nothing; of the old one it does."""
    said = two.run("-f", "two/s.yml", "up", "-d", "--take-over").stderr
    assert f"stack t was started from {two.work}/one/s.yml; it is {two.work}/two/s.yml from now on" in said
    assert "t-db-1: of no service in the stack file any more" in said
    assert running(two) == {"t-db-1", "t-web-1"}
    assert "web left alone" in two.run("-f", "one/s.yml", "down", "-t", "1").stderr
    assert running(two) == {"t-web-1"}
    two.ok("-f", "two/s.yml", "down", "-t", "1")
    assert not running(two)


def test_a_name_given_by_hand_means_what_runs(two: Stage) -> None:
    said = two.run("-p", "t", "-f", "two/s.yml", "up", "-d").stderr
    assert "was started from" in said
    assert running(two) == {"t-db-1", "t-web-1"}
    two.ok("-p", "t", "-f", "one/s.yml", "stop", "-t", "1")
    assert not running(two)
    two.ok("down", "-t", "1", env={"COMPOSE_PROJECT_NAME": "t", "COMPOSE_FILE": "one/s.yml"})


@pytest.mark.parametrize(
    "words",
    [
        ["-f", "link/s.yml"],
        ["-f", "linked.yml"],
        ["-f", "one/../one/s.yml"],
        ["-f", "one/s.yml", "-f", "one/more.yml"],
        ["-f", "one/more.yml", "-f", "one/s.yml"],
        ["-f", "one/more.yml"],
        ["--project-directory", "two", "-f", "one/s.yml"],
    ],
    ids=" ".join,
)
def test_one_project_may_be_spelt_in_many_ways(shared: Stage, words: list[str]) -> None:
    if not (shared.work / "link").exists():
        shared.write(DB, "one/s.yml")
        shared.write(DB, "one/more.yml")
        (shared.work / "two").mkdir()
        (shared.work / "link").symlink_to("one")
        (shared.work / "linked.yml").symlink_to("one/s.yml")
        shared.ok("-f", "one/s.yml", "up", "-d")
    assert "started from" not in shared.run(*words, "up", "-d").stderr
    assert "left alone" not in shared.run(*words, "stop", "-t", "0").stderr
    assert not running(shared)
    shared.ok("-f", "one/s.yml", "up", "-d")


def test_a_project_may_move(two: Stage) -> None:
    """Its file is not where it was: it goes on from where it is, and that is said."""
    os.rename(two.work / "one", two.work / "three")
    said = two.run("-f", "three/s.yml", "up", "-d").stderr
    assert f"{two.work}/one/s.yml, which is not there any more; it goes on as {two.work}/three/s.yml" in said
    assert running(two) == {"t-db-1"}
    shutil.rmtree(two.work / "three")
    two.ok("-f", "two/s.yml", "down", "-t", "1")
    assert not running(two)


def test_a_person_is_asked(two: Stage) -> None:
    """No by default."""
    with at_terminal(two, "-f", "two/s.yml", "up", "-d") as terminal:
        terminal.until(r"Stack t runs from \S*one/s.yml. Have \S*two/s.yml take its place\? \[y/N\]")
        terminal.press("\n")
        assert terminal.end() == 1
    assert running(two) == {"t-db-1"}
    with at_terminal(two, "-f", "two/s.yml", "down", "-t", "1") as terminal:
        terminal.until(r"Still `orchestra down` all of it\? \[y/N\]")
        terminal.press("y\n")
        assert terminal.end() == 0
    assert not running(two)


def test_nobody_waits_for_an_answer(two: Stage) -> None:
    """What others do meanwhile counts: the question was about what is no more."""
    with at_terminal(two, "-f", "two/s.yml", "up", "-d") as terminal:
        terminal.until(r"take its place\? \[y/N\]")
        two.ok("-f", "one/s.yml", "stop", "-t", "1")
        terminal.press("y\n")
        assert terminal.end() == 0
    assert running(two) == {"t-web-1"}
    with at_terminal(two, "-f", "one/s.yml", "stop", "-t", "1") as terminal:
        terminal.until(r"all of it\? \[y/N\]")
        two.ok("-p", "t", "down", "-t", "1")
        terminal.press("y\n")
        assert terminal.end() == 1
        assert "the supervisor went away" in terminal.plain
    assert not running(two)


def test_who_uses_a_service_does_not_take_its_stack_over(two: Stage) -> None:
    """`uses` names a file of the same name in another folder: the one that runs stays."""
    user = {"name": "u", "services": {"web": {"uses": {"stack": "../two/s.yml", "service": "web"}}, "a": idle()}}
    two.write(user, "user/s.yml")
    done = two.run("-f", "user/s.yml", "up", "-d", "--wait-timeout", "20")
    assert done.returncode != 0
    assert str(two.work / "one/s.yml") in done.stderr, done.stderr
    assert running(two) == {"t-db-1"}
    two.ok("-f", "user/s.yml", "down", "-t", "1")
