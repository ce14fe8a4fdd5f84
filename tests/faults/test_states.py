"""Commands meet containers in whatever state: each does what it says, or says why not; none hangs, none is silent."""

from __future__ import annotations

import json

import pytest

from .ground import IDLE, Ground, sh, until

pytestmark = pytest.mark.kernel

NOT_RUNNING = {
    "stats --no-stream {}": (0, "MEM USAGE"),
    "top {}": (0, "COMMAND|CMD"),
    "update --memory 64m {}": (0, "Updated"),
    "pause {}": (1, "cannot pause {}: not running"),
    "unpause {}": (1, "cannot unpause {}: not running"),
    "attach --no-stdin {}": (1, "service {} does not run"),
    "exec -T {} true": (1, "service {} does not run"),
    "kill {}": (0, "nobody was sent a signal: {} does not run"),
    "inspect {}": (0, '"Status"'),
    "cp {}:/etc/hostname -": (0, "hostname"),
    "port {} 80": (1, "no port 80/tcp of {} is published"),
}
PAUSED = {
    "stats --no-stream {}": (0, "t-{}-1"),
    "top {}": (0, "sh -c"),
    "update --memory 64m {}": (0, "Updated"),
    "pause {}": (0, "t-{}-1  Paused"),
    "attach --no-stdin {}": (1, "t-{}-1 is paused"),
    "exec -T {} true": (1, "t-{}-1 is paused"),
    "inspect {}": (0, '"paused"'),
    "cp {}:/etc/hostname -": (0, "hostname"),
}
GONE = {
    "stats --no-stream {}": (1, "no such service: {}"),
    "top {}": (1, "no such service: {}"),
    "update --memory 64m {}": (1, "no such service: {}"),
    "pause {}": (1, "no such service: {}"),
    "wait {}": (1, "no such service: {}"),
    "attach --no-stdin {}": (1, "no such service: {}"),
    "inspect {}": (1, "no such service or container: {}"),
    "cp {}:/etc/hostname -": (1, "no such service: {}"),
}
NO_STACK = {  # with docker compose's exit codes: there is nothing to stop, and that is no failure
    "stop": 0,
    "kill": 0,
    "rm -f": 0,
    "restart a": 0,
    "pause": 0,
    "unpause": 0,
    "stats --no-stream": 0,
    "top": 0,
    "start": 1,
    "exec a true": 1,
    "port a 80": 1,
    "update --memory 64m a": 1,
    "wait a": 1,
    "attach a": 1,
    "cp a:/x -": 1,
    "inspect a": 1,
}
NEVER = {
    "stop {}": (0, "{} has no container"),
    "kill {}": (0, "{} has no container"),
    "restart {}": (0, "{} has no container"),
    "pause {}": (0, "{} has no container"),
    "unpause {}": (0, "{} has no container"),
    "down {}": (0, "{} has no container"),
    "start {}": (1, "orchestra up -d {}"),
    "exec -T {} true": (1, "there is no container of {}"),
    "top {}": (1, "there is no container of {}"),
    "cp {}:/etc/hostname -": (1, "there is no container of {}"),
    "inspect {}": (1, "no such service or container: {}"),
    "down {}x": (1, "no such service: {}x"),
}


def try_all(ground: Ground, service: str, expected: dict[str, tuple[int, str]]) -> None:
    wrong = []
    for words, (code, part) in expected.items():
        done, said = ground.run(*words.format(service).split())
        if done != code or not any(each.format(service) in said for each in part.split("|")):
            wrong.append(f"{words.format(service)} -> {done}: {said}")
    assert not wrong, "\n".join(wrong)


def test_commands_on_what_does_not_run(ground: Ground) -> None:
    """Stopped, in the back-off between two runs, waiting for another service."""
    sick = {"test": ["CMD", "false"], "interval": "1s", "retries": 1000}
    services = {
        "stopped": sh(),
        "finished": sh("exit 0"),
        "crashing": sh("exit 3", restart="always"),
        "sick": sh(IDLE, healthcheck=sick),
        "waiting": sh(depends_on={"sick": {"condition": "service_healthy"}}),
        "never": sh(),
    }
    ground.write(services)
    ground.ok("up", "-d", "stopped", "finished", "crashing")
    ground.ok("stop", "-t", "1", "stopped")
    waiting = ground.begin("up", "-d", "waiting")
    until(lambda: ground.rows().get("t-waiting-1", {}).get("state") == "waiting", "it waits")
    waiting.kill()
    waiting.communicate()
    until(lambda: ground.row("t-crashing-1")["restarts"] >= 6, "its back-off has grown to seconds")
    until(lambda: ground.row("t-crashing-1")["state"] == "restarting", "it is between two runs")
    for service in ("stopped", "crashing", "waiting"):
        try_all(ground, service, NOT_RUNNING)
    assert 'container "t-stopped-1" exited with status code 0' in ground.ok("wait", "stopped", "finished")
    code, said = ground.run("wait", "never")
    assert (code, "never: no container to wait for" in said) == (1, True), said
    limits = json.loads(ground.ok("inspect", "stopped"))[0]
    assert str(64 << 20) in json.dumps(limits)
    ground.ok("start", "stopped")
    assert "64MiB" in ground.ok("stats", "--no-stream", "stopped")


def test_commands_on_what_is_paused_or_gone(ground: Ground) -> None:
    """A paused one is looked at and changed, and not entered; one that the file has no more is unknown."""
    ground.up({"a": sh(), "b": sh()})
    ground.ok("pause", "a")
    try_all(ground, "a", PAUSED)
    assert "t-a-1  Unpaused" in ground.ok("unpause", "a")
    assert "t-a-1  Unpaused" in ground.ok("unpause", "a")
    assert ground.row("t-a-1")["state"] == "running"
    ground.write({"a": sh()})
    ground.ok("up", "-d", "--remove-orphans")
    try_all(ground, "b", GONE)
    ground.down()
    for words, code in NO_STACK.items():
        done, said = ground.run(*words.split())
        assert (done, "stack t is not running" in said) == (code, True), (words, said)


def test_commands_on_what_was_never_made(ground: Ground) -> None:
    """The file has it, and `up` was asked for others; or the last one has been taken down."""
    ground.write({"a": sh(IDLE), "never": sh(IDLE)})
    ground.ok("up", "-d", "a")
    try_all(ground, "never", NEVER)
    assert "t-a-1  Stopped" in ground.ok("stop", "a", "never")
    assert "nobody was sent a signal: nothing runs" in ground.ok("kill")
    ground.ok("down", "a")
    try_all(ground, "a", NEVER)
