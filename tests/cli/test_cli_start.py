"""Getting going: which stack is meant, what is imported, how mistakes are told, the head start of `up`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_supervisor import FakeSupervisor, row, status

from orchestra.cli import group, guard, warm
from orchestra.cli.config import rendered
from orchestra.cli.options import is_file
from orchestra.cli.project import seen_name
from orchestra.client import Connection, SupervisorGone
from orchestra.errors import OrchestraError
from orchestra.keeper.listener import bind

# What `ps` may import: itself, click, and what click and json need. Nothing that parses YAML, no event loop.
ALLOWED = {"click", "orchestra"}
HEAVY = {
    "asyncio", "concurrent", "ctypes", "email", "http", "importlib.metadata", "jsonschema", "logging",
    "multiprocessing", "orchestra.stack.loading", "orchestra.stack.model", "subprocess", "tempfile",
    "urllib", "yaml",
}  # fmt: skip


def test_ps_imports_no_more_than_it_needs(home, places):
    """The list of what is not in the standard library is exact; heavy parts of it are not there."""
    with FakeSupervisor(places, {"status": status(row("cart"))}):
        said, modules = modules_after("ps", "store.yml")
    assert "store-cart-1" in said
    packages = {name.partition(".")[0] for name in modules}
    foreign = {name for name in packages if name not in sys.stdlib_module_names and name != "__main__"}
    assert foreign == ALLOWED
    assert not modules & HEAVY


def modules_after(*words: str) -> tuple[str, set[str]]:
    """What a command prints, and what is imported when it has."""
    code = (
        "import os, sys; from orchestra.cli.guard import guarded; from orchestra.cli.warm import warm_up\n"
        f"sys.argv = ['orchestra', *{words}]\n"
        "warm_up(sys.argv[1:], os.environ); guarded(sys.argv[1:]); sys.stdout.flush()\n"
        "print('modules', *sys.modules, file=sys.stderr)"
    )
    site = [path for path in sys.path if "site-packages" in path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], *site])}
    # -S: what `.pth` files of this machine import is not ours.
    ran = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    return ran.stdout, set(ran.stderr.rpartition("modules ")[2].split())


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("store.yml", True),
        ("a/b.yaml", True),
        ("cart", False),
        ("cart.1", False),
        ("./nothing", False),
        ("/etc", True),
    ],
)
def test_a_stack_file_is_told_from_a_service(word, answer):
    """By its ending, or by a slash when it exists."""
    assert is_file(word) is answer


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["name: store\nservices: {}\n"], "store"),
        (["# the store\n\nname: 'store'  # ours\nservices: {}\n"], "store"),
        (["---\nservices: {}\nname: Store\n"], "store"),
        (["services: {}\n"], "project"),
        (["name: one\n", "services: {}\n"], "one"),
        (["name: one\n", "name: two\n"], "two"),
        (["services:\n  web:\n    name: inner\n"], "project"),
        (["name: ${NAME}\n"], None),
        (["name: a b\n"], None),
        (["name: &x store\n"], None),
        (["{name: store, services: {}}\n"], None),
        (['services: {}\n"name": store\n'], None),
        (["services: {}\n? name\n: store\n"], None),
        (["x-a: &a {name: store}\n<<: *a\n"], None),
        (["name:\n  store\n"], None),
        (["name : store\nservices: {}\n"], None),
        ([""], None),
    ],
)
def test_a_name_is_seen_only_where_there_is_no_doubt(texts, name):
    """Everything else is left to the parser: a wrong name would stop somebody else's stack."""
    assert seen_name(texts, "/srv/project") == name


def test_the_stack_is_found_by_every_sign(orchestra, home):
    """-p, the variable, `.env`, the file's name, the folder, upward: in this order."""

    def found(*arguments: str) -> str:
        what = orchestra("port", *arguments, "web", "80").err
        return what.removeprefix("error: stack ").partition(" ")[0]

    assert found("store.yml") == "store"
    assert found("-f", "store.yml") == "store"
    assert found("-p", "other") == "other"
    Path(".env").write_text("COMPOSE_PROJECT_NAME=from-env\n")
    assert found("store.yml") == "from-env"
    Path(".env").unlink()
    Path("compose.yaml").write_text("services: {}\n")
    assert found() == "project"
    Path("below").mkdir()
    os.chdir("below")
    os.environ["PWD"] = os.getcwd()
    assert found() == "project"
    assert (
        "not a project name" in orchestra("ps", "-p", "../evil").err
        or "cannot be" in orchestra("ps", "-p", "../evil").err
    )


def test_options_stand_before_or_behind_the_command(orchestra, places):
    """Docker compose wants them before; here both are fine."""
    with FakeSupervisor(places, {"status": status(row("cart"))}):
        for arguments in (["-p", "store", "ps", "-q"], ["ps", "-q", "-p", "store"], ["ps", "-qp", "store"]):
            assert orchestra(*arguments).out == "store-cart-1\n"


def test_home_moves_everything(orchestra, places, tmp_path):
    """--home is ORCHESTRA_HOME."""
    with FakeSupervisor(places, {"status": status(row("cart"))}):
        assert orchestra("--home", str(tmp_path / "elsewhere"), "ps", "-q", "store.yml").out == ""
        assert orchestra("--home", str(tmp_path / "home"), "ps", "-q", "store.yml").out == "store-cart-1\n"


@pytest.mark.parametrize(
    ("closed", "told"),
    [("<&-", "store-cart-1\n"), (">&-", ""), ("2>&-", "store-cart-1\n"), ("<&- >&- 2>&-", "")],
)
def test_a_stream_that_is_closed_leads_nowhere(home, places, closed, told):
    """As cron jobs and scripts start programs; what is opened next does not get its number."""
    command = f"{sys.executable} -m orchestra.cli.main ps -q store.yml {closed}"
    with FakeSupervisor(places, {"status": status(row("cart"))}):
        ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, told, "")


@pytest.mark.parametrize("words", ["ps store.yml", "--help"])
def test_output_that_finds_no_room_is_no_fault(home, places, words):
    """It is said in a line what is wrong."""
    command = f"{sys.executable} -m orchestra.cli.main {words} > /dev/full"
    with FakeSupervisor(places, {"status": status(row("cart"))}):
        ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: cannot write: No space left on device\ntry: ")
    assert len(ran.stderr.splitlines()) == 2


def test_a_folder_that_is_gone_is_told(home, tmp_path):
    """As after a clone that was made anew; what was typed is not looked at."""
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m orchestra.cli.main ls"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1
    assert ran.stderr == (
        "error: cannot tell which folder this is: No such file or directory\ntry: cd to one that is there\n"
    )


def test_a_file_that_cannot_be_written_is_told(orchestra, tmp_path):
    """`config -o` into a folder that is not there."""
    ran = orchestra("config", "-o", str(tmp_path / "nowhere" / "file"), "store.yml")
    assert ran.status == 1
    assert ran.err.startswith(f"error: cannot write {tmp_path}/nowhere/file: No such file or directory\ntry: ")


def test_a_fault_is_one_line_and_a_file(orchestra, monkeypatch, home):
    """Nobody sees a traceback; it can be found."""

    def fail(*_: object) -> None:
        raise RuntimeError("impossible")

    monkeypatch.setattr("orchestra.cli.ps.find", fail)
    ran = orchestra("ps")
    assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith("error: this is a fault in orchestra: RuntimeError: impossible (details in ")
    path = Path(ran.err.rpartition("details in ")[2].rstrip(")\n"))
    assert "Traceback" in path.read_text()
    assert path.is_relative_to(home.data)


@pytest.mark.parametrize(
    ("raised", "status", "text"),
    [
        (KeyboardInterrupt(), 130, ""),
        (OrchestraError("no", "yes", 9), 9, "error: no\ntry: yes\n"),
    ],
)
def test_endings_have_their_status(monkeypatch, capfd, raised, status, text):
    """130 when interrupted, and what an error says of itself."""

    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(group.orchestra, "main", fail)
    assert guard.guarded(["ps"]) == status
    assert capfd.readouterr().err == text


@pytest.mark.parametrize("module", ["warm", "guard", "shortcut", "group"])
@pytest.mark.parametrize("command", ["up", "ps"])
def test_an_interrupt_while_it_is_still_importing_shows_no_traceback(home, command, module):
    """Whoever presses Ctrl-C at once sees nothing but the end."""
    code = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == 'orchestra.cli.{module}': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        f"sys.argv = ['orchestra', '{command}', '--help']\n"
        "from orchestra.cli.main import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.stdout, ran.stderr) == ("", "")
    assert ran.returncode in (-signal.SIGINT, 130)


def test_a_mistyped_command_gets_a_suggestion(orchestra):
    """Exit status 1, as every error of docker compose."""
    assert orchestra("upp").err.startswith("error: there is no command upp (did you mean 'up'?)")
    assert orchestra("ps", "--bogus").status == 1


@pytest.mark.parametrize("command", [[], ["up"], ["down"], ["exec"], ["run"], ["logs"], ["config"], ["version"]])
def test_every_command_has_help(orchestra, command):
    """To stdout, with status 0."""
    ran = orchestra(*command, "--help")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("Usage: orchestra")


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["up", "store.yml"], "store"),
        (["up", "-d", "-p", "other"], "other"),
        (["--project-name=other", "up"], "other"),
        (["-f", "store.yml", "up"], "store"),
        (["up", "missing.yml"], None),
    ],
)
def test_the_head_start_guesses_the_stack(home, argv, name):
    """From the arguments alone, and not at all when it cannot."""
    guessed = warm.guess(argv, os.environ)
    assert (guessed.name if guessed else None) == name


@pytest.mark.parametrize("argv", [["ps", "store.yml"], ["up", "--help"], ["down"], ["up", "missing.yml"]])
def test_only_up_gets_a_head_start(home, monkeypatch, argv):
    """Nothing is started for any other command, nor for a file that is not there."""
    monkeypatch.setattr(warm, "begin", lambda places: pytest.fail(f"started {places.name}"))
    warm.warm_up(argv, os.environ)


def test_a_stack_that_runs_gets_no_head_start(home, places, monkeypatch):
    """Its supervisor is there already."""
    begun = []
    monkeypatch.setattr(warm, "begin", lambda places: begun.append(places.name))
    warm.warm_up(["up", "store.yml"], os.environ)
    with FakeSupervisor(places, {}):
        warm.warm_up(["up", "store.yml"], os.environ)
    assert begun == ["store"]


@pytest.mark.parametrize("shape", ["yaml", "json"])
def test_what_config_prints_can_be_read_back(shape):
    """A dollar sign stays one: it is doubled in both shapes, as docker compose does."""
    assert "$$HOME" in rendered({"name": "t", "services": {"a": {"command": ["echo", "$HOME"]}}}, shape)


def test_config_lists_what_the_file_has(orchestra):
    """Services, hashes, JSON; to a file if asked."""
    assert orchestra("config", "store.yml", "--services").out == "cart\nweb\n"
    assert orchestra("config", "-q", "store.yml").out == ""
    assert '"name": "store"' in orchestra("config", "store.yml", "--format", "json").out
    assert [line.split()[0] for line in orchestra("config", "store.yml", "--hash", "*").out.splitlines()] == [
        "cart",
        "web",
    ]
    Path("more.yml").write_text(
        "include: [store.yml]\nservices:\n  store: {rootfs: host, command: $A, profiles: [p]}\n"
    )
    Path("store.yml").write_text(Path("store.yml").read_text().replace("name: store", "x-b: ${B:-b}"))
    assert orchestra("config", "more.yml", "--profiles").out == "p\n"
    assert [line.split()[0] for line in orchestra("config", "more.yml", "--variables").out.splitlines()[1:]] == [
        "A",
        "B",
    ]
    orchestra("config", "store.yml", "-o", "out.yml", "cart")
    assert "cart:" in Path("out.yml").read_text()
    assert "web:" not in Path("out.yml").read_text()


def test_graph_shows_live_state(orchestra, places):
    """Beside the tree; as colours in DOT."""
    assert orchestra("graph", "store.yml").out == "web\n└─ cart (healthy)\n"
    with FakeSupervisor(places, {"status": status(row("cart", health="unhealthy"), row("web", state="created"))}):
        tree = orchestra("graph", "store.yml").out.splitlines()
        dot = orchestra("graph", "--dot", "store.yml").out
    assert tree[0].endswith("   Created")
    assert tree[1].endswith("(unhealthy)")
    assert '"cart" [color=red' in dot


@pytest.mark.parametrize("words", [["up", "-d"], ["ps"], ["volume", "ls"], ["network", "create", "x"], ["down"]])
@pytest.mark.parametrize("below", ["", "/deeper"])
def test_a_home_that_is_no_folder_is_somebody_elses(orchestra, tmp_path, monkeypatch, words, below):
    """It is not set aside as a spoiled file of ours would be."""
    file = tmp_path / "precious"
    file.write_text("of somebody else")
    monkeypatch.setenv("ORCHESTRA_HOME", f"{file}{below}")
    ran = orchestra(*words)
    assert ran.status == 1
    assert f"cannot keep anything below {file}{below}: {file} is no folder" in ran.err
    assert file.read_text() == "of somebody else"
    assert sorted(tmp_path.glob("precious*")) == [file]


def test_a_supervisor_that_goes_before_it_is_asked_is_told(places):
    """It is no reader of the output, whose going (EPIPE) is no error."""
    os.makedirs(places.run)
    with bind(places.run, "api.sock") as listening, Connection(places) as connection:
        listening.accept()[0].close()
        with pytest.raises(SupervisorGone, match="the supervisor went away"):
            connection.send({"do": "status"})
