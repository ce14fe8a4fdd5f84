"""What a service does to its output and its processes, seen from the whole stack: the neighbours run on, keeper and
supervisor stay small, and whoever reads gets what was written."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from .ground import ANSWERING, COMMAND, Ground, descriptors, ends, fetch, free_port, memory, py, sh, until

pytestmark = pytest.mark.kernel

MOST = 12 << 10
"""KiB that keeper or supervisor may grow by, whatever a service writes."""
LINE = 10_000_000
LINES = 3
LONG = f"""
import sys, time
for number in range({LINES}):
    sys.stdout.write(f"{{number}}:" + "x" * {LINE} + "\\n")
sys.stdout.write("the end\\n")
sys.stdout.flush()
time.sleep(1000)
"""
BYTES = 3_000_000
BINARY = f"""
import os, random, time
rest = memoryview(random.Random(1).randbytes({BYTES}))
while rest:
    rest = rest[os.write(1, rest):]
os.write(1, b"\\nthe end\\n")
time.sleep(1000)
"""
LAST_WORDS = bytes(range(256)) + b'\x1b]0;title\x07\x1b[2J\xff\xfe {"a": \n'
DYING = f"import os, sys; os.write(2, {LAST_WORDS!r}); sys.exit(3)"
ZOMBIES = 150
ZOO = f"""
import os, time
for _ in range({ZOMBIES}):
    if os.fork() == 0:
        os._exit(0)
for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for descriptor in range(3):
                os.close(descriptor)
            time.sleep(1000)
        os._exit(0)
for descriptor in range(3):
    os.close(descriptor)
open("/tmp/done", "w").close()
time.sleep(1000)
"""


class Watched:
    """A stack with a web server and one that counts, which must not notice anything."""

    def __init__(self, ground: Ground, services: dict[str, Any]) -> None:
        self.ground = ground
        self.port = free_port()
        web = py(ANSWERING, ports=[f"127.0.0.1:{self.port}:80"], restart="always")
        counts = sh("trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done")
        ground.up({"web": web, "counts": counts})
        until(lambda: fetch(self.port) == "hello", "it answers")
        self.pids = {name: ground.pid(name) for name in ("t-web-1", "t-counts-1")}
        self.before = self._sizes()
        self.most = self.before
        ground.up({"web": web, "counts": counts, **services})

    def _sizes(self) -> tuple[int, int]:
        return memory(self.ground.keeper()), memory(self.ground.supervisor())

    def until(self, true: Callable[[], Any], what: str) -> None:
        def watched() -> Any:
            self.most = max(self.most[0], (now := self._sizes())[0]), max(self.most[1], now[1])
            assert fetch(self.port) == "hello"
            return true()

        until(watched, what, 60)

    def unharmed(self) -> None:
        assert {name: self.ground.pid(name) for name in self.pids} == self.pids
        assert [now - before < MOST for now, before in zip(self.most, self.before, strict=True)] == [True, True], (
            f"keeper and supervisor grew from {self.before} to {self.most} KiB"
        )
        numbers = [int(line.split()[1]) for line in self.ground.logs("counts").splitlines()]
        assert numbers == list(range(1, len(numbers) + 1))
        assert "Traceback" not in self.ground.own_log()


def raw(ground: Ground, *words: str) -> bytes:
    """What a command writes on a pipe, byte for byte."""
    command = [*COMMAND, "-f", str(ground.file), *words]
    return subprocess.run(command, env=ground.environ, stdout=subprocess.PIPE, timeout=60, check=True).stdout


def test_lines_of_ten_megabytes_arrive_whole(ground: Ground) -> None:
    """Each line has one name and nobody else's words in it; keeper and supervisor do not keep it in memory."""
    policy = {"driver": "local", "options": {"max-size": "64m", "max-file": "2"}}
    watched = Watched(ground, {"long": py(LONG, logging=policy)})
    followed = ground.folder / "followed"
    with followed.open("wb") as file:
        command = [*COMMAND, "-f", str(ground.file), "logs", "-f", "--no-color", "long", "counts"]
        following = subprocess.Popen(command, env=ground.environ, stdout=file)
        try:
            watched.until(lambda: b"the end\n" in raw(ground, "logs", "-n", "1", "long"), "all is written")
            watched.until(lambda: b"the end\n" in followed.read_bytes(), "all is followed")
            size = followed.stat().st_size
            watched.until(lambda: followed.stat().st_size > size, "a whole line after it")
        finally:
            following.kill()
            following.wait()
    lines = [line.partition(b" | ") for line in raw(ground, "logs", "--no-color", "long", "counts").splitlines()]
    assert {name.strip() for name, _, _ in lines} == {b"long-1", b"counts-1"}
    long = [line for name, _, line in lines if name.strip() == b"long-1" and b":" in line]
    assert [(line[:2], len(line)) for line in long] == [(b"%d:" % number, LINE + 2) for number in range(LINES)]
    # Who follows gets a piece when it is there, and so others in between; but nothing is missing or glued together.
    seen = [line.partition(b" | ") for line in followed.read_bytes().splitlines()]
    pieces = [line for name, _, line in seen if name.strip() == b"long-1" and line[-1:] == b"x"]
    assert b"".join(pieces).split(b":x")[0] == b"0"
    assert sum(piece.count(b"x") for piece in pieces) == LINES * LINE
    counted = [int(line.split()[1]) for name, _, line in seen[:-1] if name.strip() == b"counts-1"]
    assert counted == list(range(1, len(counted) + 1))
    watched.unharmed()


def test_binary_output_is_kept_as_it_is(ground: Ground) -> None:
    """Byte for byte on a pipe; what commands say about it is text and valid JSON, and commands no terminal."""
    watched = Watched(ground, {"binary": py(BINARY), "dying": py(DYING)})
    written = random.Random(1).randbytes(BYTES) + b"\nthe end\n"
    watched.until(lambda: raw(ground, "logs", "--no-log-prefix", "binary") == written, "all is there")
    watched.until(lambda: ground.row("t-dying-1")["state"] == "exited", "it has ended")
    assert raw(ground, "logs", "--no-log-prefix", "dying") == LAST_WORDS
    for words in (["ps", "-a", "--format", "json"], ["events", "--json", "--until", "0s"], ["inspect"]):
        said = raw(ground, *words)
        assert b"\x1b" not in said
        for line in said.splitlines() if words[0] != "inspect" else [said]:
            json.loads(line)
    for words in (["ps", "-a"], ["why", "dying"], ["up", "-d"], ["top"]):
        _, said = ground.run(*words)
        assert not {"\x1b", "\x07", "\x00"} & set(said)
    watched.unharmed()


@pytest.mark.parametrize("init", [False, True], ids=["without init", "with init"])
def test_a_zoo_of_processes_is_nobody_elses_trouble(ground: Ground, init: bool) -> None:
    """Zombies, daemons, closed streams: it is looked into as any other, and everybody goes with it."""
    watched = Watched(ground, {"zoo": py(ZOO, init=init, pids_limit=400)})
    watched.until(lambda: ground.run("exec", "-T", "zoo", "test", "-e", "/tmp/done")[0] == 0, "it is at its end")
    before = descriptors(ground.keeper()), descriptors(ground.supervisor())
    # Those whose parent has ended are init's to bury; those of the service itself stay.
    watched.until(lambda: 21 <= len(living(ground.pids("t-zoo-1"))) <= 23, "the daemons are left")
    shown = ground.ok("top", "zoo")
    assert shown.count("python3") >= 21
    assert '"t-zoo-1"' in ground.ok("stats", "--no-stream", "--format", "json")
    assert ground.logs("zoo") == ""
    assert "t-zoo-1" in ground.ok("inspect", "zoo")
    pids = ground.pids("t-zoo-1")
    ground.ok("restart", "-t", "1", "zoo")
    assert all(ends(pid) for pid in pids)
    watched.until(lambda: ground.run("exec", "-T", "zoo", "test", "-e", "/tmp/done")[0] == 0, "it is there again")
    watched.until(
        lambda: descriptors(ground.keeper()) <= before[0] and descriptors(ground.supervisor()) <= before[1],
        "no descriptor is left open",
    )
    pids = ground.pids("t-zoo-1")
    ground.ok("stop", "-t", "1", "zoo")
    assert all(ends(pid) for pid in pids)
    watched.unharmed()


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if not ends(pid)]
