"""Alerts of a real stack reach a real receiver, and say when it is over."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from inbox import Inbox, opened

from .stage import Stage, py, sh, until
from .test_history import CHECK, TOGGLE, ask

pytestmark = pytest.mark.kernel
SECRET = "s3cret-topic"


def alerting(inbox: Inbox, **rules: Any) -> dict[str, Any]:
    receivers = {"team": {"url": inbox.url(f"/{SECRET}"), "headers": {"X-Token": SECRET}, "timeout": "5s"}}
    return {"receivers": receivers, "rules": {"unhealthy": {"for": "0s"}, **rules}}


def test_a_sick_service_is_told_of_and_its_recovery_too(orchestra: Stage) -> None:
    """Firing and resolved, each once, also over a kill -9 of the supervisor; remembered in the history."""
    with opened() as inbox:
        orchestra.up({"web": py(TOGGLE, healthcheck=CHECK)}, "--wait", **{"x-alerts": alerting(inbox)})

        def told() -> list[tuple[str, str]]:
            return [(body["rule"], body["status"]) for body in (json.loads(each) for _, _, each in inbox.got)]

        orchestra.inside("web", "touch /tmp/sick")
        until(lambda: told() == [("unhealthy", "firing")], "it is told")
        assert json.loads(inbox.got[0][2])["text"] == "t-web-1 is unhealthy: HTTP 500"
        until(lambda: ask(orchestra, "alerts")["alerts"][0]["sent"] == 1, "it is noted that it was sent")
        os.kill(ask(orchestra, "status")["supervisor"], 9)
        (alert,) = ask(orchestra, "alerts")["alerts"]
        assert (alert["container"], alert["resolved"]) == ("t-web-1", None)
        orchestra.inside("web", "rm /tmp/sick")
        until(lambda: told() == [("unhealthy", "firing"), ("unhealthy", "resolved")], "its recovery is told")
        until(lambda: ask(orchestra, "alerts")["alerts"][0]["sent"] == 2, "it is noted that both were sent")


def test_a_test_really_sends_and_no_secret_shows(orchestra: Stage) -> None:
    """`alerts test` says who got it and who did not; addresses stay inside."""
    with opened() as inbox:
        orchestra.up({"web": sh("sleep 1000")}, **{"x-alerts": alerting(inbox)})
        assert orchestra.ok("alerts", "test") == "team (127.0.0.1): sent\n"
        ((path, headers, body),) = inbox.got
        assert (path, headers["X-Token"], json.loads(body)["status"]) == (f"/{SECRET}", SECRET, "test")
        inbox.answer = 404
        done = orchestra.run("alerts", "test", "team")
        assert (done.returncode, done.stdout) == (1, "team (127.0.0.1) answered 404\n")
        assert "there is no receiver nobody" in orchestra.fails("alerts", "test", "nobody")
        listed = orchestra.ok("alerts")
        assert "team (127.0.0.1, json)" in listed
        assert "a container is unhealthy" in listed
        shown = [listed, orchestra.ok("config"), orchestra.ok("alerts", "--json"), orchestra.said()]
        shown += [orchestra.ok("events", "--since", "1m", "--until", "0s"), json.dumps(ask(orchestra, "stack"))]
        assert not [text for text in shown if SECRET in text]


def test_crash_loops_and_words_in_logs_are_told(orchestra: Stage) -> None:
    """By the built-in rule, and by one of the file's own."""
    with opened() as inbox:
        alerts = alerting(inbox, panic={"log": "panic:", "services": ["talk"]})
        talk = sh("while :; do echo all is well; echo panic: no more; sleep 1; done")
        orchestra.up({"loop": sh("exit 3", restart="always"), "talk": talk}, **{"x-alerts": alerts})

        def rules() -> dict[str, str]:
            return {body["rule"]: body["text"] for body in (json.loads(each) for _, _, each in inbox.got)}

        until(lambda: {"crash-loop", "panic"} <= rules().keys(), "both are told")
        assert "exit code 3" in rules()["crash-loop"]
        assert rules()["panic"] == "t-talk-1 wrote: panic: no more"


def test_a_receiver_that_does_not_answer_keeps_nobody_waiting(orchestra: Stage) -> None:
    """Others hear at once; and what it is told of late is over nevertheless."""
    with opened() as deaf, opened() as inbox:
        deaf.go.clear()
        alerts = alerting(inbox)
        alerts["receivers"] = {"deaf": {"url": deaf.url(), "timeout": "1m"}, **alerts["receivers"]}
        orchestra.up({"web": py(TOGGLE, healthcheck=CHECK)}, "--wait", **{"x-alerts": alerts})

        def told() -> list[str]:
            return [json.loads(body)["status"] for _, _, body in inbox.got]

        orchestra.inside("web", "touch /tmp/sick")
        until(lambda: told() == ["firing"], "the other one is told")
        orchestra.inside("web", "rm /tmp/sick")
        until(lambda: told() == ["firing", "resolved"], "it is told that it is over")
        deaf.answer = 404
        deaf.go.set()

        def known() -> tuple[bool, int, bool]:
            (alert,) = ask(orchestra, "alerts")["alerts"]
            return alert["resolved"] is not None, alert["sent"], "deaf (127.0.0.1) answered 404" in alert["failed"]

        until(lambda: known() == (True, 2, True), "it is over, and known who was told")
