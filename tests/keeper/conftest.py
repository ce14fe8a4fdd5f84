"""A keeper in a home of its own, with an engine that forks and executes without any namespace."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from whole.stage import until

from orchestra.client import dial
from orchestra.keeper.engine import Engine
from orchestra.keeper.errand import Failed
from orchestra.keeper.process import start_time as process_start_time
from orchestra.keeper.start import answers, become_keeper
from orchestra.logs import pipes
from orchestra.logs.layout import LOG, file_name, segments
from orchestra.places import Home, Places
from orchestra.wire.frames import Message, Reader, encode

DEADLINE = 15.0


class PlainEngine(Engine):
    """fork and exec; a launch of "refuse" fails as a missing file system would."""

    def warm(self) -> None:
        pass

    def sandbox(self, sandboxes: Any) -> None:
        if not sandboxes:
            raise Failed("sandbox", 22, "no sandbox was asked for")

    def launch(self, spec: Any, stdio: list[int]) -> tuple[dict[str, Any], list[int]]:
        if spec["process"]["args"] == ["refuse"]:
            raise Failed("root", 2, "cannot mount /nowhere: No such file or directory")
        return self._execute(spec["process"], stdio)

    def execute(
        self, pid: int, start_time: int, cgroup: str, process: Any, seccomp: str, stdio: list[int]
    ) -> tuple[dict[str, Any], list[int]]:
        assert process_start_time(pid) == start_time
        return self._execute(process, stdio)

    def kill(self, cgroup: str) -> None:
        for entry in os.listdir("/proc"):
            if entry.isdigit() and f"CGROUP={cgroup}\0" in _environ(int(entry)):
                os.kill(int(entry), signal.SIGKILL)

    def _execute(self, process: Any, stdio: list[int]) -> tuple[dict[str, Any], list[int]]:
        master = -1
        if process["terminal"]:
            master, slave = os.openpty()
            stdio = [slave, slave, slave]
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for number, descriptor in enumerate(stdio):
                os.dup2(descriptor, number)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.closerange(3, 1000)
            os.execve(process["args"][0], process["args"], dict(item.split("=", 1) for item in process["env"]))
        return {"pid": pid}, [] if master < 0 else [master]


def _environ(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    return ""


def _open_files(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return found


class Client:
    """A blocking supervisor."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.socket = dial(places.run, "keeper.sock")
        self.socket.settimeout(DEADLINE)
        self._reader = Reader()
        self._last = 0
        self.answers: dict[int, Message] = {}
        self.events: list[Message] = []
        self.descriptors: list[int] = []

    def close(self) -> None:
        self.socket.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()

    def send(self, do: str, descriptors: Sequence[int] = (), **fields: Any) -> int:
        self._last += 1
        message = {"id": self._last, "do": do, **fields}
        if descriptors:
            message["fds"] = len(descriptors)
            socket.send_fds(self.socket, [encode(message)], list(descriptors))
        else:
            self.socket.sendall(encode(message))
        return self._last

    def receive(self) -> None:
        data, descriptors, _, _ = socket.recv_fds(self.socket, 1 << 16, 253)
        self.descriptors += descriptors
        if not data:
            raise EOFError("the keeper closed the connection")
        for message in self._reader.feed(data):
            if "event" in message:
                self.events.append(message)
            else:
                self.answers[message["re"]] = message

    def wait(self, number: int) -> Message:
        while number not in self.answers:
            self.receive()
        return self.answers.pop(number)

    def call(self, do: str, descriptors: Sequence[int] = (), **fields: Any) -> Message:
        answer = self.wait(self.send(do, descriptors, **fields))
        assert answer.get("ok"), answer
        return answer

    def refused(self, do: str, descriptors: Sequence[int] = (), **fields: Any) -> Any:
        return self.wait(self.send(do, descriptors, **fields))["error"]

    def children(self) -> dict[str, Any]:
        return {child["name"]: child for child in self.call("children")["children"]}

    def launch(self, name: str, script: str, *, run: int = 1, **extras: Any) -> Message:
        return self.call("launch", **self.launching(name, script, run=run, **extras))

    def launching(
        self, name: str, script: str, *, run: int = 1, terminal: bool = False, stdin: bool = False, **log: Any
    ) -> dict[str, Any]:
        cgroup = self.places.cgroup(name)
        policy = {"directory": self.places.logs(name), "max_size": 1 << 30, "max_files": 3, **log}
        process = {
            "terminal": terminal,
            "args": ["/bin/sh", "-c", script] if script != "refuse" else ["refuse"],
            "env": [f"CGROUP={cgroup}", f"KEPT={self.places.run}", "PATH=/usr/bin:/bin"],
        }
        spec = {"process": process, "linux": {"cgroupsPath": cgroup}, "orchestra": {"stdin": stdin}}
        return {"name": name, "run": run, "spec": spec, "log": policy, "note": {"hash": "abc"}}

    def exited(self, name: str) -> Any:
        """The child of the next `exited` event of a container."""
        while True:
            for event in self.events:
                if event["event"] == "exited" and event["child"]["name"] == name:
                    self.events.remove(event)
                    return event["child"]
            self.receive()

    def exec_exited(self, name: str) -> Message:
        while True:
            for event in self.events:
                if event["event"] == "exec_exited" and event["exec"] == name:
                    self.events.remove(event)
                    return event
            self.receive()


class House:
    """A stack's directories and the keepers that were started in them."""

    def __init__(self, home: Path) -> None:
        self.places = Home(f"{home}/run", f"{home}/data").stack("store")
        self._clients: list[Client] = []
        self._keepers: list[int] = []

    def start(
        self,
        supervisor: Callable[[], None] | None = None,
        command: Sequence[str] = ("/bin/sleep", "600"),
        engine: Engine | None = None,
    ) -> int:
        """A keeper, forked from here; returns its pid when it answers."""
        pid = self.fork(supervisor, command, engine)
        self._keepers.append(pid)
        until(lambda: answers(self.places), "the keeper's socket")
        return pid

    def fork(
        self,
        supervisor: Callable[[], None] | None = None,
        command: Sequence[str] = ("/bin/sleep", "600"),
        engine: Engine | None = None,
    ) -> int:
        pid = os.fork()
        if pid == 0:
            os.environ["ORCHESTRA_HOME"] = os.path.dirname(self.places.home.run)
            pipes._tools.clear()  # those of a log in this process: a keeper closes what it inherits
            become_keeper(self.places, supervisor, command, engine or PlainEngine())
        return pid

    def kill(self, pid: int, number: int = signal.SIGKILL) -> int:
        os.kill(pid, number)
        return self.wait(pid)

    def wait(self, pid: int) -> int:
        """The exit status of a keeper; it has to end by itself."""
        self._keepers.remove(pid)
        return int(until(lambda: [s for p, s in [os.waitpid(pid, os.WNOHANG)] if p], "the keeper's end")[0])

    def connect(self) -> Client:
        client = Client(self.places)
        self._clients.append(client)
        return client

    def log(self, name: str) -> bytes:
        directory = self.places.logs(name)
        return b"".join(Path(directory, file_name(n, LOG)).read_bytes() for n in segments(directory))

    def own_log(self) -> str:
        return Path(self.places.own_log).read_text()

    def supervisor(self) -> int:
        """The pid of the supervisor that the keeper started last."""
        import json

        with contextlib.suppress(OSError, ValueError):
            return int(json.loads(Path(f"{self.places.run}/supervisor.json").read_text())["pid"])
        return 0

    def contained(self) -> list[int]:
        """Processes that run in a container of this house."""
        return self._marked(f"KEPT={self.places.run}\0")

    def strays(self) -> list[int]:
        """Processes that were started by any keeper of this house."""
        return self.contained() + self._marked(f"ORCHESTRA_HOME={os.path.dirname(self.places.home.run)}\0")

    def keepers(self) -> list[int]:
        """Processes that have this house's lock file open: keepers that live."""
        lock = f"{self.places.run}/keeper.lock"
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and lock in _open_files(int(entry))]

    def _marked(self, mark: str) -> list[int]:
        found = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and int(entry) != os.getpid()]
        return [pid for pid in found if mark in _environ(pid)]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for pid in list(self._keepers):
            self.kill(pid)
        for pid in [*self.keepers(), *self.strays(), self.supervisor()]:
            if pid > 1:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        until(lambda: not self.strays(), "the end of every process of this test")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A home for keepers; whatever they started is gone afterwards."""
    made = House(tmp_path)
    try:
        yield made
    finally:
        made.close()


def run_python(code: str, places: Places, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ORCHESTRA_HOME": os.path.dirname(places.home.run)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=DEADLINE
    )
