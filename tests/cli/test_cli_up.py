"""`up`, `down` and what else changes a stack: requests, progress, interrupts, exit codes."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time

import pytest
from fake_supervisor import FakeSupervisor, Request, Talk, row, status

from orchestra.logs.layout import STDERR, STDOUT
from orchestra.logs.writer import Log
from orchestra.stack.model import Stack
from orchestra.wire.codec import decode

WAITING = "waiting: cart is not healthy yet (starting)"


def bring_up(_: Request, talk: Talk) -> None:
    """Two services, the second one after the first is healthy."""
    talk.rows(row("cart", state="created"), row("web", state="waiting", why=WAITING))
    talk.rows(row("cart", health="starting"))
    talk.rows(row("cart", health="healthy"))
    talk.rows(row("web"))
    talk.done()


def hold(_: Request, __: Talk) -> None:
    """No answer yet."""


def watch(*rows):
    def answer(_: Request, talk: Talk) -> None:
        talk.rows(*rows)

    return answer


def test_up_sends_the_stack_and_its_options(orchestra, places):
    """The request has everything the contract names, and the stack can be decoded."""
    with FakeSupervisor(places, {"apply": bring_up}) as fake:
        assert orchestra("up", "--wait", "store.yml", "--scale", "cart=3", "-t", "2", "web").status == 0
    (request,) = fake.asked("apply")
    stack = decode(Stack, request.pop("stack"))
    assert (stack.name, stack.services["cart"].scale, stack.services["web"].scale) == ("store", 3, 1)
    assert request == {
        "id": 2, "do": "apply", "services": ["web"], "recreate": "diverged", "no_deps": False, "no_start": False,
        "remove_orphans": False, "timeout": 2.0, "until": "healthy",
    }  # fmt: skip


def test_progress_is_a_line_a_change_when_piped(orchestra, places):
    """On stderr; stdout is for data."""
    with FakeSupervisor(places, {"apply": bring_up}):
        ran = orchestra("up", "-d", "store.yml")
    assert ran.out == ""
    assert ran.err.splitlines() == [
        " Container store-cart-1  Created",
        " Container store-web-1  Waiting (cart is not healthy yet (starting))",
        " Container store-cart-1  Started",
        " Container store-cart-1  Healthy",
        " Container store-web-1  Started",
    ]


def test_progress_as_json_has_dockers_keys(orchestra, places):
    """One object a change."""
    with FakeSupervisor(places, {"apply": bring_up}):
        ran = orchestra("--progress", "json", "up", "-d", "store.yml")
    first, second, *_ = map(json.loads, ran.err.splitlines())
    assert first == {"id": "Container store-cart-1", "status": "Created"}
    assert second["text"] == "cart is not healthy yet (starting)"


def test_progress_can_be_quiet(orchestra, places):
    """Nothing at all is said."""
    with FakeSupervisor(places, {"apply": bring_up}):
        assert orchestra("up", "-d", "store.yml", "--progress", "quiet").err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--build"], "images are not supported yet"),
        (["--pull", "always"], "--pull: images are not supported yet"),
        (["--watch"], "--watch: not supported yet"),
        (["--force-recreate", "--no-recreate"], "incompatible"),
        (["-d", "--abort-on-container-exit"], "incompatible"),
        (["--scale", "cart"], "not SERVICE=NUMBER"),
        (["--scale", "cart=99999999"], "containers are asked for, a stack has 1000 at most"),
        (["--scale", "crt=2"], "no such service: crt (did you mean 'cart'?)"),
        (["wbe"], "no such service: wbe (did you mean 'web'?)\ntry: one of: cart, web"),
        (["--bogus"], "No such option"),
    ],
)
def test_up_refuses_what_it_cannot_do(orchestra, places, arguments, words):
    """Nothing is asked of the supervisor, and the status is 1 as docker compose's."""
    with FakeSupervisor(places, {}) as fake:
        ran = orchestra("up", "store.yml", *arguments)
    assert (ran.status, fake.seen) == (1, [])
    assert ran.err.startswith("error: ")
    assert words in ran.err


def test_an_error_of_the_supervisor_is_shown_with_its_hint_and_status(orchestra, places):
    """What, what to try, and the exit status that it names."""
    with FakeSupervisor(places, {"apply": lambda _, talk: talk.fail("port 80 is taken", "give web another", 7)}):
        ran = orchestra("up", "-d", "store.yml")
    assert (ran.status, ran.err) == (7, "error: port 80 is taken\ntry: give web another\n")


def test_waiting_for_health_has_an_end(orchestra, places):
    """--wait-timeout names who is late."""

    def late(_: Request, talk: Talk) -> None:
        talk.rows(row("cart", health="starting"), row("web"))

    with FakeSupervisor(places, {"apply": late}):
        ran = orchestra("up", "--wait", "--wait-timeout", "0.2", "store.yml")
    assert ran.status == 1
    assert "error: store-cart-1 not ready after 0.2 s" in ran.err


def test_a_dry_run_prints_the_plan(orchestra, places):
    """The steps with their causes go to stdout."""
    with FakeSupervisor(places, {"plan": lambda _, talk: talk.done(lines=["start cart: it does not run"])}) as fake:
        assert orchestra("up", "--dry-run", "store.yml").out == "start cart: it does not run\n"
    assert not fake.asked("apply")


def test_down_of_nothing_is_a_warning(orchestra, home):
    """Exit status 0, and nothing is left behind by asking."""
    ran = orchestra("down", "-p", "elsewhere")
    assert (ran.status, ran.err) == (0, "warning: no resource found to remove for stack elsewhere\n")
    assert not os.path.exists(home.run)


def test_down_shows_what_it_removes(orchestra, places):
    """Stopping, stopped, removed."""

    def answer(_: Request, talk: Talk) -> None:
        talk.rows(row("cart", state="stopping"))
        talk.rows(row("cart", state="exited", exit_code=0))
        talk.rows(row("cart", state="exited", exit_code=0, gone=True))
        talk.done()

    with FakeSupervisor(places, {"down": answer}) as fake:
        ran = orchestra("down", "-v", "store.yml", "--timeout", "3")
    assert [line.split()[-1] for line in ran.err.splitlines()] == ["Stopping", "Stopped", "Removed"]
    (request,) = fake.asked("down")
    assert (request["volumes"], request["timeout"], request["services"]) == (True, 3.0, None)


def test_volumes_of_a_stack_that_does_not_run_can_be_removed(orchestra, home):
    """`down`, then `down --volumes`: only the file still knows them."""
    with open("store.yml", "a") as file:
        file.write("    volumes: [data:/data, other:/other]\n    profiles: [rare]\n")
        file.write("volumes: {data: {}, other: {external: true, name: other}}\n")
    for name in ("store_data", "other"):
        os.makedirs(home.volume(name))
    ran = orchestra("down", "-v", "store.yml")
    assert (ran.status, ran.err) == (0, " Volume store_data  Removed\n")
    assert os.listdir(f"{home.data}/volumes") == ["other"]
    assert not os.path.exists(home.stack("store").run)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["down"], "would stop and remove store-cart-1\nwould stop and remove store-web-1\n"),
        (["stop", "cart"], "would stop store-cart-1\n"),
        (["rm"], "would remove store-web-1\n"),
        (["start"], "would start store-web-1\n"),
    ],
)
def test_a_dry_run_changes_nothing(orchestra, places, arguments, words):
    """It says what would be done to whom."""
    rows = [row("cart"), row("web", state="exited", exit_code=0)]
    with FakeSupervisor(places, {"status": status(*rows)}) as fake:
        assert orchestra("-p", "store", *arguments, "--dry-run").out == words
        assert orchestra("-p", "store", "--dry-run", *arguments).out == words
    assert {request["do"] for request in fake.seen} == {"status"}


def test_up_warns_of_orphans_and_passes_notices_on(orchestra, places, monkeypatch):
    """COMPOSE_IGNORE_ORPHANS silences the former."""
    answers = {"apply": lambda _, talk: talk.done(), "status": status(row("cart"), row("old"))}
    with FakeSupervisor(places, answers):
        assert orchestra("up", "-d", "store.yml").err.startswith("warning: store-old-1: of no service")
        monkeypatch.setenv("COMPOSE_IGNORE_ORPHANS", "true")
        assert orchestra("up", "-d", "store.yml").err == ""


def test_services_are_checked_before_they_are_stopped(orchestra, places):
    """A typing mistake stops nothing."""
    answers = {"status": status(row("cart")), "stop": lambda _, talk: talk.done()}
    with FakeSupervisor(places, answers) as fake:
        assert "did you mean 'cart'" in orchestra("stop", "-p", "store", "crat").err
        assert not fake.asked("stop")
        assert orchestra("stop", "-p", "store", "cart").status == 0
        assert fake.asked("stop")[0]["services"] == ["cart"]


def test_commands_that_change_a_stack_queue(begun, places):
    """The second one says for whom it waits, and goes on when the first has finished."""
    answers = {"kill": lambda _, talk: talk.done(killed=["store-cart-1"])}
    with FakeSupervisor(places, answers) as fake:
        lock = os.open(places.lock, os.O_RDWR | os.O_CREAT)
        os.write(lock, b"`orchestra up` (pid 123)")
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = begun("kill", "-s", "HUP", "-p", "store")
        assert second.stderr.readline() == "waiting for `orchestra up` (pid 123) …\n"
        assert not fake.seen
        os.close(lock)
        assert second.communicate(timeout=30) == ("", " Container store-cart-1  Killed\n")
    assert second.returncode == 0
    assert fake.asked("kill")[0]["signal"] == "HUP"


def test_live_progress_is_redrawn_in_place_and_fits_the_terminal(window, places):
    """Head line with the count, a line for each container, none wider than the screen."""
    with FakeSupervisor(places, {"apply": bring_up}):
        screen = window("up", "-d", "store.yml", columns=60)
        assert screen.end() == 0
    last = plain(screen.text.split("[+] up")[-1])
    assert last.splitlines()[0] == " 2/2"
    assert re.search(r" ✔ Container store-cart-1  Healthy +0\.\ds", last)
    assert re.search(r" ✔ Container store-web-1   Started +0\.\ds", last)
    assert max(map(len, plain(screen.text).splitlines())) <= 60
    assert screen.text.count("\x1b[?25l") == screen.text.count("\x1b[?25h") == 1


def test_up_in_the_foreground_shows_the_output_and_stops_on_an_interrupt(window, places):
    """Lines get the padded name; Ctrl-C asks for a stop and ends with 130."""
    rows = [row("cart", logs=places.logs("cart"), health="healthy"), row("web", logs=places.logs("web"))]

    def stop(_: Request, talk: Talk) -> None:
        talk.rows(*({**each, "state": "stopping"} for each in rows))
        write_log(places.logs("web"), b"bye\n")
        talk.rows(*({**each, "state": "exited", "exit_code": 0} for each in rows))
        talk.done()

    answers = {"apply": lambda _, talk: talk.done(), "watch": watch(*rows), "stop": stop}
    with FakeSupervisor(places, answers) as fake:
        screen = window("up", "store.yml")
        screen.until("[+] up 2/2")
        write_log(places.logs("cart"), b"hello\nworld\n")
        screen.until("world")
        screen.press("\x03")
        assert screen.end() == 130
    text = plain(screen.text)
    assert "cart-1  | hello\n" in text
    assert "web-1   | bye\n" in text
    assert "Gracefully stopping" in text
    assert fake.asked("stop")[0]["services"] is None


def test_a_failed_start_shows_the_last_words(process, places):
    """What the container wrote, then the error."""

    def apply(_: Request, talk: Talk) -> None:
        write_log(places.logs("web"), b"no database\n")
        talk.rows(row("web", state="exited", exit_code=3, logs=places.logs("web")))
        talk.fail("cannot start web", status=4)

    with FakeSupervisor(places, {"apply": apply}):
        ran = process("up", "store.yml")
    assert (ran.status, ran.out) == (4, "web-1  | no database\n")
    assert ran.err.endswith("error: cannot start web\n")


def test_a_second_interrupt_kills(window, places):
    """Also when the first one came while everything was still starting."""
    answers = {"apply": hold, "stop": hold, "kill": lambda _, talk: talk.done()}
    with FakeSupervisor(places, answers) as fake:
        screen = window("up", "store.yml", "web")
        wait_for(lambda: fake.asked("apply"))
        screen.press("\x03")
        wait_for(lambda: fake.asked("stop"))
        screen.press("\x03")
        assert screen.end() == 130
    assert fake.asked("stop")[0]["services"] == ["cart", "web"]
    assert fake.asked("kill")[0]["signal"] == "SIGKILL"


def test_up_ends_when_all_containers_have(process, places):
    """With 0 even when one failed, as docker compose; stderr of containers stays apart."""
    rows = [row("cart", logs=places.logs("cart"), state="exited", exit_code=0, ended=1.0)]
    rows += [row("web", logs=places.logs("web"), state="exited", exit_code=3, ended=1.0)]

    def apply(_: Request, talk: Talk) -> None:
        write_log(places.logs("web"), b"broken\n", STDERR)
        talk.done()

    with FakeSupervisor(places, {"apply": apply, "watch": watch(*rows)}):
        ran = process("up", "store.yml")
    assert (ran.status, ran.out) == (0, "")
    assert "web-1   | broken\n" in ran.err


def test_up_ends_with_the_code_of_the_chosen_service(process, places):
    """--exit-code-from stops everything else."""
    ended = row("web", state="exited", exit_code=42, ended=5.0)
    answers = {"apply": lambda _, t: t.done(), "watch": watch(row("cart"), ended), "stop": lambda _, t: t.done()}
    with FakeSupervisor(places, answers) as fake:
        assert process("up", "store.yml", "--exit-code-from", "web").status == 42
    assert len(fake.asked("stop")) == 1


def test_output_survives_a_new_supervisor(process, places):
    """The command connects again and goes on."""
    rows = [row("web", logs=places.logs("web"))]

    def first(_: Request, talk: Talk) -> None:
        talk.rows(*rows)
        fake.answers["watch"] = watch({**rows[0], "state": "exited", "exit_code": 0})
        write_log(places.logs("web"), b"still here\n")
        talk.hang_up()

    with FakeSupervisor(places, {"apply": lambda _, t: t.done(), "watch": first}) as fake:
        ran = process("up", "store.yml", "--no-log-prefix")
    assert (ran.status, ran.out) == (0, "still here\n")
    assert len(fake.asked("watch")) == 2


def test_a_stop_is_said_again_to_a_new_supervisor(window, places):
    """Ctrl-C while supervisors change hands still stops everything."""

    def stop(_: Request, talk: Talk) -> None:
        if len(fake.asked("stop")) == 1:
            talk.hang_up()
        else:
            talk.done()

    answers = {"apply": lambda _, talk: talk.done(), "watch": watch(row("cart"), row("web")), "stop": stop}
    with FakeSupervisor(places, answers) as fake:
        screen = window("up", "store.yml")
        screen.until("[+] up 2/2")
        wait_for(lambda: fake.asked("watch"))
        screen.press("\x03")
        assert screen.end() == 130
    assert len(fake.asked("stop")) == 2


def write_log(directory: str, data: bytes, stream: int = STDOUT) -> None:
    log = Log(directory, 1 << 20, 3)
    log.write(stream, data)
    log.close()


def plain(text: str) -> str:
    """What a screen shows, without colours and commands."""
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text).replace("\r\n", "\n")


def wait_for(condition) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.005)
