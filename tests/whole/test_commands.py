"""The commands on a stack that runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time

import pytest

from .stage import COMMAND, Stage, idle, py, sh, until
from .terminal import at_terminal

pytestmark = pytest.mark.kernel
COUNT = "import time\nfor n in range(1, 21): print('line', n, flush=True)\ntime.sleep(1000)"


@pytest.fixture(scope="module")
def running(shared: Stage) -> Stage:
    """Two services and a job; one has written twenty lines, one listens."""
    shared.up(
        {
            "web": idle(ports=["127.0.0.1::8000"], depends_on=["talk"], labels={"team": "books"}),
            "talk": py(COUNT, stop_signal="SIGKILL"),
            "job": sh("echo done; echo sorry >&2; exit 3"),
        },
        networks={"default": {}},
    )
    until(lambda: "line 20" in shared.logs("talk"), "it has spoken")
    until(lambda: shared.row("t-job-1")["State"] == "exited", "the job is done")
    return shared


# Looking


def test_ps_is_a_table_of_what_runs(running: Stage) -> None:
    """docker compose's columns; what has ended with -a only."""
    head, *lines = running.ok("ps").splitlines()
    assert head.split() == ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"]
    assert [line.split()[0] for line in lines] == ["t-talk-1", "t-web-1"]
    assert re.search(r"Up .*second.*127\.0\.0\.1:\d+->8000/tcp", lines[1])
    assert "Exited (3)" in running.ok("ps", "-a")


def test_ps_as_json_is_an_object_a_line(running: Stage) -> None:
    """docker compose's keys."""
    rows = [json.loads(line) for line in running.ok("ps", "--format", "json").splitlines()]
    (web,) = (row for row in rows if row["Service"] == "web")
    assert {"ID", "Name", "Service", "Project", "State", "Health", "ExitCode", "Publishers", "Labels"} <= set(web)
    assert (web["Name"], web["Project"], web["State"]) == ("t-web-1", "t", "running")
    assert web["Publishers"][0]["TargetPort"] == 8000
    assert "team=books" in web["Labels"]


def test_ps_names_only(running: Stage) -> None:
    """-q, --services, and by service."""
    assert running.ok("ps", "-q").split() == ["t-talk-1", "t-web-1"]
    assert running.ok("ps", "--services").split() == ["talk", "web"]
    assert running.ok("ps", "-q", "web").split() == ["t-web-1"]
    assert running.ok("ps", "-a", "-q", "--status", "exited").split() == ["t-job-1"]


def test_logs_have_the_name_in_front(running: Stage) -> None:
    """Both streams; of all or of those that are named."""
    said = running.logs("job")
    assert re.search(r"(?m)^job-1\s+\| done$", said)
    assert re.search(r"(?m)^job-1\s+\| sorry$", said)
    assert "line 1" in running.logs()


def test_logs_tail(running: Stage) -> None:
    """The last lines."""
    assert running.logs("--tail", "3", "--no-log-prefix", "talk").splitlines() == ["line 18", "line 19", "line 20"]


def test_logs_since(running: Stage) -> None:
    """By age; what is younger than a moment is nothing."""
    assert "line 20" in running.logs("--since", "10m", "talk")
    time.sleep(0.01)
    assert running.logs("--since", "0s", "talk") == ""


def test_logs_timestamps(running: Stage) -> None:
    """RFC 3339, in front of the line."""
    assert re.search(r"\| \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line 1\n", running.logs("-t", "talk"))


def test_events_tell_what_happened(running: Stage) -> None:
    """As lines and as JSON with docker compose's keys."""
    assert re.search(r"container start t-web-1", running.ok("events", "--since", "10m", "--until", "0s"))
    first = json.loads(running.ok("events", "--json", "--since", "10m", "--until", "0s").splitlines()[0])
    assert {"time", "type", "action", "id", "service", "attributes"} <= set(first)


def test_graph_is_a_tree(running: Stage) -> None:
    """With the state of each service."""
    said = running.ok("graph")
    assert "web" in said
    assert re.search(r"─ talk \(started\)\s+Up", said)


def test_graph_as_dot(running: Stage) -> None:
    """For Graphviz."""
    said = running.ok("graph", "--dot")
    assert said.startswith("digraph")
    assert re.search(r'"?web"? -> "?talk"?', said)


def test_ls_lists_stacks(running: Stage) -> None:
    """Name, state and file."""
    assert re.search(r"(?m)^t\s+exited\(1\), running\(2\)\s+\S+/stack.yml$", running.ok("ls"))
    assert json.loads(running.ok("ls", "--format", "json"))[0]["Name"] == "t"


def test_config_prints_the_model(running: Stage) -> None:
    """As YAML and as JSON; services by name."""
    assert "name: t" in running.ok("config")
    assert set(json.loads(running.ok("config", "--format", "json"))["services"]) == {"web", "talk", "job"}
    assert set(running.ok("config", "--services").split()) == {"web", "talk", "job"}


def test_port_of_what_is_not_published_is_an_error(running: Stage) -> None:
    """The error says what to look at."""
    assert "81" in running.fails("port", "web", "81")


def test_why_says_it_in_a_sentence(running: Stage) -> None:
    """For one service, and for one that has ended."""
    assert running.ok("why", "web").startswith("web is running since")
    assert "exit code 3" in running.ok("why", "job")


# exec


def test_exec_ends_with_the_commands_code(running: Stage) -> None:
    """Also for a signal, and for a command that is not there."""
    assert running.run("exec", "-T", "web", "sh", "-c", "exit 42").returncode == 42
    assert running.run("exec", "-T", "web", "sh", "-c", "kill -9 $$").returncode == 137
    assert running.run("exec", "-T", "web", "no-such-program").returncode == 127


def test_exec_passes_streams_on(running: Stage) -> None:
    """stdin, stdout and stderr, each by itself."""
    done = running.run("exec", "-T", "web", "sh", "-c", "cat; echo oops >&2", stdin="through")
    assert (done.stdout, done.stderr) == ("through", "oops\n")


def test_exec_passes_much_on(running: Stage) -> None:
    """Megabytes both ways."""
    text = "x" * 2_000_000
    assert running.ok("exec", "-T", "web", "cat", stdin=text) == text


def test_exec_with_user_folder_and_environment(running: Stage) -> None:
    """-u, -w, -e."""
    said = running.inside("web", "id -u; pwd; echo $WORD", "-u", "1000", "-w", "/var", "-e", "WORD=x y")
    assert said == "1000\n/var\nx y"


def test_exec_makes_no_folder(running: Stage) -> None:
    """A folder that is not there is an error, as with docker: 127, or 126 for what is none."""
    done = running.run("exec", "-T", "-w", "/no/such", "web", "pwd")
    assert done.returncode == 127
    assert "cannot use the working directory: /no/such: No such file or directory" in done.stderr
    assert running.run("exec", "-T", "-w", "/etc/passwd", "web", "pwd").returncode == 126
    assert running.run("exec", "-T", "web", "test", "-e", "/no").returncode == 1


def test_exec_is_over_when_its_process_is(running: Stage) -> None:
    """Whatever goes on in the background, with its output open, stays in the container; as with docker."""
    assert running.ok("exec", "-T", "web", "sh", "-c", "while :; do echo y; done & echo $!").split()[0].isdigit()
    pid = running.ok(
        "exec", "-T", "web", "sh", "-c", "trap '' PIPE; while sleep 0.1; do echo y; done & echo $!"
    ).split()[0]
    running.ok("exec", "-T", "web", "kill", "-0", pid)


def test_exec_has_a_terminal_when_there_is_one(running: Stage) -> None:
    """Of the same size; Ctrl-D ends the shell, and its code is ours."""
    with at_terminal(running, "exec", "-it", "web", "sh") as terminal:
        terminal.until(r"[#$] ")
        terminal.press("tty; stty size\n")
        terminal.until(r"/dev/pts/\d+")
        terminal.until("40 120")
        terminal.press("exit 5\n")
        assert terminal.end() == 5


def test_ctrl_c_in_a_terminal_reaches_the_command(running: Stage) -> None:
    """And leaves the shell alone."""
    with at_terminal(running, "exec", "web", "sh") as terminal:
        terminal.until(r"[#$] ")
        terminal.press("sleep 1000\n")
        terminal.until("sleep 1000")
        until(lambda: "sleep 1000" in running.inside("web", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"), "it sleeps")
        terminal.press("\x03")
        terminal.press("echo 6 times 7 is $((6 * 7))\n")
        terminal.until("is 42")
        terminal.press("\x04")
        terminal.end()


def test_what_exec_started_ends_with_the_container_only(running: Stage) -> None:
    """-d leaves it behind."""
    running.ok("exec", "-d", "web", "sh", "-c", "sleep 0.2; touch /tmp/late; sleep 1000")
    until(lambda: running.inside("web", "ls /tmp/late 2>/dev/null || true"), "it has gone on")


# Acting


def test_restart_is_a_new_run_of_the_same_container(orchestra: Stage) -> None:
    """Another process, the same files and address."""
    orchestra.up({"a": idle(), "b": idle()})
    a, b = orchestra.pid("t-a-1"), orchestra.pid("t-b-1")
    orchestra.ok("restart", "a")
    assert orchestra.pid("t-a-1") != a
    assert orchestra.pid("t-b-1") == b
    assert orchestra.row("t-a-1")["Run"] == 2


def test_stop_and_start(orchestra: Stage) -> None:
    """All, or one."""
    orchestra.up({"a": idle(), "b": idle()})
    orchestra.ok("stop")
    assert {row["State"] for row in orchestra.rows().values()} == {"exited"}
    orchestra.ok("start", "a")
    assert {name: row["State"] for name, row in orchestra.rows().items()} == {"t-a-1": "running", "t-b-1": "exited"}


def test_kill_sends_the_signal(orchestra: Stage) -> None:
    """-s, by name or number; SIGKILL otherwise."""
    orchestra.up({"a": sh("trap 'echo got it' USR1; echo set; while :; do sleep 1000 & wait $!; done")})
    until(lambda: "set" in orchestra.logs(), "it listens")
    orchestra.ok("kill", "-s", "USR1", "a")
    until(lambda: "got it" in orchestra.logs(), "it got it")
    orchestra.ok("kill", "a")
    until(lambda: orchestra.row("t-a-1")["ExitCode"] == 137, "it is gone")


def test_a_real_time_signal_stops_as_well(orchestra: Stage) -> None:
    """As systemd in a container is stopped."""
    program = (
        "import signal, sys, time\nsignal.signal(signal.SIGRTMIN + 3, lambda *_: sys.exit(5))\n"
        "print('set')\nwhile True: time.sleep(0.1)"
    )
    orchestra.up({"a": py(program, stop_signal="SIGRTMIN+3")})
    until(lambda: "set" in orchestra.logs(), "it listens")
    orchestra.ok("stop", "-t", "20", "a")
    assert orchestra.row("t-a-1")["ExitCode"] == 5
    orchestra.ok("start", "a")
    orchestra.ok("kill", "-s", "rtmin+3", "a")
    until(lambda: orchestra.row("t-a-1")["State"] == "exited", "it has heard the signal")


def test_rm_removes_what_has_ended(orchestra: Stage) -> None:
    """And nothing else."""
    orchestra.up({"a": idle(), "job": sh("exit 0")})
    until(lambda: orchestra.row("t-job-1")["State"] == "exited", "the job is done")
    orchestra.ok("rm", "-f")
    assert set(orchestra.rows()) == {"t-a-1"}


def test_logs_follow_across_a_restart(orchestra: Stage) -> None:
    """Lines of the next run come as well; when all has ended, `logs -f` ends."""
    orchestra.up({"a": sh("echo run; trap 'exit 0' TERM; sleep 1000 & wait")})
    until(lambda: "run" in orchestra.logs(), "it has spoken")
    words = [*COMMAND, "logs", "-f", "--no-log-prefix", "a"]
    with subprocess.Popen(
        words, cwd=orchestra.work, env=orchestra.environ, stdout=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "run\n"
        orchestra.ok("restart", "a")
        assert follower.stdout.readline() == "run\n"
        orchestra.ok("stop", "a")
        assert follower.wait(10) == 0


def test_run_is_one_more_container(orchestra: Stage) -> None:
    """After its dependencies, beside the others, with its own command; gone afterwards with --rm."""
    orchestra.write({"services": {"web": idle(depends_on=["db"], environment={"A": "1"}), "db": idle()}})
    done = orchestra.run(
        "run", "--rm", "-T", "-e", "B=2", "web", "sh", "-c", "echo $A $B; getent hosts db >&2; exit 6"
    )
    assert done.returncode == 6, done.stderr
    assert done.stdout == "1 2\n"
    assert "db" in done.stderr
    assert set(orchestra.rows()) == {"t-db-1"}


def test_run_passes_stdin_on(orchestra: Stage) -> None:
    """As a filter in a pipe."""
    orchestra.write({"services": {"web": idle()}})
    assert orchestra.ok("run", "--rm", "-T", "web", "tr", "a-z", "A-Z", stdin="loud") == "LOUD"


def test_run_has_a_terminal_when_there_is_one(orchestra: Stage) -> None:
    """And ends with it."""
    orchestra.write({"services": {"web": idle()}})
    with at_terminal(orchestra, "run", "--rm", "web", "sh") as terminal:
        terminal.until(r"[#$] ")
        terminal.press("tty; exit 4\n")
        terminal.until(r"/dev/(pts/\d+|console)")
        assert terminal.end() == 4
    assert orchestra.rows() == {}


def test_run_without_rm_leaves_the_container(orchestra: Stage) -> None:
    """Shown by ps -a, its log kept; `down` takes it away."""
    orchestra.write({"services": {"web": idle()}})
    orchestra.ok("run", "-T", "--name", "once", "web", "echo", "hello")
    assert orchestra.row("once")["State"] == "exited"
    orchestra.ok("down")
    assert orchestra.rows() == {}


@pytest.mark.parametrize("name", ["a/b", "../../../../x", "n" * 201])
def test_run_takes_no_name_that_would_lead_elsewhere(orchestra: Stage, name: str) -> None:
    """Folders are called, and removed, after it."""
    orchestra.write({"services": {"web": idle()}})
    assert "name" in orchestra.fails("run", "--rm", "-T", "--name", name, "web", "true")
    orchestra.ok("down")


def test_a_run_that_is_refused_leaves_nothing_open(orchestra: Stage) -> None:
    """Neither its streams nor anything else stays with the supervisor."""
    secret = orchestra.work / "secret"
    secret.write_text("hidden")
    orchestra.write({"services": {"a": idle(), "b": idle(secrets=["s"])}, "secrets": {"s": {"file": str(secret)}}})
    orchestra.ok("up", "-d", "a")
    secret.unlink()

    def streams() -> int:
        folder = f"/proc/{orchestra.supervisor()}/fd"
        return sum("pipe:" in os.path.realpath(f"{folder}/{each}") for each in os.listdir(folder))

    before = streams()
    for _ in range(3):
        assert "does not exist" in orchestra.fails("run", "--rm", "-T", "b", "true")
    assert streams() == before


def test_commands_wait_in_line(orchestra: Stage) -> None:
    """Two that change a stack at once: both succeed, one after the other."""
    orchestra.write({"services": {"a": idle(), "b": idle()}})
    words = [*COMMAND, "up", "-d"]
    both = [
        subprocess.Popen(words, cwd=orchestra.work, env=orchestra.environ, stderr=subprocess.PIPE) for _ in range(2)
    ]
    said = [one.communicate(timeout=30)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert {row["Run"] for row in orchestra.rows().values()} == {1}


@pytest.mark.parametrize("home", ["file", "file/x", "file/x/y"])
def test_a_home_where_no_folder_can_be_is_refused(orchestra: Stage, home: str) -> None:
    """What is in the way there is not damage, but somebody else's: it stays what it is."""
    (orchestra.work / "file").write_text("of somebody else")
    orchestra.write({"services": {"a": idle()}})
    for words in (("up", "-d"), ("config", "-q"), ("ps",), ("down",)):
        ended = orchestra.run("--home", str(orchestra.work / home), *words)
        assert "Traceback" not in ended.stderr
        if words[0] != "config":
            assert f"{orchestra.work}/file is no folder" in ended.stderr
    assert (orchestra.work / "file").read_text() == "of somebody else"
    assert [path.name for path in orchestra.work.iterdir() if path.name.startswith("file")] == ["file"]
