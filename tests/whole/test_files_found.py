"""Which stack is meant, and what is said of a file that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .stage import Stage, idle

pytestmark = pytest.mark.kernel
TEXT = "services:\n  a: {rootfs: host, command: [sleep, '1000'], init: true}\n"


@pytest.fixture(scope="module")
def running(shared: Stage) -> Stage:
    """A stack named t in the folder of the stage."""
    shared.up({"a": idle()})
    return shared


def test_the_file_is_found_in_the_current_folder(running: Stage) -> None:
    """stack.yml."""
    assert running.ok("ps", "-q").strip() == "t-a-1"


def test_the_file_is_found_in_parent_folders(running: Stage) -> None:
    """From anywhere below."""
    below = running.work / "deep/down"
    below.mkdir(parents=True, exist_ok=True)
    assert running.ok("ps", "-q", cwd=below).strip() == "t-a-1"


@pytest.mark.parametrize(
    "words",
    [["ps", "-q", "w/stack.yml"], ["ps", "-f", "w/stack.yml", "-q"], ["-f", "w/stack.yml", "ps", "-q"]],
    ids=" ".join,
)
def test_the_file_is_named(running: Stage, words: list[str]) -> None:
    """As an argument, or by -f before or after the command."""
    assert running.ok(*words, cwd=running.folder).strip() == "t-a-1"


@pytest.mark.parametrize("words", [["-p", "t", "ps", "-q"], ["ps", "-q", "--project-name", "t"]], ids=" ".join)
def test_the_stack_is_named(running: Stage, words: list[str]) -> None:
    """No file is needed."""
    assert running.ok(*words, cwd=Path("/tmp")).strip() == "t-a-1"


@pytest.mark.parametrize(
    "name", ["stack.yml", "stack.yaml", "compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"]
)
def test_default_names(shared: Stage, tmp_path: Path, name: str) -> None:
    """Ours, and docker compose's; the folder's name is the stack's."""
    folder = tmp_path / "Books & More"
    folder.mkdir()
    (folder / name).write_text(TEXT)
    assert "name: booksmore" in shared.ok("config", cwd=folder)


def test_without_a_file_it_is_told_where_was_looked(shared: Stage) -> None:
    """And what the file may be called."""
    said = shared.fails("ps", cwd=Path("/proc"))
    assert "stack.yml" in said
    assert "/proc" in said


def test_every_problem_is_told_in_one_go(shared: Stage) -> None:
    """File, line, column, what was expected, and the key that was meant; nothing is started."""
    text = """name: bad
services:
  web:
    rootfs: host
    comand: [sleep, "1"]
    ports: ["80:99999"]
  db:
    rootfs: host
    command: [sleep, "1"]
    mem_limit: lots
    restart: sometimes
    depends_on: [cache]
  old:
    image: nginx:1
  links:
    rootfs: host
    command: [sleep, "1"]
    networks: [nowhere]
"""
    path = shared.write(text, "bad/stack.yml")
    shared.names.add("bad")
    said = shared.fails("up", "-d", cwd=path.parent)
    lines = [line for line in said.splitlines() if "stack.yml:" in line]
    for place, words in {
        ":5:": ["comand", "command"],
        ":6:": ["99999"],
        ":10:": ["lots"],
        ":11:": ["sometimes"],
        ":12:": ["cache"],
        ":14:": ["image"],
        ":18:": ["nowhere"],
    }.items():
        found = [line for line in lines if f"stack.yml{place}" in line]
        assert found, f"nothing about line {place}\n{said}"
        assert all(any(word in line for line in found) for word in words), found
    assert shared.ok("-p", "bad", "ps", "-a", "-q") == ""


def test_an_image_names_the_support_to_come(shared: Stage) -> None:
    """Valid compose that is not built yet is refused by name."""
    path = shared.write("services:\n  a:\n    image: nginx:1\n", "image/stack.yml")
    shared.names.add("image")
    said = shared.fails("up", "-d", cwd=path.parent)
    assert "image" in said
    assert "not supported yet" in said
    assert "rootfs" in said


@pytest.mark.parametrize("key", ["devices: [/dev/sda]", "ipc: host", "volumes_from: [b]", "gpus: all"])
def test_what_is_not_built_yet_is_refused_by_name(shared: Stage, key: str) -> None:
    """Never silently ignored."""
    plain = "rootfs: host\n    command: [sleep, '1']\n"
    text = f"services:\n  a:\n    {plain}    {key}\n  b:\n    {plain}"
    path = shared.write(text, "refused/stack.yml")
    shared.names.add("refused")
    said = shared.fails("up", "-d", cwd=path.parent)
    assert key.partition(":")[0] in said
    assert "stack.yml:5:" in said


def test_a_file_that_is_not_yaml_is_told_with_its_place(shared: Stage) -> None:
    """Line and column of the mistake."""
    path = shared.write("services:\n  a: [1, 2\n  b: }\n", "broken/stack.yml")
    shared.names.add("broken")
    said = shared.fails("config", cwd=path.parent)
    assert "stack.yml:3:" in said or "stack.yml:2:" in said


def test_a_missing_variable_is_told(shared: Stage) -> None:
    """${A:?message}."""
    path = shared.write("services:\n  a: {rootfs: host, command: [sh, '${WORD:?say a word}']}\n", "word/stack.yml")
    shared.names.add("word")
    assert "say a word" in shared.fails("up", "-d", cwd=path.parent)


def test_an_unknown_service_is_told(running: Stage) -> None:
    """With those that there are."""
    said = running.fails("restart", "nobody")
    assert "nobody" in said


def test_commands_on_a_stack_that_does_not_run_say_so(shared: Stage) -> None:
    """exec and port need one that does; to restart there is nothing, which is fine (as for docker compose)."""
    path = shared.write("name: quiet\n" + TEXT, "quiet/stack.yml")
    shared.names.add("quiet")
    for words in (["exec", "-T", "a", "true"], ["port", "a", "80"]):
        assert "quiet" in shared.fails(*words, cwd=path.parent), words
    restarted = shared.run("restart", cwd=path.parent)
    assert (restarted.returncode, restarted.stderr) == (0, "warning: stack quiet is not running\n")
    for word in ("stop", "kill", "restart", "rm"):
        assert "no such service: nobody\ntry: one of: a" in shared.fails(word, "nobody", cwd=path.parent), word
    assert not os.path.exists(shared.stack("quiet").keeper_socket)


def test_a_command_without_a_program_is_refused_before_anything_starts(shared: Stage) -> None:
    """Empty words are fine as arguments, but not as what is to be run."""
    path = shared.write(
        "name: hollow\n" + TEXT.replace("services:", "services:\n  h: {rootfs: host, command: ['']}"),
        "hollow/stack.yml",
    )
    shared.names.add("hollow")
    said = shared.fails("up", "-d", cwd=path.parent)
    assert "service h has a command whose program is empty" in said
    assert shared.ok("ps", "-aq", cwd=path.parent) == ""
