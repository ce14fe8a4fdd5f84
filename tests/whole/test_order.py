"""Who waits for whom, how health is found out, and what is said when it fails."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from orchestra.runtime import seccomp

from .stage import Stage, idle, py, sh, until

pytestmark = pytest.mark.kernel
FAST = {"interval": "100ms", "timeout": "1s", "retries": 2, "start_interval": "50ms"}
STAMP = "import time; print('at', time.time(), flush=True)\n"
STAY = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); signal.pause()"
HTTP = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists("/tmp/sick") or self.path != "/health" else 200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def checked(test: Any, **more: Any) -> dict[str, Any]:
    return idle(healthcheck={"test": test, **FAST, **more})


def at(stage: Stage, service: str) -> float:
    def said() -> float:
        words = stage.logs("--no-log-prefix", service).split()
        return float(words[words.index("at") + 1]) if "at" in words[:-1] else 0.0

    found: float = until(said, f"{service} has said when")
    return found


def test_a_service_starts_after_those_that_it_needs(orchestra: Stage) -> None:
    """service_started, the default."""
    orchestra.up({"a": py(STAMP + STAY, depends_on=["b"]), "b": py(STAMP + STAY)})
    events = orchestra.ok("events", "--since", "1m", "--until", "0s")
    starts = [line for line in events.splitlines() if " start " in line]
    assert "t-b-1" in starts[0]
    assert "t-a-1" in starts[1]


def test_a_service_waits_until_another_is_healthy(orchestra: Stage) -> None:
    """service_healthy: the file comes late, and so does `a`."""
    script = "sleep 0.6; date +'at %s.%N'; touch /tmp/well; trap 'exit 0' TERM; sleep 1000 & wait"
    orchestra.up(
        {
            "a": py(STAMP + STAY, depends_on={"b": {"condition": "service_healthy"}}),
            "b": sh(script, healthcheck={"test": ["CMD", "test", "-e", "/tmp/well"], **FAST, "retries": 100}),
        }
    )
    assert at(orchestra, "a") > at(orchestra, "b")
    assert orchestra.row("t-b-1")["Health"] == "healthy"


def test_a_service_waits_until_another_has_done_its_work(orchestra: Stage) -> None:
    """service_completed_successfully."""
    orchestra.up(
        {
            "a": py(STAMP + STAY, depends_on={"job": {"condition": "service_completed_successfully"}}),
            "job": py(f"import time; time.sleep(0.4)\n{STAMP}"),
        }
    )
    assert at(orchestra, "a") > at(orchestra, "job")


def test_a_failed_job_names_the_chain(orchestra: Stage) -> None:
    """`up` ends with a status that is not zero, and tells from the end to the cause."""
    done = {"condition": "service_completed_successfully"}
    orchestra.write(
        {
            "services": {
                "web": idle(depends_on=["api"]),
                "api": idle(depends_on={"job": done}),
                "job": sh("exit 9"),
            }
        }
    )
    said = orchestra.fails("up", "-d")
    assert "job did not complete successfully (exit code 9)" in said
    assert "api" in said
    assert "web" in said
    rows = orchestra.rows()
    assert rows["t-api-1"]["Run"] == rows["t-web-1"]["Run"] == 0
    assert re.match(r"web is waiting: api is waiting: job ended at .*: exit code 9", orchestra.ok("why", "web"))


def test_an_unhealthy_dependency_is_an_error(orchestra: Stage) -> None:
    """The error says who is unhealthy and what its check said."""
    orchestra.write(
        {
            "services": {
                "web": idle(depends_on={"db": {"condition": "service_healthy"}}),
                "db": checked(["CMD-SHELL", "echo disk is full; exit 1"]),
            }
        }
    )
    said = orchestra.fails("up", "-d")
    assert "db is unhealthy" in said
    assert "disk is full" in said
    said = orchestra.fails("run", "--rm", "-T", "web", "true", status=1)
    assert "Container t-db-1  Unhealthy" in said
    assert re.search(r"cannot start t-web-run-\w+: db is unhealthy \(.*disk is full", said)
    assert set(orchestra.rows()) == {"t-web-1", "t-db-1"}


def test_a_dependency_that_is_not_required_may_fail(orchestra: Stage) -> None:
    """required: false."""
    need = {"condition": "service_completed_successfully", "required": False}
    orchestra.write({"services": {"web": idle(depends_on={"job": need}), "job": sh("exit 1")}})
    orchestra.run("up", "-d")
    until(lambda: orchestra.row("t-web-1")["State"] == "running", "web runs")


def test_a_dependent_restarts_with_what_it_needs_if_it_says_so(orchestra: Stage) -> None:
    """restart: true, and not otherwise."""
    orchestra.up(
        {
            "db": idle(),
            "leans": idle(depends_on={"db": {"condition": "service_started", "restart": True}}),
            "stands": idle(depends_on=["db"]),
        }
    )
    leans, stands = orchestra.pid("t-leans-1"), orchestra.pid("t-stands-1")
    orchestra.ok("restart", "db")
    until(lambda: orchestra.row("t-leans-1")["Pid"] not in (None, leans), "it has restarted")
    assert orchestra.pid("t-stands-1") == stands


def test_only_what_a_service_needs_is_started_with_it(orchestra: Stage) -> None:
    """`up SERVICE`."""
    orchestra.write({"services": {"a": idle(depends_on=["b"]), "b": idle(), "c": idle()}})
    orchestra.ok("up", "-d", "a")
    assert {row["Service"] for row in orchestra.rows().values() if row["State"] == "running"} == {"a", "b"}


@pytest.mark.parametrize(
    "test", [["CMD", "test", "-d", "/tmp"], ["CMD-SHELL", "test -d /tmp && true"], "test -d /tmp && true"]
)
def test_a_check_runs_inside(orchestra: Stage, test: Any) -> None:
    """With or without a shell."""
    orchestra.up({"a": checked(test)}, "--wait")
    assert orchestra.row("t-a-1")["Health"] == "healthy"
    assert "(healthy)" in orchestra.ok("ps")


def test_http_is_asked_without_a_process_inside(orchestra: Stage) -> None:
    """`http:` needs no program in the container, and no port to the outside."""
    check = {"http": "http://:8080/health", **FAST, "start_period": "30s"}
    orchestra.up({"a": py(HTTP, healthcheck=check, stop_signal="SIGKILL")}, "--wait")
    assert orchestra.row("t-a-1")["Health"] == "healthy"
    orchestra.inside("a", "touch /tmp/sick")
    until(lambda: orchestra.row("t-a-1")["Health"] == "unhealthy", "it is unhealthy")
    assert "500" in orchestra.ok("why", "a")
    orchestra.inside("a", "rm /tmp/sick")
    until(lambda: orchestra.row("t-a-1")["Health"] == "healthy", "it is healthy again")


def test_tcp_is_asked_without_a_process_inside(orchestra: Stage) -> None:
    """`tcp:` wants an open port."""
    orchestra.up(
        {
            "a": py(HTTP, healthcheck={"tcp": 8080, **FAST}, stop_signal="SIGKILL"),
            "b": idle(healthcheck={"tcp": 8080, **FAST}),
        }
    )
    until(lambda: orchestra.row("t-a-1")["Health"] == "healthy", "a is healthy")
    until(lambda: orchestra.row("t-b-1")["Health"] == "unhealthy", "b is unhealthy")


def test_a_check_that_takes_too_long_has_failed(orchestra: Stage) -> None:
    """timeout; nothing of the check stays behind, though process 1 waits for nobody."""
    check = {**FAST, "test": "setsid sleep 777 & sleep 777", "timeout": "200ms", "interval": "20s", "retries": 1}
    orchestra.up({"a": py(STAY, healthcheck=check)})
    until(lambda: orchestra.row("t-a-1")["Health"] == "unhealthy", "it is unhealthy")
    until(lambda: len(inside(orchestra, "t-a-1")) == 1, "nobody is there but the service")


def inside(stage: Stage, container: str) -> list[str]:
    """The processes that a container sees, zombies and whoever looks among them."""
    return [name for name in os.listdir(f"/proc/{stage.pid(container)}/root/proc") if name.isdigit()]


def test_a_check_is_over_when_its_process_is(orchestra: Stage) -> None:
    """Though what it has started holds its output open, and nothing of that stays behind."""
    check = {**FAST, "test": "sleep 777 & echo well", "timeout": "30s", "interval": "20s"}
    orchestra.up({"a": py(STAY, healthcheck=check)}, "--wait")
    until(lambda: len(inside(orchestra, "t-a-1")) == 1, "nobody is there but the service")


def test_a_check_that_cannot_be_made_is_told_and_takes_nobody_along(orchestra: Stage) -> None:
    """Its filter's file is deleted, or whose network it uses is gone: the supervisor says so, and goes on."""
    profile = orchestra.work / "profile.json"
    profile.write_text(Path(seccomp.HERE, "default.json").read_text())
    filtered = checked(["CMD", "true"], interval="50ms", retries=1) | {"security_opt": ["seccomp=./profile.json"]}
    guest = checked(["CMD", "true"], interval="50ms", retries=1) | {"network_mode": "service:c"}
    orchestra.up({"a": filtered, "b": guest, "c": idle()}, "--wait")
    supervisor = orchestra.supervisor()
    profile.unlink()
    orchestra.ok("rm", "-sf", "c")

    def told() -> bool:
        events = orchestra.ok("events", "--since", "1m", "--until", "0s")
        return all(f"the health of t-{name}-1 cannot be checked" in events for name in "ab")

    until(told, "it is told")
    assert orchestra.supervisor() == supervisor
    assert {row["Health"] for row in orchestra.rows("a", "b").values()} == {"healthy"}


def test_one_failure_is_not_enough(orchestra: Stage) -> None:
    """retries: as many in a row."""
    count = "echo x >> /tmp/asked; exit 1"
    orchestra.up({"a": checked(["CMD-SHELL", count], retries=4)})
    until(lambda: orchestra.row("t-a-1")["Health"] == "unhealthy", "it is unhealthy")
    assert int(orchestra.inside("a", "wc -l < /tmp/asked")) >= 4


def test_failures_do_not_count_while_it_starts(orchestra: Stage) -> None:
    """start_period: still starting, though the check fails."""
    orchestra.up({"a": checked(["CMD", "false"], start_period="1m", retries=1)})
    first = orchestra.pid("t-a-1")
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        assert orchestra.row("t-a-1")["Health"] == "starting"
    assert orchestra.pid("t-a-1") == first


def test_a_disabled_check_is_none(orchestra: Stage) -> None:
    """disable: true."""
    orchestra.up({"a": idle(healthcheck={"disable": True})}, "--wait")
    assert orchestra.row("t-a-1")["Health"] == ""


def test_what_is_unhealthy_is_restarted_if_it_says_so(orchestra: Stage) -> None:
    """on_unhealthy: restart."""
    check = {"test": ["CMD-SHELL", "test ! -e /tmp/sick"], **FAST, "start_period": "0s"}
    script = "rm -f /tmp/sick; trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
    orchestra.up({"a": sh(script, healthcheck=check, on_unhealthy="restart")}, "--wait")
    first = orchestra.pid("t-a-1")
    orchestra.inside("a", "touch /tmp/sick")
    until(lambda: orchestra.row("t-a-1")["Pid"] not in (None, first), "it has restarted")
    until(lambda: orchestra.row("t-a-1")["Health"] == "healthy", "it is healthy")
    assert "unhealthy" in orchestra.ok("events", "--since", "1m", "--until", "0s")


def test_wait_returns_when_all_are_healthy(orchestra: Stage) -> None:
    """`up --wait`."""
    orchestra.up({"a": checked(["CMD", "test", "-d", "/tmp"]), "b": idle()}, "--wait")
    assert orchestra.row("t-a-1")["Health"] == "healthy"


def test_wait_is_an_error_when_one_becomes_unhealthy(orchestra: Stage) -> None:
    """The exit status is not zero, and the error names it."""
    orchestra.write({"services": {"a": checked(["CMD", "false"])}})
    assert "unhealthy" in orchestra.fails("up", "--wait")


def test_wait_gives_up_in_time(orchestra: Stage) -> None:
    """--wait-timeout."""
    orchestra.write({"services": {"a": checked(["CMD", "false"], start_period="1m")}})
    began = time.monotonic()
    said = orchestra.fails("up", "--wait", "--wait-timeout", "1")
    assert time.monotonic() - began < 5
    assert "a" in said


def test_a_cycle_is_reported_as_the_path_that_it_is(orchestra: Stage) -> None:
    """And nothing is started."""
    orchestra.write(
        {"services": {"a": idle(depends_on=["b"]), "b": idle(depends_on=["c"]), "c": idle(depends_on=["a"])}}
    )
    said = orchestra.fails("up", "-d")
    assert "a waits for b" in said or "a -> b -> c -> a" in said or "a → b → c → a" in said
    assert not os.path.exists(orchestra.stack().api_socket) or orchestra.rows() == {}


def test_a_missing_dependency_is_told(orchestra: Stage) -> None:
    """With the nearest name."""
    orchestra.write({"services": {"web": idle(depends_on=["datbase"]), "database": idle()}})
    said = orchestra.fails("up", "-d")
    assert "datbase" in said
    assert "database" in said


def test_down_stops_dependents_first(orchestra: Stage) -> None:
    """In reverse order."""
    script = "trap 'date +at\\ %s.%N; exit 0' TERM; while :; do sleep 1000 & wait $!; done"
    orchestra.up({"web": sh(script, depends_on=["db"]), "db": sh(script)})
    orchestra.ok("stop")
    assert at(orchestra, "web") < at(orchestra, "db")
