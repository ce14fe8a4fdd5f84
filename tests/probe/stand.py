"""What is needed around the container that is probed: neighbours to be reached, services of the host, and the facts
by which `inside.py` judges what it finds."""

from __future__ import annotations

import base64
import ctypes
import io
import json
import os
import re
import socket
import subprocess
import threading
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from whole.stage import Stage, namespaces, py
from whole.world import SERVE

from orchestra.runtime import seccomp

from .score import Results

INSIDE = Path(__file__).with_name("inside")
UNPACK = """\
import base64, os, runpy, sys
with open("/tmp/inside.zip", "wb") as file:
    file.write(base64.b64decode("{}"))
sys.path.insert(0, file.name)
runpy.run_module("inside", run_name="__main__")
"""
ORDINARY = {"PATH", "HOME", "HOSTNAME", "TERM", "LANG", "PWD", "_"}
SERVING = {"stop_signal": "SIGKILL"}


class Stand:
    """Two stacks, and services of the host. Use as a context."""

    def __init__(self) -> None:
        self._undo = ExitStack()

    def __enter__(self) -> Stand:
        with self._undo as undo:
            self.stage = Stage()
            undo.callback(self.stage.close)
            self.loopback_port = _free_port()
            self._start_stacks()
            self.facts = self._facts(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def run(self, service: str = "subject") -> Results:
        """Run the program in a container that has nothing but the defaults."""
        found: Results = json.loads(self.stage.ok("exec", "-T", service, "python3", "-", stdin=self.program()))
        return found

    def program(self, plain: bool = False) -> str:
        """`plain`: for another engine, which knows nothing of our neighbours and has no /usr of the host."""
        facts = self.facts
        if plain:
            ours = ("neighbour_stack", "neighbour_network", "published_loopback", "gateway", "peer", "peer_name")
            facts = {key: value for key, value in facts.items() if key not in (*ours, "host_usr")}
        return _program(facts)

    def _start_stacks(self) -> None:
        """`subject` has the defaults; beside it a peer, one on another network, and one of another stack."""
        stage = self.stage
        stage.write({"name": "n", "services": {"other": py(SERVE, **SERVING)}}, "n.yml")
        stage.ok("up", "-d", "-f", "n.yml")
        stage.up(
            {
                "subject": {"rootfs": "host", "init": True, "command": ["sleep", "infinity"]},
                "peer": py(SERVE, ports=[f"127.0.0.1:{self.loopback_port}:80"], **SERVING),
                "apart": py(SERVE, networks=["side"], **SERVING),
            },
            networks={"side": {}},
        )

    def _facts(self, undo: ExitStack) -> dict[str, Any]:
        numbers = json.loads(Path(seccomp.HERE, "numbers.json").read_text())
        everywhere, loopback = _listen(undo, "0.0.0.0"), _listen(undo, "127.0.0.1")
        abstract = undo.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0probe-{os.getpid()}")
        abstract.listen()
        around = _addresses()
        gateway = _gateway(self.stage)
        doors = [*around, gateway]
        text = "".join(path.read_text() for path in INSIDE.glob("*.py"))
        return {
            "numbers": numbers,
            "namespaces": namespaces("self"),
            "paths": {path: _has_something(path) for path in re.findall(r'"(/(?:proc|sys)/[^"]*)"', text)},
            "unknown_calls": _unknown_calls(text, numbers),
            "families": _families(text),
            "families_judged": True,
            "host_pid": os.getpid(),
            "marks": ["orchestra-keeper", "orchestra-supervisor"],
            "secrets": ["ORCHESTRA_HOME", str(self.stage.folder)],
            "environment": sorted({*os.environ, "ORCHESTRA_HOME"} - ORDINARY),
            "hostname": socket.gethostname(),
            "host_paths": [str(self.stage.folder), "/var/lib/orchestra", "/run/orchestra"],
            "host_usr": True,
            "disk": _disk(),
            "abstract": f"probe-{os.getpid()}",
            "gateway": gateway,
            "peer": _address(self.stage, "t-peer-1"),
            "peer_name": "peer",
            "host_everywhere": [(door, everywhere) for door in doors],
            "host_loopback": [(door, loopback) for door in doors],
            "published_loopback": [(door, self.loopback_port) for door in doors],
            "neighbour_stack": [(_address(self.stage, "n-other-1", "n"), 80)],
            "neighbour_network": [(_address(self.stage, "t-apart-1"), 80)],
        }


def _program(facts: dict[str, Any]) -> str:
    """The package `inside` with its facts, packed into a program that any Python reads from stdin."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in INSIDE.glob("*.py"):
            archive.write(path, f"inside/{path.name}")
        archive.writestr("inside/facts.json", json.dumps(facts))
    return UNPACK.format(base64.b64encode(packed.getvalue()).decode())


def _has_something(path: str) -> bool:
    return bool(os.listdir(path)) if os.path.isdir(path) else os.path.exists(path)


def _address(stage: Stage, container: str, stack: str = "t") -> str:
    rows = map(json.loads, stage.ok("-p", stack, "ps", "-a", "--format", "json").splitlines())
    (row,) = (row for row in rows if row["Name"] == container)
    return str(next(iter(row["Addresses"].values())))


def _gateway(stage: Stage) -> str:
    return stage.inside("subject", "sed -n 's/^nameserver //p' /etc/resolv.conf").split()[0]


def _addresses() -> list[str]:
    """IPv4 addresses of this machine, those of the uplinks among them."""
    shown = subprocess.run(["ip", "-4", "-o", "addr"], capture_output=True, text=True, check=True).stdout
    return [each for each in re.findall(r"inet ([0-9.]+)", shown) if not each.startswith("127.")]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _listen(undo: ExitStack, address: str) -> int:
    server = undo.enter_context(socket.create_server((address, 0)))

    def serve() -> None:
        while True:
            try:
                server.accept()[0].close()
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    undo.callback(server.shutdown, socket.SHUT_RDWR)
    return int(server.getsockname()[1])


def _disk() -> tuple[int, int]:
    for line in Path("/proc/partitions").read_text().splitlines()[2:]:
        major, minor, *_ = line.split()
        return int(major), int(minor)
    return 8, 0


def _families(text: str) -> list[list[int]]:
    """Those that this kernel has, by asking as root."""
    asked = {(int(a), int(b), int(c)) for a, b, c in re.findall(r'\((\d+), "AF_[^"]*", (\d+), (\d+), ', text)}
    asked |= {(2, 3, 1), (2, 3, 255), (10, 3, 58), (2, 1, 132), (2, 6, 33), (40, 1, 0), (38, 5, 0), (17, 3, 0)}
    found = []
    for number, kind, protocol in sorted(asked):
        try:
            socket.socket(number, kind, protocol).close()
        except OSError:
            continue
        found.append([number, kind, protocol])
    return found


def _unknown_calls(text: str, numbers: dict[str, dict[str, int]]) -> list[str]:
    """Of the calls that are tried, those that this kernel does not have: with arguments that nothing comes of."""
    own = numbers[os.uname().machine]
    names = set(re.findall(r'[("]([a-z_0-9]+)"[:,] (?:[A-Z]+, )?\(', text)) & set(own) - {
        "vhangup",
        "clone",
        "unshare",
    }
    libc = ctypes.CDLL(None, use_errno=True)
    missing = []
    for name in sorted(names):
        pid = os.fork()
        if pid == 0:
            ctypes.set_errno(0)
            libc.syscall(ctypes.c_long(own[name]), *[ctypes.c_long(-1)] * 6)
            os._exit(ctypes.get_errno() == 38)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1:
            missing.append(name)
    return missing
