"""An installation of its own that faults are done to: its commands, its processes, and what the kernel has of it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from reboot import reboot
from whole.stage import COMMAND, ROOT, cgroup_roots, members, unified, until

from orchestra.client import Connection
from orchestra.errors import OrchestraError
from orchestra.places import Home, Places

PATIENCE = 30.0
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)

IDLE = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
COUNTING = "trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.005; done"
ANSWERING = """
import http.server, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 80), Hello).serve_forever()
"""


def sh(script: str = IDLE, **more: Any) -> dict[str, Any]:
    """A service that runs a shell script."""
    return {"rootfs": "host", "command": ["sh", "-c", script.replace("$", "$$")], "stop_grace_period": "1s", **more}


def py(program: str = ANSWERING, **more: Any) -> dict[str, Any]:
    """A service that runs a Python program; an HTTP server by default."""
    command = ["python3", "-uc", program.replace("$", "$$")]
    return {"rootfs": "host", "command": command, "stop_grace_period": "1s", **more}


def in_time(seconds: float) -> float:
    """A promise is for a machine that has a processor for everybody who wants one: longer where many wait."""
    return seconds * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


def ends(pid: int) -> bool:
    """Whether there is no such process any more; a zombie has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Kill one process and wait until it has ended."""
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, number)
        if number == signal.SIGKILL:
            until(lambda: ends(pid), f"{pid} ends", 5)
    finally:
        os.close(handle)


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill(path: Path) -> None:
    """Until not a byte is left on the disk; once more, with what others have let go of meanwhile."""
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(port: int, patience: float = 3.0, address: str = "127.0.0.1") -> str:
    """The body of an HTTP answer on a published port, or "" when there is none."""
    try:
        with socket.create_connection((address, port), timeout=patience) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while part := connection.recv(4096):
                answer += part
    except OSError:
        return ""
    return answer.partition(b"\r\n\r\n")[2].decode()


class Ground:
    def __init__(self, stack: str = "t") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="of-", dir="/tmp"))
        self.home = Home.of({"ORCHESTRA_HOME": str(self.folder / "h")}, 0)
        self.places: Places = self.home.stack(stack)
        self.file = self.folder / "stack.yml"
        self.networks = {"default"}
        self.mounted: list[str] = []

    # Commands

    @property
    def environ(self) -> dict[str, str]:
        kept = {"PATH": os.environ["PATH"], "HOME": "/root", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
        return {**kept, "ORCHESTRA_HOME": str(self.folder / "h")}

    def write(self, services: Mapping[str, Any], **more: Any) -> None:
        self.networks |= set(more.get("networks", ()))
        self.file.write_text(yaml.safe_dump({"name": self.places.name, "services": dict(services), **more}))

    def begin(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """A command in the background."""
        return subprocess.Popen(
            [*COMMAND, "-f", str(self.file), *words],
            cwd=self.folder,
            env=self.environ,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, timeout: float = PATIENCE) -> tuple[int, str]:
        command = self.begin(*words)
        try:
            said, _ = command.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            command.kill()
            said, _ = command.communicate()
            raise AssertionError(f"{words} did not end within {timeout} s: {said}{self.own_log()}") from None
        assert "Traceback" not in said, said
        return command.returncode, said

    def ok(self, *words: str, timeout: float = PATIENCE) -> str:
        code, said = self.run(*words, timeout=timeout)
        assert code == 0, f"{words} ended with {code}: {said}{self.own_log()}"
        return said

    def up(self, services: Mapping[str, Any], *words: str, **more: Any) -> str:
        self.write(services, **more)
        return self.ok("up", "-d", *words)

    def down(self, *words: str) -> str:
        return self.ok("down", "-t", "1", *words)

    def status(self) -> dict[str, Any]:
        # A connection that waited for a supervisor which was just killed is reset: ask the next one.
        for _ in range(5):
            with contextlib.suppress(OrchestraError), Connection(self.places, 10) as connection:
                return connection.call({"do": "status"})
        with Connection(self.places, 10) as connection:
            return connection.call({"do": "status"})

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.status()["rows"]}

    def row(self, name: str) -> dict[str, Any]:
        return self.rows()[name]

    def events(self) -> list[dict[str, Any]]:
        with Connection(self.places, 10) as connection:
            number = connection.send(
                {"do": "events", "since": None, "until": None, "services": None, "follow": False}
            )
            return [answer["event"] for answer in connection.answers(number) if "event" in answer]

    def logs(self, *words: str) -> str:
        return self.ok("logs", "--no-color", "--no-log-prefix", *words)

    def own_log(self) -> str:
        path = Path(self.places.own_log)
        return "\n--- orchestra.log\n" + path.read_text(errors="replace")[-3000:] if path.is_file() else ""

    # Processes

    def processes(self) -> dict[int, str]:
        """Keepers, supervisors and commands of this home, with their words."""
        found = {}
        mark = str(self.folder).encode()
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = Path("/proc", entry, "cmdline").read_bytes()
                if mark in Path("/proc", entry, "environ").read_bytes() or mark in words:
                    found[int(entry)] = words.replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
        return found

    def keeper(self) -> int:
        """The oldest process of that name: what it forks for a start has the same for a moment."""
        return min(
            (pid for pid, words in self.processes().items() if words.startswith("orchestra-keeper")), default=0
        )

    def supervisor(self) -> int:
        return next((pid for pid, words in self.processes().items() if words.startswith("orchestra-supervisor")), 0)

    def holder(self) -> int:
        """The process that has the pipes of containers open beside the keeper; its environment is empty."""
        return int(json.loads(Path(f"{self.places.run}/holder.json").read_text())["pid"])

    def pids(self, container: str) -> list[int]:
        """All processes of a container, by its cgroup."""
        return members(f"{unified()}/{self.places.cgroup(container)}")

    def pid(self, container: str) -> int:
        """Process 1 of a container."""
        record = json.loads(Path(f"{self.places.children}/{container}.json").read_text())
        return int(record["pid"])

    def kill_supervisor(self) -> int:
        """Returns the new one's pid."""
        old = until(self.supervisor, "there is a supervisor")
        kill(old)
        return int(until(lambda: (new := self.supervisor()) != old and new, "a new supervisor", 5))

    def kill_both(self) -> None:
        """The supervisor must not start a keeper nor the keeper a supervisor in between."""
        for number in (signal.SIGSTOP, signal.SIGKILL) * 2:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        until(lambda: all(ends(pid) for pid in self.processes()), "all have ended", 5)

    def reboot(self) -> None:
        """As if the machine had been switched off and on again."""
        self.kill_both()
        reboot(self.places, self.networks)

    # What the kernel has

    def left(self) -> list[str]:
        """Whatever the kernel and the run directory still have of this home."""
        found = [f"process {pid}: {words}" for pid, words in self.processes().items() if not ends(pid)]
        found += [f"mount {line}" for line in self.mounts() if not any(f" {path} " in line for path in self.mounted)]
        ids = {self.places.network_id(key) for key in self.networks}
        found += [f"link {link}" for link in os.listdir("/sys/class/net") if any(each in link for each in ids)]
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
        found += [table for table in tables.splitlines() if any(each in table for each in ids)]
        mark = f"/orchestra/{self.places.name}-{self.places.scope}"
        found += [f"cgroup {root}{mark}" for root in cgroup_roots() if os.path.isdir(root + mark)]
        if os.path.isdir(self.places.run):
            found.append(f"run directory with {sorted(os.listdir(self.places.run))}")
        kept = ("roots", "logs", "wanted.json")
        found += [f"{self.places.data}/{name}" for name in kept if os.path.exists(f"{self.places.data}/{name}")]
        return found

    def mounts(self) -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in lines if f"{self.folder}/" in line]

    def nothing_left(self, patience: float = 5.0) -> None:
        end = time.monotonic() + patience
        while left := self.left():
            assert time.monotonic() < end, f"still there: {left}{self.own_log()}"
            time.sleep(0.02)

    def namespaces(self) -> set[str]:
        """User and network namespaces that are pinned now."""
        found = set()
        for pin in os.listdir(self.places.pins):
            kind = {"user": "user", "net": "net", "router": "net"}[pin.rpartition(".")[2]]
            found.add(f"{kind}:[{os.stat(f'{self.places.pins}/{pin}').st_ino}]")
        return found

    # The end

    def close(self) -> None:
        """Take everything away, by `down` if that works and by force if not; then nothing may be left."""
        failure = ""
        try:
            if os.path.isdir(self.places.run) or os.path.exists(self.places.wanted):
                code, said = self.run("-p", self.places.name, "down", "-v", "-t", "0")
                failure = "" if code == 0 else f"down failed: {said}{self.own_log()}"
            self.nothing_left(15)
            assert not failure, failure
        finally:
            self._force()

    def _force(self) -> None:
        self.kill_both()
        for line in reversed(self.mounts()):
            libc.umount2(line.split()[4].encode(), MNT_DETACH)
        for key in self.networks:
            ident = self.places.network_id(key)
            subprocess.run(["ip", "link", "del", f"orc{ident}"], capture_output=True, check=False)
            subprocess.run(["nft", "delete", "table", "ip", f"orchestra-{ident}"], capture_output=True, check=False)
        for root in cgroup_roots():
            top = f"{root}/orchestra/{self.places.name}-{self.places.scope}"
            for folder, _, files in os.walk(top, topdown=False):
                if "cgroup.procs" in files:
                    for pid in Path(folder, "cgroup.procs").read_text().split():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(int(pid), signal.SIGKILL)
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        shutil.rmtree(self.folder, ignore_errors=True)


def everywhere() -> set[str]:
    """All namespaces that any process is in or holds open, and all that are mounted."""
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        for folder in (f"/proc/{entry}/ns", f"/proc/{entry}/fd"):
            with contextlib.suppress(OSError):
                for name in os.listdir(folder):
                    with contextlib.suppress(OSError):
                        found.add(os.readlink(f"{folder}/{name}"))
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        found.add(line.split()[3])
    return {name for name in found if name.startswith(("net:", "user:"))}


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid: int) -> int:
    """Private memory in KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon"):
            return int(line.split()[1])
    raise AssertionError("no smaps_rollup")
