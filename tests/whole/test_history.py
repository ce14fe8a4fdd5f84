"""What the supervisor remembers: over its own death, over down and up, and until it is told to forget."""

from __future__ import annotations

import os
import re
from typing import Any

from orchestra.client import Connection
from orchestra.errors import OrchestraError

from .stage import Stage, idle, py, sh, until

TOGGLE = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists("/tmp/sick") else 200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""
CHECK = {"http": "http://:8080/", "interval": "200ms", "timeout": "2s", "retries": 1, "start_period": "30s"}


def ask(stage: Stage, do: str, **more: Any) -> dict[str, Any]:
    """Again, if the supervisor that is asked was just killed."""

    def answered() -> dict[str, Any] | None:
        try:
            with Connection(stage.stack(), 10) as connection:
                return connection.call({"do": do, **more})
        except OrchestraError as error:
            if "went away" in error.what:
                return None
            raise

    found: dict[str, Any] = until(answered, f"somebody answers {do}")
    return found


def verdicts(stage: Stage, service: str) -> list[str]:
    spans = ask(stage, "health")["spans"].get(service, [])
    return [span["verdict"] for span in spans]


def test_an_outage_is_remembered_with_its_cause(orchestra: Stage):
    """Unhealthy and back: one outage, its reason and its length, also after the supervisor was killed."""
    orchestra.up({"web": py(TOGGLE, healthcheck=CHECK)}, "--wait")
    orchestra.inside("web", "touch /tmp/sick")
    until(lambda: orchestra.row("t-web-1")["Health"] == "unhealthy", "it is unhealthy")
    (cause,) = ask(orchestra, "why")["causes"]
    assert (cause["service"], cause["kind"]) == ("web", "unhealthy")
    assert "its probe says HTTP 500" in cause["sentence"]
    orchestra.inside("web", "rm /tmp/sick")
    until(lambda: orchestra.row("t-web-1")["Health"] == "healthy", "it is healthy again")

    def outages() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ask(orchestra, "health")["outages"]
        return found

    (before,) = outages()
    assert (before["service"], before["verdict"], before["open"]) == ("web", "unhealthy", False)
    assert "HTTP 500" in before["text"]
    os.kill(ask(orchestra, "status")["supervisor"], 9)
    assert outages() == [before]
    assert verdicts(orchestra, "web")[-3:] == ["healthy", "unhealthy", "healthy"]
    until(lambda: ask(orchestra, "probes")["probes"].get("t-web-1"), "probes are summed up", 40)


def test_the_past_outlives_down_and_not_down_with_volumes(orchestra: Stage):
    """down and up is one story; down -v forgets it."""
    services = {"a": idle(), "b": sh("exit 3", restart="on-failure:1")}
    orchestra.up(services)
    until(lambda: orchestra.row("t-b-1")["State"] == "dead", "b gave up")
    orchestra.ok("down")
    assert os.path.exists(orchestra.stack().history)
    orchestra.up({"a": idle()})
    told = orchestra.ok("events", "--since", "10m", "--until", "0s", "b")
    assert told.count(" die t-b-1 (exitCode=3)") == 2
    health = ask(orchestra, "health")
    assert [one["verdict"] for one in health["outages"]] == ["dead"]
    assert "exit code 3" in health["outages"][0]["text"]
    assert health["outages"][0]["restarts"] == 1
    first, second = ask(orchestra, "events", limit=2), ask(orchestra, "events", limit=1)
    assert first["more"]
    assert second["more"]
    orchestra.ok("down")
    assert re.search(r"^b: dead .* exit code 3; restarted once$", orchestra.ok("history", "b"), re.MULTILINE)
    assert " die t-b-1 " in orchestra.ok("events", "--since", "10m", "--until", "0s", "b")
    orchestra.ok("down", "-v")
    assert not os.path.exists(orchestra.stack().history)
    assert "is not running" in orchestra.fails("history")
    orchestra.up({"a": idle()})
    orchestra.ok("down", "-v")
    assert not os.path.exists(orchestra.stack().history)


def test_events_are_searched_and_paged(orchestra: Stage):
    """The newest that match, oldest first; the next page ends before the first of this one."""
    orchestra.up({"a": idle(), "b": idle()})
    with Connection(orchestra.stack()) as connection:

        def page(**more: Any) -> tuple[list[dict[str, Any]], bool]:
            answers = list(connection.answers(connection.send({"do": "events", **more})))
            return [one["event"] for one in answers if "event" in one], answers[-1]["more"]

        every, more = page()
        assert not more
        assert [event["id"] for event in every] == sorted(event["id"] for event in every)
        last, more = page(limit=2)
        assert more
        assert last == every[-2:]
        assert page(limit=2, before=last[0]["id"])[0] == every[-4:-2]
        assert page(after=last[0]["id"])[0] == every[-1:]
        assert {event["action"] for event in page(search="A-1 STARTED")[0]} == {"start"}
        assert [event["container"] for event in page(actions=["start"], services=["b"])[0]] == ["t-b-1"]


def test_the_last_start_is_told_as_a_waterfall(orchestra: Stage):
    """b waits for a, which is checked until it is healthy; both are on the critical path, c is not."""
    slow = py("import time; time.sleep(0.7)\n" + TOGGLE, healthcheck=CHECK)
    needs = {"depends_on": {"a": {"condition": "service_healthy"}}}
    orchestra.up({"a": slow, "b": idle(**needs), "c": idle()})
    told = ask(orchestra, "startup")
    lanes = {lane["container"]: lane for lane in told["lanes"]}
    assert told["critical"] == ["t-a-1", "t-b-1"]
    assert [lanes[name]["critical"] for name in ("t-a-1", "t-b-1", "t-c-1")] == [True, True, False]
    assert [part["kind"] for part in lanes["t-a-1"]["segments"]][-3:] == ["waiting", "starting", "checking"]
    waiting = [part for part in lanes["t-b-1"]["segments"] if part["on"] == "a"]
    assert waiting
    assert waiting[-1]["end"] >= lanes["t-a-1"]["ready"]
    assert told["until"] == lanes["t-b-1"]["ready"]
    for lane in told["lanes"]:
        joined = [part["start"] for part in lane["segments"]][1:]
        assert joined == [part["end"] for part in lane["segments"]][:-1]


def test_a_damaged_history_is_set_aside(orchestra: Stage):
    """The service goes on, a notice says so, and a new one is begun."""
    orchestra.up({"a": idle()})
    until(lambda: ask(orchestra, "events", limit=1)["more"], "something is stored")
    orchestra.ok("down")
    path = orchestra.stack().history
    with open(path, "r+b") as file:
        file.write(b"this is no database" * 400)
    orchestra.up({"a": idle()})
    until(lambda: "begins anew" in orchestra.ok("events", "--since", "1m", "--until", "0s"), "it is said")
    assert os.path.exists(f"{path}.bad")
    assert "start t-a-1" in orchestra.ok("events", "--since", "10m", "--until", "0s")
