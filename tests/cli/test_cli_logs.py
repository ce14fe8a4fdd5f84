"""`logs` and `events`."""

from __future__ import annotations

import json
import time

import pytest
from fake_supervisor import FakeSupervisor, Request, Talk, row, status
from logs.piped import PipedLog
from test_cli_up import write_log

from orchestra.cli.colours import prefix_colours
from orchestra.cli.moments import moment
from orchestra.errors import OrchestraError
from orchestra.logs.layout import STDERR, STDOUT


@pytest.fixture
def store(places):
    """Two containers that have written something."""
    rows = [row("cart", logs=places.logs("store-cart-1")), row("web", logs=places.logs("store-web-1"))]
    write_log(rows[0]["logs"], b"one\ntwo\nthree\n")
    write_log(rows[1]["logs"], b"hello\n", STDERR)
    return rows


def test_lines_get_a_padded_name(orchestra, places, store):
    """Everything goes to stdout, as docker compose logs."""
    with FakeSupervisor(places, {"status": status(*store)}):
        ran = orchestra("logs", "store.yml")
    assert ran.out.splitlines() == ["cart-1  | one", "cart-1  | two", "cart-1  | three", "web-1   | hello"]


def test_logs_can_be_narrowed(orchestra, places, store):
    """By service, number of lines, time; with times and without names."""
    with FakeSupervisor(places, {"status": status(*store)}):
        assert orchestra("logs", "-p", "store", "--tail", "1", "cart").out == "cart-1  | three\n"
        assert orchestra("logs", "store.yml", "-n", "2", "cart", "--no-log-prefix").out == "two\nthree\n"
        assert orchestra("logs", "store.yml", "--since", "2099-01-01T00:00:00Z").out == ""
        assert orchestra("logs", "store.yml", "--until", "10m").out == ""
        stamped = orchestra("logs", "store.yml", "-t", "web").out
        assert "there is no replica 2 of web" in orchestra("logs", "store.yml", "--index", "2", "web").err
        assert "no such service: wbe" in orchestra("logs", "store.yml", "wbe").err
    name, _, rest = stamped.partition("  | ")
    assert (name, rest.split()[1]) == ("web-1", "hello")
    assert rest.startswith(time.strftime("%Y-", time.gmtime()))


def test_logs_of_a_stack_that_does_not_run_are_still_there(orchestra, home, store):
    """What is on disk can be read without a supervisor."""
    assert orchestra("logs", "store.yml", "web").out == "web-1  | hello\n"


def test_a_name_has_its_colour_for_good(orchestra, places, store):
    """The same names, the same colours, none twice; --no-color and pipes have none."""
    assert prefix_colours(["cart", "web"]) == prefix_colours(["web", "cart"])
    many = prefix_colours(f"service-{number}" for number in range(10))
    assert len(set(many.values())) == 10
    with FakeSupervisor(places, {"status": status(*store)}):
        coloured = orchestra("--ansi", "always", "logs", "store.yml").out
        assert f"{prefix_colours(['cart-1', 'web-1'])['web-1']}web-1   | \x1b[0mhello" in coloured
        assert "\x1b" not in orchestra("--ansi", "always", "logs", "--no-color", "store.yml").out


def test_following_shows_what_comes_and_who_comes(process, places, store):
    """New lines, a new container, a restart; the end when all have ended."""
    ended = [{**each, "state": "exited", "exit_code": 0} for each in store]
    late = row("web", 2, logs=places.logs("store-web-2"))

    def tell(_: Request, talk: Talk) -> None:
        talk.rows(*store)
        with_log(store[0]["logs"], b"four\n")
        talk.rows(late)
        with_log(late["logs"], b"second\n")
        talk.rows(*ended, {**late, "gone": True})

    with FakeSupervisor(places, {"status": status(*store), "watch": tell}):
        ran = process("logs", "-f", "--tail", "1", "store.yml")
    assert ran.status == 0
    assert {"cart-1  | three", "cart-1  | four", "web-1   | hello", "web-2   | second"} == set(ran.out.splitlines())


def test_following_ends_with_the_stack(process, places, store):
    """`down` in another terminal ends it, with 0."""

    def gone(_: Request, talk: Talk) -> None:
        talk.rows(*store)
        fake.vanish()

    fake = FakeSupervisor(places, {"status": status(*store), "watch": gone})
    with fake:
        ran = process("logs", "-f", "store.yml", "web")
    assert (ran.status, ran.out) == (0, "web-1  | hello\n")


def with_log(directory: str, data: bytes) -> None:
    log = PipedLog(directory, 1 << 20, 3)
    log.begin(2)
    log.write(STDOUT, data)
    log.close()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 9400.0), ("1h30m", 4600.0), ("1700000000", 1.7e9), ("1700000000.5", 1700000000.5),
        ("2026-11-23T22:47:59Z", 1795474079.0), ("2026-11-23T22:47:59+01:00", 1795470479.0), (None, None),
    ],
)  # fmt: skip
def test_times_may_be_ages_dates_or_seconds(text, seconds):
    """As docker logs --since."""
    assert moment(text, "--since", now=10_000.0) == seconds


@pytest.mark.parametrize("text", ["yesterday", "nan", "inf", "1e999"])
def test_what_is_no_time_is_refused(text):
    """With the ways to write one."""
    with pytest.raises(OrchestraError, match=f"--since {text}: not a time"):
        moment(text, "--since")


EVENT = {
    "time": 1795474079.25, "action": "die", "service": "cart", "container": "store-cart-1",
    "text": "killed by SIGKILL", "attributes": {"exitCode": "137"},
}  # fmt: skip


def test_events_read_as_a_line_or_as_json(orchestra, places):
    """With their causes; the JSON has docker compose's keys."""

    def events(_: Request, talk: Talk) -> None:
        talk.say(event=EVENT)
        talk.done()

    with FakeSupervisor(places, {"events": events}) as fake:
        line = orchestra("events", "store.yml", "--since", "1h", "--until", "0s").out
        said = orchestra("events", "--json", "store.yml").out
    assert said.startswith('{"action":"die","attributes":{')  # as close as docker writes it
    told = json.loads(said)
    assert line == ("2026-11-23 22:47:59.250000 container die store-cart-1 (exitCode=137): killed by SIGKILL\n")
    assert told == {
        "action": "die", "attributes": {"name": "store-cart-1", "exitCode": "137"}, "id": "store-cart-1",
        "service": "cart", "time": "2026-11-23T22:47:59.250000Z", "type": "container", "text": "killed by SIGKILL",
    }  # fmt: skip
    first, second = fake.asked("events")
    assert (first["follow"], second["follow"], second["until"]) == (False, True, None)
