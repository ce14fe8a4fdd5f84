"""The short way of `ps`, `up -d` and `down`: the same as the long one, and only as long as nothing has changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_supervisor import FakeSupervisor, row, status
from test_cli_start import modules_after

from orchestra.cli import recipe, shortcut
from orchestra.cli.asked import Asked
from orchestra.cli.recipe import recall

MINE = {"orchestra"}
NOT_NEEDED = {
    "click", "collections", "contextlib", "dataclasses", "enum", "functools", "hashlib", "json", "re", "socket",
    "typing", "yaml",
}  # fmt: skip
PROJECT = {
    "stack.yml": """
name: store
include: [more/included.yml]
services:
  web:
    extends: {file: base.yml, service: base}
    env_file: [{path: web.env, required: false}, {path: maybe.env, required: false}]
    command: ["sh", "-c", "echo ${GREETING:-hello} $${HOME}"]
""",
    "base.yml": "services: {base: {rootfs: host}}\n",
    "web.env": "COLOUR=red\n",
    "more/included.yml": "services: {cart: {rootfs: host, command: [cart]}}\n",
    "more/.env": "UNUSED=1\n",
}


@pytest.fixture(autouse=True)
def _all_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of these tests were written long ago."""
    monkeypatch.setattr(recipe, "TICK_NS", -(10**18))


@pytest.fixture
def project(home, tmp_path: Path) -> Path:
    """A project of several files in the current folder, in a home in which something has run."""
    for name, text in PROJECT.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    os.unlink("store.yml")
    os.makedirs(home.run, mode=0o700)
    return tmp_path / "project"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From here on, the long way fails."""

    def only() -> None:
        def fail(*_: object) -> int:
            raise AssertionError("the long way was taken")

        monkeypatch.setattr("orchestra.cli.group.run", fail)

    return only


def answers() -> dict[str, object]:
    rows = status(row("cart"), row("web"))
    done = lambda _, talk: talk.done()  # noqa: E731
    return {"status": rows, "apply": done, "down": done}


def known() -> bool:
    return recall(Asked.of(os.environ)) is not None


def test_the_short_way_asks_and_says_what_the_long_one_does(orchestra, places, project, short):
    """Every request and every word."""
    told = []
    with FakeSupervisor(places, answers()) as fake:
        for _ in ("long", "short"):
            told.append([orchestra(*words) for words in (("up", "-d"), ("up", "--wait"), ("ps",), ("down",))])
            short()
            os.makedirs(places.run, exist_ok=True)
    assert told[0] == told[1]
    assert {ran.status for ran in told[0]} == {0}
    half = len(fake.seen) // 2
    assert fake.seen[:half] == fake.seen[half:]


@pytest.mark.parametrize("words", [["ps"], ["up", "-d"], ["down"]], ids=lambda words: words[0])
def test_the_short_way_imports_next_to_nothing(orchestra, places, project, words):
    """Not the parser of options, nor what it needs: that is what makes it short."""
    with FakeSupervisor(places, answers()):
        modules_after("config", "-q")
        _, modules = modules_after(*words)
    assert {name.partition(".")[0] for name in modules} & NOT_NEEDED == set()


def test_a_name_needs_no_recipe(orchestra, places, short):
    """-p says it all."""
    short()
    with FakeSupervisor(places, answers()):
        assert "store-cart-1" in orchestra("-p", "store", "ps").out


def test_looking_for_the_name_is_remembered_too(orchestra, places, project, short):
    """A terminal with another environment reads once, and only what it needs."""
    with FakeSupervisor(places, answers()):
        orchestra("ps")
        short()
        assert "store-cart-1" in orchestra("ps").out


def write(name: str, text: str) -> Callable[[Path, pytest.MonkeyPatch], None]:
    return lambda project, _: void((project / name).write_text(text))


def void(_: object) -> None:
    return None


def same_length_and_time(project: Path, _: pytest.MonkeyPatch) -> None:
    path = project / "stack.yml"
    before = path.stat()
    path.write_text(path.read_text().replace("hello", "salut"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def another_in_its_place(project: Path, _: pytest.MonkeyPatch) -> None:
    shutil.copy2(project / "base.yml", project / "new.yml")
    os.replace(project / "new.yml", project / "base.yml")


CHANGES: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "the file": write("stack.yml", PROJECT["stack.yml"] + "# changed\n"),
    "the file, its length and time as before": same_length_and_time,
    "another file under its name": another_in_its_place,
    "an included file": write("more/included.yml", "services: {cart: {rootfs: host, command: [other]}}\n"),
    "the .env of what is included": write("more/.env", "UNUSED=2\n"),
    "an extended file": write("base.yml", "services: {base: {rootfs: host, user: '7'}}\n"),
    "an env_file": write("web.env", "COLOUR=blue\n"),
    "an env_file comes": write("maybe.env", "COLOUR=blue\n"),
    "an env_file goes": lambda project, _: (project / "web.env").unlink(),
    "a .env comes": write(".env", "GREETING=salut\n"),
    "an override file comes": write("stack.override.yml", "services: {web: {user: '7'}}\n"),
    "a file that is looked for later comes": write("compose.yaml", "services: {}\n"),
    "a variable is set": lambda _, monkeypatch: monkeypatch.setenv("GREETING", "salut"),
    "a profile is switched on": lambda _, monkeypatch: monkeypatch.setenv("COMPOSE_PROFILES", "x"),
    "the name is given": lambda _, monkeypatch: monkeypatch.setenv("COMPOSE_PROJECT_NAME", "other"),
    "orchestra itself": lambda _, monkeypatch: monkeypatch.setattr(recipe, "__version__", "0.2"),
    "a parser is edited": lambda _, monkeypatch: monkeypatch.setattr(recipe, "_age_of_readers", lambda: 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_is_read_anew(orchestra, places, project, monkeypatch, change):
    """A recipe that was good is none any more, be it that something came, went, or is another."""
    orchestra("config", "-q")
    assert known()
    change(project, monkeypatch)
    assert not known()


def test_what_was_read_anew_is_what_is_asked_for(orchestra, places, project):
    """The request has the new value, and so has the one after it."""
    with FakeSupervisor(places, answers()) as fake:
        orchestra("up", "-d")
        (project / "web.env").write_text("COLOUR=blue\n")
        orchestra("up", "-d")
        orchestra("up", "-d")
    asked = [request["stack"] for request in fake.seen if request["do"] == "apply"]
    assert ["COLOUR=red" in str(stack) or "'red'" in str(stack) for stack in asked] == [True, False, False]
    assert asked[1] == asked[2]


def test_another_folder_has_another_recipe(orchestra, project, monkeypatch, tmp_path):
    """The nearest file counts, wherever one is."""
    orchestra("config", "-q")
    (project / "inner").mkdir()
    monkeypatch.chdir(project / "inner")
    monkeypatch.setenv("PWD", str(project / "inner"))
    assert not known()


def test_a_file_that_was_just_written_is_not_trusted(orchestra, project, monkeypatch):
    """Within a tick of the kernel's clock two changes look alike."""
    monkeypatch.setattr(recipe, "TICK_NS", 10**18)
    orchestra("config", "-q")
    monkeypatch.undo()
    assert not known()


def test_warnings_come_again(orchestra, places, project, short):
    """What is odd about a file is said each time."""
    (project / "stack.yml").write_text("version: '3'\n" + PROJECT["stack.yml"])
    with FakeSupervisor(places, answers()):
        first = orchestra("up", "-d").err
        short()
        assert orchestra("up", "-d").err == first
    assert "version is obsolete" in first


def test_a_damaged_recipe_is_no_recipe(orchestra, home, project):
    """The file is read, and the recipe written anew."""
    orchestra("config", "-q")
    (kept,) = Path(home.recipes).iterdir()
    for damage in ("", "{", "[]", '{"stamps": {}, "recipe": 1}', '{"stamps": 1}'):
        kept.write_text(damage)
        assert not known()
    orchestra("config", "-q")
    assert known()


def test_recipes_are_private_and_few(orchestra, home, project, monkeypatch):
    """Variables are filled in there; and nobody has to clear them away."""
    monkeypatch.setattr(recipe, "MOST", 2)
    for number in range(4):
        monkeypatch.setenv("GREETING", str(number))
        orchestra("config", "-q")
    kept = list(Path(home.recipes).iterdir())
    assert len(kept) == 2
    assert {path.stat().st_mode & 0o777 for path in (*kept, Path(home.recipes))} == {0o600, 0o700}


def test_nothing_is_left_where_nothing_ever_ran(orchestra, home):
    """Looking at a file makes no directories."""
    orchestra("config", "-q", "store.yml")
    assert not os.path.exists(home.run)


@pytest.mark.parametrize(
    "line",
    [
        "", "ps -a", "ps --format json", "ps cart", "up", "up -d cart", "up -d --force-recreate", "up -d --scale a=2",
        "down -v", "down cart", "--dry-run up -d", "ps --dry-run", "-f - up -d", "-f", "-p", "--profile x up -d",
        "logs", "-f a.yml ps b.yml", "ps a.yml b.yml", "--home /x ps", "up -d -h", "ps --help", "up -dV",
        "--file=a.yml ps",
    ],
)  # fmt: skip
def test_what_is_unusual_takes_the_long_way(home, line):
    """Only words that can be understood one by one are taken; no guess is made."""
    plain = shortcut.read(line.split())
    assert plain is None or (line == "up" and not plain[1])


@pytest.mark.parametrize(
    ("line", "command", "files", "name"),
    [
        ("ps", "ps", [], None),
        ("-f a.yml -f b.yml ps", "ps", ["a.yml", "b.yml"], None),
        ("ps store.yml", "ps", ["store.yml"], None),
        ("up -d -p x --file a", "up", ["a"], "x"),
        ("--project-name x down", "down", [], "x"),
    ],
)
def test_what_is_plain_is_understood(home, line, command, files, name):
    """As click understands it."""
    found, _, asked = shortcut.read(line.split())
    assert (found, asked.files, asked.project_name) == (command, files, name)


def test_what_is_compiled_meanwhile_changes_nothing(orchestra, places, project, monkeypatch, tmp_path):
    """A command that is the first to import a module writes it down beside the readers."""
    readers = tmp_path / "readers"
    readers.mkdir()
    (readers / "parse.py").touch()
    monkeypatch.setattr(recipe, "READERS", str(readers))
    assert orchestra("config", "-q").status == 0
    (readers / "__pycache__").mkdir()
    assert known()
    (readers / "merge.py").touch()
    assert not known()
