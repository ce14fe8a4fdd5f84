"""start-first: whoever asks is answered, before, during and after the replacement of who answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .stage import IDLE, Stage, free_port, py, sh, until

pytestmark = pytest.mark.kernel

SERVER = """
import http.server, os, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(3)
        body = os.environ["VERSION"].encode()
        healthy = self.path != "/health" or os.environ.get("SICK") != "1"
        self.send_response(200 if healthy else 503)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
if os.environ.get("SICK") == "1":
    print("I am sick", flush=True)
time.sleep(0.3)
Server(("", 8000), Answer).serve_forever()
"""
ASKER = """
import http.client, json, os, time
answers = {}
while not os.path.exists("/tmp/enough"):
    try:
        connection = http.client.HTTPConnection("web", 8000, timeout=10)
        connection.request("GET", "/")
        said = connection.getresponse().read().decode()
        connection.close()
    except OSError as error:
        said = f"lost: {error!r}"
    answers[said] = answers.get(said, 0) + 1
    time.sleep(0.002)
print("answers " + json.dumps(answers), flush=True)
time.sleep(1000)
"""


def web(version: int, port: int, scale: int = 1, sick: bool = False, **update: Any) -> dict[str, Any]:
    return py(
        SERVER,
        environment={"VERSION": str(version), **({"SICK": "1"} if sick else {})},
        ports=[f"{port}:8000"],
        healthcheck={
            "http": "http://:8000/health",
            "interval": "300ms",
            "retries": 2,
            "start_period": "2s" if sick else "30s",
        },
        deploy={"replicas": scale, "update_config": {"order": "start-first", "drain": "5s", **update}},
    )


def services(version: int, port: int, **more: Any) -> dict[str, Any]:
    return {
        "web": web(version, port, **more),
        "asker": py(ASKER, depends_on={"web": {"condition": "service_healthy"}}),
    }


class Load:
    """Short requests, one after the other, from some threads of this machine and from a container of the stack."""

    def __init__(self, stage: Stage, port: int) -> None:
        self.stage = stage
        self.port = port
        self.answers: dict[str, int] = {}
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._ask_on) for _ in range(3)]

    def _ask_on(self) -> None:
        while not self.over.is_set():
            said = ask(self.port)
            with self.lock:
                self.answers[said] = self.answers.get(said, 0) + 1
            time.sleep(0.002)

    def end(self) -> dict[str, int]:
        """How often was answered what, from everywhere."""
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.stage.inside("asker", "touch /tmp/enough")
        until(lambda: "answers " in self.stage.logs("asker"), "the asker tells what it was told")
        line = next(each for each in self.stage.logs("asker").splitlines() if "answers " in each)
        inside = json.loads(line.partition("answers ")[2])
        assert sum(inside.values()) > 20
        assert sum(self.answers.values()) > 50
        return {said: self.answers.get(said, 0) + inside.get(said, 0) for said in {*self.answers, *inside}}


def ask(port: int, path: str = "/") -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            said = b""
            while part := client.recv(1000):
                said += part
        return said.rpartition(b"\r\n\r\n")[2].decode() or "lost: nothing"
    except OSError as error:
        return f"lost: {error!r}"


@contextmanager
def load(stage: Stage, port: int) -> Iterator[Load]:
    one = Load(stage, port)
    for thread in one.threads:
        thread.start()
    try:
        yield one
    finally:
        one.over.set()


def lost(answers: dict[str, int]) -> dict[str, int]:
    return {said: times for said, times in answers.items() if said.startswith("lost")}


def webs(stage: Stage) -> set[str]:
    return {name for name in stage.rows() if "-web-" in name}


def test_no_request_is_lost_while_versions_replace_each_other(orchestra: Stage) -> None:
    """Two replacements under load, by the published port and by name; in the end one container is left."""
    port = free_port(range(20000, 21000))
    orchestra.up(services(1, port))
    with load(orchestra, port) as one:
        for version in (2, 3):
            orchestra.up(services(version, port))
            assert ask(port) == str(version)
        answers = one.end()
    assert lost(answers) == {}
    assert set(answers) == {"1", "2", "3"}
    assert webs(orchestra) == {"t-web-1"}
    told = orchestra.ok("events", "--since", "5m", "--until", "0s")
    assert told.count("has taken over from") == 2
    assert "t-web-2 has taken over from t-web-1: it is healthy" in told


def test_replicas_are_replaced_one_by_one_without_a_loss(orchestra: Stage) -> None:
    """Two of them."""
    port = free_port(range(20000, 21000))
    orchestra.up(services(1, port, scale=2), "--wait")
    with load(orchestra, port) as one:
        orchestra.up(services(2, port, scale=2, parallelism=1))
        answers = one.end()
    assert lost(answers) == {}
    assert len(webs(orchestra)) == 2
    assert {orchestra.inside("web", "echo $VERSION", f"--index={n}") for n in numbers(orchestra)} == {"2"}


def numbers(stage: Stage) -> list[str]:
    return [name.rpartition("-")[2] for name in webs(stage)]


def test_a_version_that_never_becomes_healthy_takes_nothing_away(orchestra: Stage) -> None:
    """`up` ends with 1 and the cause, the old container answers all the while, and the next `up` leaves it."""
    port = free_port(range(20000, 21000))
    orchestra.up(services(1, port))
    before = orchestra.row("t-web-1")["Pid"]
    with load(orchestra, port) as one:
        orchestra.write({"services": services(2, port, sick=True)})
        said = orchestra.fails("up", "-d", status=1)
        answers = one.end()
    assert "web was not replaced: t-web-2 is unhealthy" in said
    assert "(its last words: I am sick)" in said
    assert set(answers) == {"1"}
    assert (webs(orchestra), orchestra.row("t-web-1")["Pid"]) == ({"t-web-1"}, before)
    assert "t-web-2 does not replace t-web-1" in orchestra.ok("events", "--since", "5m", "--until", "0s")
    orchestra.up(services(1, port))
    assert orchestra.row("t-web-1")["Pid"] == before


def test_a_connection_that_is_open_is_served_to_its_end(orchestra: Stage) -> None:
    """The old container goes on as long as somebody is still being answered."""
    port = free_port(range(20000, 21000))
    orchestra.up(services(1, port))
    slow: list[str] = []
    asking = threading.Thread(target=lambda: slow.append(ask(port, "/slow")))
    asking.start()
    orchestra.up(services(2, port))
    asking.join()
    assert slow == ["1"]
    assert ask(port) == "2"


@pytest.mark.parametrize("who", ["supervisor", "keeper", "both"])
def test_a_replacement_goes_on_whoever_is_killed(orchestra: Stage, who: str) -> None:
    """kill -9 while the new container is on its way."""
    port = free_port(range(20000, 21000))
    orchestra.up(services(1, port))
    with load(orchestra, port) as one:
        orchestra.write({"services": services(2, port)})
        up = in_background(lambda: orchestra.run("up", "-d"))
        until(lambda: "t-web-2" in orchestra.rows(), "the new one is there")
        for each in ("supervisor", "keeper") if who == "both" else (who,):
            os.kill(orchestra.process(f"orchestra-{each}"), signal.SIGKILL)
        up.join()
        orchestra.ok("up", "-d")
        answers = one.end()
    # Names are answered by sockets of the two: with both gone there is nobody to ask until one of them is back.
    unnamed = {said for said in answers if who == "both" and "gaierror" in said}
    assert set(lost(answers)) == unnamed
    assert webs(orchestra) == {"t-web-2"}
    assert ask(port) == "2"


def in_background(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_dry_run_and_why_tell_of_a_replacement(orchestra: Stage) -> None:
    """The steps in their order before it begins, and who serves while it is under way."""
    port = free_port(range(20000, 21000))
    orchestra.up(services(1, port))
    orchestra.write({"services": services(2, port, monitor="2s")})
    plan = orchestra.ok("up", "--dry-run")
    assert plan.index("start t-web-2") < plan.index("switch from t-web-1 to t-web-2") < plan.index("stop t-web-1")
    up = in_background(lambda: orchestra.run("up", "-d"))
    until(lambda: "t-web-2" in orchestra.rows(), "the new one is there")
    why = orchestra.ok("why", "web")
    up.join()
    assert "replacing: t-web-2 is" in why
    assert "t-web-1 serves until it is ready" in why


def test_down_in_the_middle_leaves_nothing(orchestra: Stage) -> None:
    """Neither the old one nor the new one; `close` looks for what is left in the kernel."""
    port = free_port(range(20000, 21000))
    orchestra.up(services(1, port))
    orchestra.write({"services": services(2, port, monitor="60s")})
    up = in_background(lambda: orchestra.run("up", "-d", "--timeout", "1"))
    until(lambda: orchestra.rows().get("t-web-2", {}).get("State") == "running", "the new one runs")
    os.kill(orchestra.process("orchestra.cli.main"), signal.SIGKILL)
    up.join()
    orchestra.ok("down")
    assert orchestra.rows() == {}


def test_stop_first_goes_on_to_the_next_when_one_is_well(orchestra: Stage) -> None:
    """The second is stopped after the first runs anew; one that fails is the last, and `up` says so."""

    def up(version: str, command: str, **more: Any) -> dict[str, Any]:
        rolling = {"replicas": 2, "update_config": {"parallelism": 1, **more}}
        return {"a": sh(command, environment={"VERSION": version}, deploy=rolling)}

    orchestra.up(up("1", IDLE[2]))
    orchestra.up(up("2", IDLE[2]))
    lines = orchestra.ok("events", "--since", "5m", "--until", "0s").splitlines()
    told = [line for line in lines if " was sent SIGTERM" in line or " started (run 1)" in line][2:]
    names = [f"{'stop' if 'SIGTERM' in line else 'start'} {'1' if 't-a-1' in line else '2'}" for line in told]
    assert names == ["stop 1", "start 1", "stop 2", "start 2"]
    orchestra.write({"services": up("3", "exit 3", monitor="1s")})
    said = orchestra.fails("up", "-d", status=1)
    assert "t-a-2 is not replaced: t-a-1 has ended: exit code 3" in said
    assert orchestra.inside("a", "echo $VERSION", "--index=2") == "2"
