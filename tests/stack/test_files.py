"""Finding stack files, names and variables."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestra.errors import OrchestraError
from orchestra.stack.files import Request, find, load, to_json, to_yaml
from orchestra.stack.finding import guess_name

ONE = "services: {a: {rootfs: host, command: '${A:-none}'}}\n"


def guessed(request: Request) -> str | None:
    return guess_name(request.files, request.project_name, request.project_directory, request.cwd, request.environ)


def put(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def command(request: Request) -> tuple[str, ...]:
    return load(request).stack.services["a"].command


def test_a_file_is_searched_upward(tmp_path: Path) -> None:
    """From the working folder, so that commands work in sub-folders."""
    (tmp_path / "compose.yml").write_text(ONE)
    below = put(tmp_path / "x" / "y")
    assert find(Request(cwd=str(below))).files == (str(tmp_path / "compose.yml"),)


def test_our_names_come_before_composes(tmp_path: Path) -> None:
    """And a second file is a warning."""
    for name in ("docker-compose.yml", "stack.yml"):
        (tmp_path / name).write_text(ONE)
    found = find(Request(cwd=str(tmp_path)))
    assert found.files == (str(tmp_path / "stack.yml"),)
    assert "docker-compose.yml" in found.warnings[0]


def test_an_override_file_is_merged(tmp_path: Path) -> None:
    """Only when the file was searched for."""
    (tmp_path / "stack.yml").write_text(ONE)
    (tmp_path / "compose.override.yaml").write_text("services: {a: {command: [over]}}")
    assert command(Request(cwd=str(tmp_path))) == ("over",)
    assert command(Request(cwd=str(tmp_path), files=("stack.yml",))) == ("none",)


def test_no_file_is_an_error_that_helps(tmp_path: Path) -> None:
    """What was searched for, and what to do."""
    with pytest.raises(OrchestraError, match="there is no stack file in"):
        load(Request(cwd=str(tmp_path)))
    with pytest.raises(OrchestraError, match=r"cannot read .*nope\.yml: No such file"):
        load(Request(cwd=str(tmp_path), files=("nope.yml",)))


def test_the_folder_of_the_first_file_is_the_projects(tmp_path: Path) -> None:
    """All relative paths are meant from there."""
    put(tmp_path / "one").joinpath("a.yml").write_text("services: {a: {rootfs: ./r}}")
    put(tmp_path / "two").joinpath("b.yml").write_text("services: {a: {volumes: ['./v:/v']}}")
    stack = load(Request(cwd=str(tmp_path), files=("one/a.yml", "two/b.yml"))).stack
    assert (stack.directory, stack.name) == (str(tmp_path / "one"), "one")
    assert stack.services["a"].mounts[0].source == str(tmp_path / "one" / "v")


@pytest.mark.parametrize("text", [ONE, "name: Written-1\n" + ONE, 'name: "q" # c\n' + ONE])
def test_a_name_can_be_guessed_without_reading(tmp_path: Path, text: str) -> None:
    """The hint is what `load` finds out."""
    folder = put(tmp_path / "My.Shop")
    (folder / "stack.yml").write_text(text)
    request = Request(cwd=str(folder))
    assert guessed(request) == load(request).stack.name


def test_names_have_their_order(tmp_path: Path) -> None:
    """Option, variable, `name:`, folder."""
    (tmp_path / "stack.yml").write_text("name: written\n" + ONE)
    environ = {"COMPOSE_PROJECT_NAME": "variable"}
    assert load(Request(cwd=str(tmp_path), project_name="option", environ=environ)).stack.name == "option"
    assert load(Request(cwd=str(tmp_path), environ=environ)).stack.name == "variable"
    assert load(Request(cwd=str(tmp_path))).stack.name == "written"
    with pytest.raises(OrchestraError, match="is not a project name"):
        load(Request(cwd=str(tmp_path), project_name="No Good"))


def test_a_link_to_a_folder_keeps_its_own_name(tmp_path: Path) -> None:
    """The link's name counts, not its target's."""
    put(tmp_path / "real").joinpath("stack.yml").write_text(ONE)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert load(Request(cwd=str(tmp_path / "link"))).stack.name == "link"


def test_the_shell_wins_over_the_env_file(tmp_path: Path) -> None:
    """Even with an empty value; `--env-file` replaces `.env`, and later ones win."""
    (tmp_path / "stack.yml").write_text(ONE.replace(":-", "-"))
    (tmp_path / ".env").write_text("A=dot")
    (tmp_path / "one").write_text("A=one\nB=x")
    (tmp_path / "two").write_text("A=${B}two")
    cwd = str(tmp_path)
    assert command(Request(cwd=cwd)) == ("dot",)
    assert command(Request(cwd=cwd, environ={"A": "shell"})) == ("shell",)
    assert command(Request(cwd=cwd, environ={"A": ""})) == ()
    assert command(Request(cwd=cwd, env_files=("one", "two"))) == ("xtwo",)
    with pytest.raises(OrchestraError, match="cannot read"):
        load(Request(cwd=cwd, env_files=("three",)))


def test_files_may_be_named_by_a_variable(tmp_path: Path) -> None:
    """Of the shell or of `.env`."""
    (tmp_path / "x.yml").write_text(ONE)
    (tmp_path / "y.yml").write_text("services: {a: {command: [y]}}")
    (tmp_path / ".env").write_text("COMPOSE_FILE=x.yml:y.yml")
    assert command(Request(cwd=str(tmp_path))) == ("y",)
    assert command(Request(cwd=str(tmp_path), environ={"ORCHESTRA_FILE": "x.yml", "COMPOSE_FILE": ""})) == ("none",)


def test_a_file_named_by_a_variable_has_two_env_files(tmp_path: Path) -> None:
    """That of the working folder, which named it, and for the rest that of its own folder."""
    put(tmp_path / "sub").joinpath("x.yml").write_text("services: {a: {rootfs: host, command: '$A $B'}}")
    (tmp_path / "sub" / ".env").write_text("A=sub\nB=sub")
    (tmp_path / ".env").write_text("COMPOSE_FILE=sub/x.yml\nA=here")
    assert command(Request(cwd=str(tmp_path))) == ("here", "sub")
    assert command(Request(cwd=str(tmp_path), files=("sub/x.yml",))) == ("sub", "sub")


def test_the_project_directory_can_be_another(tmp_path: Path) -> None:
    """Then names, paths and `.env` are those of that folder."""
    put(tmp_path / "sub").joinpath("x.yml").write_text("services: {a: {rootfs: ./r, command: $A}}")
    put(tmp_path / "other").joinpath(".env").write_text("A=other")
    request = Request(cwd=str(tmp_path), files=("sub/x.yml",), project_directory="other")
    stack = load(request).stack
    assert (stack.name, stack.directory) == ("other", str(tmp_path / "other"))
    assert stack.services["a"].command == ("other",)
    assert guessed(request) == "other"


@pytest.mark.parametrize("name", ["stack.yml", ".env", "e.env"])
def test_a_fifo_is_refused_at_once(tmp_path: Path, name: str) -> None:
    """Opening one for reading would wait for a writer."""
    if name != "stack.yml":
        (tmp_path / "stack.yml").write_text("services: {a: {rootfs: host, env_file: e.env}}")
    os.mkfifo(tmp_path / name)
    before = time.monotonic()
    with pytest.raises(OrchestraError, match="is not a regular file"):
        load(Request(cwd=str(tmp_path), files=("stack.yml",)))
    assert time.monotonic() - before < 1


def test_a_folder_is_no_stack_file(tmp_path: Path) -> None:
    """As in `orchestra up examples/store`: what to name instead is said."""
    (tmp_path / "store").mkdir()
    with pytest.raises(OrchestraError, match="store is a folder") as caught:
        load(Request(cwd=str(tmp_path), files=("store",)))
    assert caught.value.hint == "name a file in it"


def test_a_folder_called_env_is_none(tmp_path: Path) -> None:
    """It is somebody's virtual environment."""
    (tmp_path / ".env").mkdir()
    (tmp_path / "stack.yml").write_text(ONE)
    assert command(Request(cwd=str(tmp_path))) == ("none",)


def test_binary_files_are_refused(tmp_path: Path) -> None:
    """Whoever names the wrong file hears of it."""
    (tmp_path / "stack.yml").write_bytes(b"\x7fELF\0")
    with pytest.raises(OrchestraError, match="is not text"):
        load(Request(cwd=str(tmp_path)))


def test_what_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    """No decoder's traceback."""
    (tmp_path / "stack.yml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(OrchestraError, match=r"stack.yml:2: not UTF-8"):
        load(Request(cwd=str(tmp_path)))


def test_what_config_prints_is_the_same_stack(tmp_path: Path) -> None:
    """`$` is doubled, so that it can be read back."""
    text = "services: {a: {rootfs: host, command: [echo, '$$HOME', '017', 'no'], ports: ['80:80']}}"
    (tmp_path / "stack.yml").write_text(text)
    first = load(Request(cwd=str(tmp_path)))
    for printed in (to_yaml(first.model), to_json(first.model)):
        (tmp_path / "stack.yml").write_text(printed)
        assert load(Request(cwd=str(tmp_path))).stack == first.stack


def test_a_valid_document_is_checked_once(tmp_path: Path) -> None:
    """The caller remembers digests; another value is another document."""
    (tmp_path / "stack.yml").write_text(ONE)
    valid: set[str] = set()
    asked: list[bool] = []

    def known(digest: str) -> bool:
        asked.append(digest in valid)
        return digest in valid

    for environ in ({}, {}, {"A": "other"}):
        load(Request(cwd=str(tmp_path), environ=environ, known_valid=known, remember_valid=valid.add))
    assert asked == [False, True, False]


def test_finding_out_a_name_imports_nothing_heavy() -> None:
    """The command line does this before it decides anything."""
    program = "import sys, orchestra.stack.finding as f; f.guess_name((), None, None, '/', {})\n"
    program += "print(*sorted({'yaml', 'jsonschema', 'json', 'socket'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=os.getcwd())
    assert out.stdout.strip() == ""


def test_loading_a_known_document_imports_no_jsonschema(tmp_path: Path) -> None:
    """It costs 70 ms, and says nothing new."""
    (tmp_path / "stack.yml").write_text(ONE)
    program = "import sys, orchestra.stack.files as f\n"
    program += f"f.load(f.Request(cwd={str(tmp_path)!r}, known_valid=lambda digest: True))\n"
    program += "print('jsonschema' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=os.getcwd())
    assert out.stdout.strip() == "False"
