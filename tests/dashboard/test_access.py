"""The server itself: what it gives to whom, and what it refuses to do."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import websockets
import websockets.sync.client
from websockets.sync.client import ClientConnection
from whole.stage import Stage, idle, sh, until

from orchestra.dashboard.serve import monitor_token
from orchestra.places import Home

from .conftest import Dashboard, Visitor

pytestmark = pytest.mark.kernel

SECRETS = {"DB_PASSWORD": "hunter2", "URL": "redis://ada:hunter2@cache/0", "PLAIN": "to be seen"}


@pytest.fixture(scope="module")
def dashboard(stage: Stage) -> Iterator[Dashboard]:
    stage.up({"api": idle(environment=SECRETS), "worker": sh("echo one; echo two; exec sleep 1000", hostname="desk")})
    dashboard = Dashboard(stage)
    yield dashboard
    dashboard.close()


@pytest.fixture(scope="module")
def visitor(dashboard: Dashboard) -> Visitor:
    visitor = Visitor(dashboard.url)
    visitor.enter(dashboard.token)
    until(lambda: "t" in state(visitor)["stacks"], "the stack is on the board")
    return visitor


def state(visitor: Visitor) -> dict:
    status, _, text = visitor.ask("GET", "/api/state")
    assert status == 200, text
    return json.loads(text)


def test_nobody_gets_anything_without_a_link(dashboard, visitor):
    """Page, static files, data, metrics: refused, and in a few words."""
    for path in ("/", "/static/js/app.js", "/api/state", "/api/stream", "/api/logs", "/metrics", "/s/t/api"):
        status, _, text = Visitor(dashboard.url).ask("GET", path)
        assert status == 401, path
        assert len(text) < 200


def test_a_used_link_and_a_wrong_one_are_refused(dashboard, visitor):
    """The link was used by the visitor of these tests already."""
    for token in (dashboard.token, "", "wrong"):
        status, headers, _ = Visitor(dashboard.url).ask("GET", f"/enter?token={token}")
        assert status == 401
        assert "set-cookie" not in headers


def test_the_link_clicked_again_leads_who_is_in_to_the_page(dashboard, visitor):
    """It lets nobody in, and gives nothing new."""
    status, headers, _ = visitor.ask("GET", f"/enter?token={dashboard.token}")
    assert (status, headers["location"]) == (303, "/")
    assert "set-cookie" not in headers


def test_the_cookie_is_kept_from_scripts_and_other_sites(stage, dashboard):
    """HttpOnly, SameSite=Strict."""
    other = Dashboard(stage)
    try:
        _, headers, _ = Visitor(other.url).ask("GET", f"/enter?token={other.token}")
    finally:
        other.close()
    attributes = {part.strip().lower() for part in headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict", "path=/"} <= attributes


def test_a_foreign_host_or_origin_gets_nothing(visitor):
    """Not even with a session."""
    assert visitor.ask("GET", "/api/state", Host="evil.example")[0] == 403
    assert visitor.ask("GET", "/api/state", Origin="http://evil.example")[0] == 403
    assert visitor.ask("GET", "/", Sec_Fetch_Site="cross-site")[0] == 403
    body = json.dumps({"action": "stop", "services": ["api"]})
    assert visitor.ask("POST", "/api/stacks/t/actions", body, Origin="http://evil.example")[0] == 403
    assert visitor.ask("POST", "/api/stacks/t/actions", body, X_Orchestra_Key=None)[0] == 403
    assert {row["state"] for row in state(visitor)["stacks"]["t"]["rows"]} == {"running"}


def test_every_answer_forbids_what_a_page_does_not_need(visitor):
    """Policy, sniffing, frames, referrers, caches."""
    for path in ("/", "/api/state", "/static/js/app.js", "/nothing", "/api/nothing"):
        _, headers, _ = visitor.ask("GET", path)
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
    assert visitor.ask("GET", "/api/state")[1]["cache-control"] == "no-store"


def test_the_page_has_nothing_inline(visitor):
    """What the policy would forbid is not there."""
    _, _, text = visitor.ask("GET", "/")
    assert "style=" not in text
    assert "onclick" not in text
    assert "<script>" not in text


def test_a_large_body_is_refused(visitor):
    """With its length said before, and without."""
    assert visitor.ask("POST", "/api/stacks/t/actions", "x" * 70_000)[0] == 413


def test_files_outside_of_the_page_cannot_be_had(visitor):
    """However the path is spelled."""
    for path in ("/static/../serve.py", "/static/%2e%2e/serve.py", "/static//etc/passwd", "/static/..%2fserve.py"):
        status, _, text = visitor.ask("GET", path)
        assert status == 404 or "<!doctype html>" in text, path
        assert "root:" not in text
        assert "import" not in text


def test_no_secret_is_shown(visitor):
    """Not in the state, nor in the configuration."""
    for path in ("/api/state", "/api/stacks/t/config"):
        status, _, text = visitor.ask("GET", path)
        assert status == 200, text
        assert "hunter2" not in text
    assert "to be seen" in text


def test_the_configuration_says_where_a_value_is_written(visitor, stage):
    """And what is different in the file by now."""
    file = stage.work / "stack.yml"
    before = file.read_text()
    try:
        file.write_text(before.replace("to be seen", "to be changed"))
        told = json.loads(visitor.ask("GET", "/api/stacks/t/config")[2])
    finally:
        file.write_text(before)
    assert told["problems"] == []
    place = told["sources"]["services.api.environment.PLAIN"]["place"]
    number = int(place.removeprefix("stack.yml:"))
    assert "PLAIN" in before.splitlines()[number - 1]
    assert {"path": "services.api.environment.PLAIN", "running": "to be seen", "file": "to be changed"} in told[
        "differs"
    ]


def test_an_action_is_done_and_says_its_command(visitor):
    """The answer comes when it is so."""
    body = json.dumps({"action": "restart", "services": ["worker"]})
    before = row(visitor, "worker")
    status, _, text = visitor.ask("POST", "/api/stacks/t/actions", body)
    assert status == 200, text
    assert json.loads(text)["command"] == "orchestra -p t restart worker"
    until(lambda: row(visitor, "worker")["pid"] not in (None, before["pid"]), "another process runs")


def row(visitor: Visitor, service: str) -> dict:
    return next(row for row in state(visitor)["stacks"]["t"]["rows"] if row["service"] == service)


def test_scaling_changes_the_number_of_replicas(visitor):
    """There and back."""
    for number in (2, 1):
        body = json.dumps({"action": "scale", "services": ["worker"], "replicas": number})
        status, _, text = visitor.ask("POST", "/api/stacks/t/actions", body)
        assert status == 200, text
        until(lambda: workers(visitor) == number, f"there are {number}")  # noqa: B023 - called at once


def workers(visitor: Visitor) -> int:
    return sum(row["service"] == "worker" for row in state(visitor)["stacks"]["t"]["rows"])


@pytest.mark.parametrize(
    "wish",
    [
        {"action": "explode"},
        {"action": "stop", "services": ["nobody"]},
        {"action": "stop", "services": "api"},
        {"action": "scale", "services": ["worker"], "replicas": -1},
        {"action": "scale", "services": ["worker"], "replicas": True},
        {"action": "kill", "services": ["worker"], "signal": "SIGNONSENSE"},
    ],
)
def test_what_makes_no_sense_is_refused_in_words(visitor, wish):
    """And is no fault."""
    status, _, text = visitor.ask("POST", "/api/stacks/t/actions", json.dumps(wish))
    assert 400 <= status < 500
    assert json.loads(text)["error"]["what"]


def test_a_stored_line_is_found(visitor):
    """By text, by pattern, by service; and nothing that does not match."""
    found = search(visitor, "q=TWO")
    assert [line[4] for line in found["lines"]] == ["two"] * len(found["lines"])
    assert found["lines"]
    assert {source["service"] for source in found["sources"]} == {"api", "worker"}
    assert [line[4] for line in search(visitor, "q=%5Et.o%24&regex=1")["lines"]] == [
        line[4] for line in found["lines"]
    ]
    assert search(visitor, "q=two&service=api")["lines"] == []
    assert search(visitor, "q=two&case=1&until=1")["lines"] == []


def search(visitor: Visitor, query: str) -> dict:
    status, _, text = visitor.ask("GET", f"/api/logs?stack=t&{query}")
    assert status == 200, text
    return json.loads(text)


def test_a_pattern_that_is_none_is_refused_in_words(visitor):
    """With what is wrong about it."""
    status, _, text = visitor.ask("GET", "/api/logs?stack=t&q=(&regex=1")
    assert status == 409
    assert "is no pattern" in json.loads(text)["error"]["what"]


def test_logs_can_be_taken_away_as_text(visitor):
    """Each line with its container and its time."""
    status, headers, text = visitor.ask("GET", f"/api/logs/download?stack=t&service=worker&key={visitor.key}")
    assert status == 200
    assert headers["content-disposition"].startswith("attachment")
    assert any(line.startswith("t-worker-1 | ") and line.endswith(" two") for line in text.splitlines())


def test_a_page_that_was_away_gets_what_it_missed(visitor):
    """By the number of what it heard last; with one of another server's life it begins anew."""
    first = heard(visitor, "")
    assert [kind for kind, _, _ in first] == ["hello", "snapshot"]
    mark = first[-1][1]
    visitor.ask("POST", "/api/stacks/t/actions", json.dumps({"action": "restart", "services": ["worker"]}))
    again = heard(visitor, mark, most=4)
    assert again[0][0] == "hello"
    assert "snapshot" not in [kind for kind, _, _ in again]
    assert "rows" in [kind for kind, _, _ in again]
    assert [kind for kind, _, _ in heard(visitor, "00000000-1")] == ["hello", "snapshot"]


def heard(visitor: Visitor, mark: str, most: int = 2) -> list[tuple[str, str, dict]]:
    """The first messages of a stream: kind, number, content."""
    response, connection = visitor.open("GET", "/api/stream", Last_Event_ID=mark or None)
    found = []
    fields: dict[str, str] = {}
    try:
        while len(found) < most:
            name, _, value = response.readline().decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "event" in fields:
                found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
                fields = {}
    finally:
        connection.close()
    return found


def test_a_read_only_dashboard_changes_nothing(stage, dashboard):
    """The server refuses, whatever the page shows."""
    other = Dashboard(stage, "--read-only")
    try:
        visitor = Visitor(other.url)
        visitor.enter(other.token)
        until(lambda: "t" in state(visitor)["stacks"], "the stack is on the board")
        for action in ("stop", "restart", "kill", "down", "recreate"):
            body = json.dumps({"action": action, "services": None})
            assert visitor.ask("POST", "/api/stacks/t/actions", body)[0] == 403
        assert visitor.ask("POST", "/api/stacks/t/alert_test", "{}")[0] == 403
        assert {row["state"] for row in state(visitor)["stacks"]["t"]["rows"]} == {"running"}
    finally:
        other.close()


def test_another_monitor_can_ask_whether_all_is_well(dashboard, visitor):
    """Without a session; nothing is named to it."""
    status, _, text = Visitor(dashboard.url).ask("GET", "/healthz")
    assert (status, json.loads(text)) == (200, {"status": "ok"})
    os.kill(row(visitor, "api")["pid"], 9)
    status, _, text = until(
        lambda: (answer := Visitor(dashboard.url).ask("GET", "/healthz?stack=t"))[0] == 503 and answer,
        "a crash is unhealthy",
    )
    assert json.loads(text) == {"status": "unhealthy"}
    visitor.ask("POST", "/api/stacks/t/actions", json.dumps({"action": "start", "services": ["api"]}))
    until(lambda: Visitor(dashboard.url).ask("GET", "/healthz")[0] == 200, "it is well again")
    status, _, text = Visitor(dashboard.url).ask("GET", "/healthz?stack=gone")
    assert (status, json.loads(text)) == (503, {"status": "not running"})


def test_prometheus_is_served_with_its_token(stage, dashboard, visitor):
    """Names and figures for who can read the file with the token; nothing for others."""
    token = (Path(stage.home.data) / "dashboard.token").read_text().strip()
    status, headers, text = Visitor(dashboard.url).ask("GET", "/metrics", Authorization=f"Bearer {token}")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'orchestra_service_healthy{stack="t",service="api"} 1' in text
    assert 'orchestra_container_cpu_seconds_total{stack="t",service="worker"' in text
    assert Visitor(dashboard.url).ask("GET", "/metrics", Authorization="Bearer wrong")[0] == 401
    status, _, text = Visitor(dashboard.url).ask("GET", "/healthz", Authorization=f"Bearer {token}")
    assert json.loads(text) == {"status": "ok", "unhealthy": []}


def test_a_pattern_that_takes_for_ever_is_given_up(stage, visitor):
    """Nobody else waits for it meanwhile."""
    stage.ok("exec", "-T", "worker", "sh", "-c", f"echo {'a' * 40}! >/proc/1/fd/1")
    until(lambda: search(visitor, "q=aaaa!")["lines"], "the line is there")
    answers: list[int] = []
    slow = threading.Thread(
        target=lambda: answers.append(visitor.ask("GET", "/api/logs?stack=t&q=(a%2B)%2B%24&regex=1")[0])
    )
    slow.start()
    began = time.monotonic()
    state(visitor)
    assert time.monotonic() - began < 3
    assert slow.is_alive()
    slow.join(30)
    assert answers == [409]


def test_a_terminal_is_opened_only_where_it_was_asked_for(stage, dashboard, visitor):
    """Then it is a real one: it has a size, and what is typed is run in the container."""
    with pytest.raises(websockets.exceptions.InvalidStatus):
        terminal(dashboard, visitor)
    other = Dashboard(stage, "--allow-exec")
    try:
        guest = Visitor(other.url)
        guest.enter(other.token)
        until(lambda: "t" in state(guest)["stacks"], "the stack is on the board")
        with pytest.raises(websockets.exceptions.InvalidStatus):
            terminal(other, guest, origin="http://evil.example")
        with pytest.raises(websockets.exceptions.InvalidStatus):
            terminal(other, Visitor(other.url))
        with terminal(other, guest) as socket:
            socket.send(b"tty; stty size; hostname; exit 3\n")
            shown = b""
            for message in socket:
                if isinstance(message, str):
                    assert json.loads(message) == {"code": 3}
                    break
                shown += message
        assert b"/dev/pts/" in shown
        assert b"33 99" in shown
        assert b"\ndesk" in shown
    finally:
        other.close()


def terminal(dashboard: Dashboard, visitor: Visitor, origin: str = "") -> ClientConnection:
    query = f"service=worker&command=sh&rows=33&columns=99&key={visitor.key}"
    return websockets.sync.client.connect(
        f"ws{dashboard.url.removeprefix('http')}/api/stacks/t/exec?{query}",
        origin=websockets.Origin(origin or dashboard.url),
        additional_headers={"Cookie": visitor.cookie},
        open_timeout=20,
        proxy=None,
    )


def test_a_supervisor_that_says_nothing_is_shown_as_such(stage, visitor):
    """Frozen, it would look as if all were well; afterwards it is as before."""
    supervisor = state(visitor)["stacks"]["t"]["supervisor"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        until(lambda: not state(visitor)["stacks"]["t"]["reachable"], "it is not reachable")
    finally:
        os.kill(supervisor, signal.SIGCONT)
    until(lambda: state(visitor)["stacks"]["t"]["reachable"], "it is reachable again")


def test_a_stack_of_which_keeper_and_supervisor_are_dead_does_not_vanish(stage, dashboard, visitor):
    """Its containers run on, so it stays in sight; monitors hear that nobody looks after it."""
    there = state(visitor)["stacks"]["t"]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # neither starts the other again
        os.kill(there["keeper"], number)
        os.kill(there["supervisor"], number)
    until(lambda: not state(visitor)["stacks"]["t"]["reachable"], "it is not reachable")
    time.sleep(7)  # nobody can say when it would have vanished
    assert [row["name"] for row in state(visitor)["stacks"]["t"]["rows"]] == [row["name"] for row in there["rows"]]
    status, _, text = Visitor(dashboard.url).ask("GET", "/healthz?stack=t")
    assert (status, json.loads(text)) == (503, {"status": "unhealthy"})
    stage.ok("ps", "-q")
    until(lambda: state(visitor)["stacks"]["t"]["reachable"], "the next command has woken it")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/logs?since=nan&limit=nan", None),
        ("GET", "/api/logs?until=inf&limit=-5", None),
        ("GET", "/api/events?stack=t&limit=x", None),
        ("GET", "/api/events?stack=nobody", None),
        ("GET", "/api/stacks/t/health?start=1e400", None),
        ("GET", "/api/stacks/..%2f..%2fetc/config", None),
        ("GET", "/api/stacks/nobody/usage", None),
        ("POST", "/api/stacks/t/actions", "[]"),
        ("POST", "/api/stacks/t/actions", "{"),
        ("POST", "/api/stacks/t/actions", '{"action": ["stop"], "services": [{}]}'),
        ("POST", "/api/stacks/nobody/actions", '{"action": "stop"}'),
        ("POST", "/api/stream/nobody/t1", '{"kind": "logs"}'),
        ("DELETE", "/api/stacks/t/actions", None),
        ("GET", "/api/stacks/t/actions", None),
    ],
)
def test_nonsense_is_refused_in_words(visitor, method, path, body):
    """Never with a fault of ours."""
    status, _, text = visitor.ask(method, path, body)
    assert 400 <= status < 500 or (path.startswith("/api/logs") and status == 200), (status, text)
    assert "Traceback" not in text


@pytest.mark.parametrize("kind", ["empty", "binary", "folder", "link"])
def test_a_spoiled_token_is_made_anew(tmp_path: Path, kind: str) -> None:
    """And nothing of somebody else's becomes one; one that a person has chosen stays."""
    home = Home(str(tmp_path / "run"), str(tmp_path))
    path, foreign = tmp_path / "dashboard.token", tmp_path / "foreign"
    foreign.write_text("of-somebody-else-and-long-enough")
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(foreign)
    else:
        path.write_bytes(b"" if kind == "empty" else b"\xff" * 50)
    made = monitor_token(home)
    assert len(made) > 20
    assert made != foreign.read_text()
    assert monitor_token(home) == made
    path.write_text("chosen-by-a-person!\n")
    assert monitor_token(home) == "chosen-by-a-person!"
