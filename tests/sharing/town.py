"""An owner and two sites that use a service of it, in one installation."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reboot import reboot
from whole.stage import COMMAND, Stage, idle, py, until, words_of

# Answers each connection with its generation and with who seems to ask.
SERVE = """
import os, signal, socket, sys, threading
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = socket.create_server(("", 8000), backlog=128)
def answer(client, who):
    with client:
        client.recv(100)
        client.sendall(f"{os.environ.get('GENERATION', '')} {who[0]}".encode())
while True:
    threading.Thread(target=answer, args=server.accept(), daemon=True).start()
"""
ASK = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
try:
    with socket.create_connection((host, port), timeout=float(sys.argv[3])) as asker:
        asker.sendall(b"hello")
        print(asker.recv(100).decode())
except OSError as error:
    print("nobody:", error)
"""
# Asks without a pause, each time by name, and tells at its end what it has heard and what has failed.
ASKING = """
import signal, socket, time
over, heard, failed = [], {}, []
signal.signal(signal.SIGTERM, lambda *_: over.append(1))
while not over:
    try:
        with socket.create_connection(("accounts", 8000), timeout=5) as one:
            one.sendall(b"hello")
            word = one.recv(100).decode().split()[0]
            heard[word] = heard.get(word, 0) + 1
    except Exception as error:
        failed.append(repr(error))
    time.sleep(0.002)
print("heard", sorted(heard), "failed", failed, flush=True)
"""
LOOK = """
import json, socket, sys
try:
    print(json.dumps(sorted(socket.gethostbyname_ex(sys.argv[1])[2])))
except OSError:
    print("[]")
"""
CHECK = {"tcp": 8000, "interval": "500ms", "start_interval": "50ms", "start_period": "10s", "retries": 2}
BRIEFLY = "0.7"
"""Seconds, for what should not be answered."""


def server(generation: str = "first", **more: Any) -> dict[str, Any]:
    return py(SERVE, healthcheck=CHECK, environment={"GENERATION": generation}, **more)


def uses(service: str = "accounts", stack: str = "../own/own.yml", **more: Any) -> dict[str, Any]:
    return {"uses": {"stack": stack, "service": service}, **more}


class Town(Stage):
    """`own` owns accounts, which needs db, and extra, which nobody shares; `a` and `b` use accounts."""

    def own(self, generation: str = "first", **more: Any) -> Path:
        accounts = server(generation, depends_on=["db"], **more)
        services = {"accounts": accounts, "db": idle(), "extra": server()}
        return self.write({"name": "own", "services": services}, "own/own.yml")

    def site(self, name: str, front: Mapping[str, Any] | None = None, **services: Any) -> Path:
        """A stack whose `front` waits for accounts."""
        depends = {"accounts": {"condition": "service_healthy"}}
        every = {"accounts": uses(), "front": {**(front or idle()), "depends_on": depends}, **services}
        return self.write({"name": name, "services": every}, f"{name}/{name}.yml")

    def start(self, *files: Path) -> None:
        for file in files:
            self.ok("up", "-d", "--wait", str(file))

    def down(self, name: str) -> None:
        self.ok("-p", name, "down")

    # What a service of a stack sees

    def ask(self, stack: str, service: str, host: str, wait: str = "5", port: int = 8000) -> str:
        return self.ok("exec", "-T", "-p", stack, service, "python3", "-c", ASK, host, str(port), wait).strip()

    def look(self, stack: str, service: str, name: str) -> list[str]:
        found: list[str] = json.loads(self.ok("exec", "-T", "-p", stack, service, "python3", "-c", LOOK, name))
        return found

    def addresses(self, stack: str, service: str) -> list[str]:
        return self.ok("exec", "-T", "-p", stack, service, "hostname", "-I").split()

    # What there is

    def runs(self, stack: str) -> set[str]:
        """Containers of its own that run."""
        rows = self.ok("-p", stack, "ps", "--format", "json").splitlines()
        return {row["Name"] for row in map(json.loads, rows) if not row["Owner"] and row["State"] == "running"}

    def guests(self, stack: str) -> dict[str, dict[str, Any]]:
        """Containers that others own, by name, as `ps` of the stack shows them."""
        rows = self.ok("-p", stack, "ps", "--format", "json").splitlines()
        return {row["Name"]: row for row in map(json.loads, rows) if row["Owner"]}

    def leases(self) -> set[str]:
        return {path.name.removesuffix(".lease") for path in Path(self.home.shares).glob("*/*.lease")}

    def is_up(self, stack: str) -> bool:
        return os.path.exists(self.stack(stack).wanted)

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        """A command in the background."""
        return subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.work,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def plugs(self, stack: str, network: str = "default") -> list[str]:
        """The ports of a network's bridge."""
        pin = self.stack(stack).router_pin(network)
        command = ["nsenter", f"--net={pin}", "ip", "-o", "link", "show", "type", "veth"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        return [line.split()[1].partition("@")[0] for line in lines if " master " in line]

    # What is done to it

    def minders(self, *stacks: str) -> list[int]:
        """Keepers and supervisors, of these stacks or of all."""
        found = []
        for pid in self.processes():
            words = words_of(pid)
            if words and words[0].startswith("orchestra-") and (not stacks or words[1] in stacks):
                found.append(pid)
        return found

    def supervisors(self, stack: str) -> set[int]:
        return {pid for pid in self.minders(stack) if "supervisor" in "".join(words_of(pid)[:1])}

    def supervisor(self, stack: str) -> int:
        (found,) = self.supervisors(stack)
        return found

    def heard(self, stack: str) -> str:
        """What `front`, where it is ASKING, has to say at its end."""
        self.ok("-p", stack, "stop", "front")
        return self.logs("-p", stack, "--no-log-prefix", "front").strip()

    def kill_minders(self, *stacks: str) -> None:
        """Keepers and supervisors at once: none may start another in between."""
        pids = self.minders(*stacks)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, number)
        until(lambda: not set(pids) & set(self.minders()), "they have ended", 5)

    def reboot(self, *stacks: str) -> None:
        """As if the machine had been switched off and on again."""
        self.kill_minders()
        for name in stacks:
            reboot(self.stack(name), [key for stack, key in self.networks if stack == name])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def wait_for(process: subprocess.Popen[str], seconds: float = 60) -> tuple[int, str]:
    said, _ = process.communicate(timeout=seconds)
    return process.returncode, said


def soon(seconds: float) -> float:
    return time.monotonic() + seconds
