"""An installation of orchestra of its own, its command line, and what must be gone when it is taken down."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from orchestra.places import Home, Places

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "orchestra.cli.main"]
PATIENCE = float(os.environ.get("ORCHESTRA_TEST_PATIENCE", "30"))
PROBE = str(Path(__file__).with_name("probe.py"))

# A shell as process 1 ends on SIGTERM only if it says so.
IDLE = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"]


def sh(script: str, **more: Any) -> dict[str, Any]:
    """A service that runs a shell script."""
    return {"rootfs": "host", "command": ["sh", "-c", script.replace("$", "$$")], "stop_grace_period": "1s", **more}


def idle(**more: Any) -> dict[str, Any]:
    """A service that does nothing and ends at once when it is asked to."""
    return sh(IDLE[2], **more)


def py(program: str, **more: Any) -> dict[str, Any]:
    """A service that runs a Python program."""
    return {
        "rootfs": "host",
        "command": ["python3", "-uc", program.replace("$", "$$")],
        "stop_grace_period": "1s",
        **more,
    }


def free_port(ports: Iterable[int]) -> int:
    """The first of them that nobody listens on; others than those that the kernel gives away for connections."""
    for port in ports:
        try:
            socket.create_server(("", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError("all of these ports are taken")


def members(cgroup: str) -> list[int]:
    """The processes of a cgroup; none of one that is not there, or that is just being removed."""
    try:
        with open(f"{cgroup}/cgroup.procs") as procs:
            return sorted(int(line) for line in procs)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
        return []


def until(true: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """What `true` returns, once that is something."""
    end = time.monotonic() + patience
    while not (value := true()):
        assert time.monotonic() < end, f"it never came true that {what}"
        time.sleep(0.005)
    return value


class Stage:
    """One home, one folder for stack files, and the commands on them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ow-", dir="/tmp"))
        self.home_folder = str(self.folder / "h")
        self.work = self.folder / "w"
        self.work.mkdir()
        self.home = Home.of({"ORCHESTRA_HOME": self.home_folder}, 0)
        self.names: set[str] = set()
        self.networks: set[tuple[str, str]] = set()

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "ORCHESTRA_HOME": self.home_folder,
        }

    # Files

    def write(self, stack: Mapping[str, Any] | str, file: str = "stack.yml") -> Path:
        """A stack file, from its text or from values."""
        path = self.work / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(stack, str):
            path.write_text(stack)
            return path
        stack = {"name": "t", **stack}
        self.names.add(stack["name"])
        self.networks |= {(stack["name"], key) for key in ("default", *stack.get("networks", ()))}
        path.write_text(yaml.safe_dump(stack, sort_keys=False, width=1000))
        return path

    # Commands

    def run(
        self,
        *words: str,
        cwd: Path | None = None,
        stdin: str | None = None,
        timeout: float = PATIENCE,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            cwd=cwd or self.work,
            env={**self.environ, **(env or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ok(self, *words: str, **more: Any) -> str:
        """What the command writes on stdout; it must succeed."""
        done = self.run(*words, **more)
        assert done.returncode == 0, (
            f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}{self.said()}"
        )
        return done.stdout

    def fails(self, *words: str, status: int | None = None, **more: Any) -> str:
        """What the command writes on stderr; it must not succeed."""
        done = self.run(*words, **more)
        assert done.returncode != 0, f"{words} succeeded\n{done.stdout}\n{done.stderr}"
        assert status is None or done.returncode == status, f"ended with {done.returncode}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stderr

    def up(self, services: Mapping[str, Any], *words: str, **more: Any) -> str:
        """Write a stack of these services, start it in the background; what that said on stderr."""
        self.write({"services": services, **more})
        done = self.run("up", "-d", *words)
        assert done.returncode == 0, f"up ended with {done.returncode}\n{done.stdout}\n{done.stderr}{self.said()}"
        return done.stderr

    def inside(self, service: str, script: str, *options: str) -> str:
        """What a shell script says that is run in a container."""
        return self.ok("exec", "-T", *options, service, "sh", "-c", script).strip()

    def python(self, service: str, program: str) -> str:
        return self.ok("exec", "-T", service, "python3", "-c", program).strip()

    def probe(self, service: str, *options: str) -> dict[str, Any]:
        """The answers of the probe program, asked inside of a container."""
        program = Path(PROBE).read_text()
        found: dict[str, Any] = json.loads(self.ok("exec", "-T", *options, service, "python3", "-c", program))
        return found

    def rows(self, *words: str) -> dict[str, dict[str, Any]]:
        """`ps -a` by name of the container."""
        lines = self.ok("ps", "-a", "--format", "json", *words).splitlines()
        return {row["Name"]: row for row in map(json.loads, lines)}

    def row(self, name: str) -> dict[str, Any]:
        return self.rows()[name]

    def pid(self, name: str) -> int:
        """Of the container's process 1, as the host counts; by its cgroup, which outlives every supervisor."""
        return self.pids(name)[0]

    def pids(self, name: str) -> list[int]:
        return members(f"{unified()}/{self.stack(name.split('-')[0]).cgroup(name)}")

    def logs(self, *words: str) -> str:
        return self.ok("logs", "--no-color", *words)

    def stack(self, name: str = "t") -> Places:
        return self.home.stack(name)

    def said(self) -> str:
        """What keepers and supervisors said about themselves, for the message of a failed test."""
        texts = [path.read_text()[-2000:] for path in Path(self.home_folder).glob("data/stacks/*/orchestra.log")]
        return "\n--- orchestra.log\n" + "\n".join(texts) if any(texts) else ""

    # The end

    def close(self) -> None:
        """Take everything down, and see that nothing of it is left in the kernel."""
        runs = Path(self.home_folder, "run")
        found = {path.name for path in runs.iterdir() if path.name[0] != "."} if runs.is_dir() else set()
        self.names |= found
        failed: list[str] = []
        try:
            for _ in range(3):
                failed = [f"down of {name}: {said}" for name in sorted(self.names) if (said := self._take_down(name))]
                # A pair that was only just starting when it was told to go, for a file that was bad, did not hear it.
                if not (left := self._left_after(2.0)):
                    break
            assert not left, f"still there: {left}{self.said()}"
            assert not failed, "\n".join(failed) + self.said()
        finally:
            for pid in self.processes():
                os.kill(pid, 9)
        shutil.rmtree(self.folder)

    def _take_down(self, name: str) -> str:
        done = self.run("-p", name, "down", "-v", "-t", "0", "--force", cwd=self.folder)
        return done.stderr if done.returncode else ""

    def _left_after(self, patience: float) -> list[str]:
        end = time.monotonic() + patience
        while (left := self.left()) and time.monotonic() < end:
            time.sleep(0.02)
        return left

    def left(self) -> list[str]:
        """Whatever the kernel still has of this home."""
        return [*self._processes_left(), *self._mounts(), *self._network(), *self._cgroups()]

    def processes(self) -> list[int]:
        """Keepers, supervisors and commands of this home."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                environ, words = (
                    Path("/proc", entry, "environ").read_bytes(),
                    Path("/proc", entry, "cmdline").read_bytes(),
                )
            except OSError:
                continue
            if self.home_folder.encode() in environ + words:
                found.append(int(entry))
        return found

    def process(self, *words: str) -> int:
        """The one with such words on its command line; 0 while there is none."""
        return next((pid for pid in self.processes() if all(word in words_of(pid) for word in words)), 0)

    def supervisor(self) -> int:
        """Its pid, 0 while there is none."""
        return self.process("orchestra-supervisor")

    def _processes_left(self) -> Iterable[str]:
        return (f"process {pid} {' '.join(words_of(pid))}" for pid in self.processes())

    def _mounts(self) -> Iterable[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return (f"mount {line}" for line in lines if f"{self.folder}/" in line)

    def _network(self) -> Iterable[str]:
        ids = [self.stack(name).network_id(key) for name, key in self.networks]
        links = os.listdir("/sys/class/net")
        yield from (f"link {link}" for link in links if any(each in link for each in ids))
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
        yield from (f"nft {table}" for table in tables.splitlines() if any(each in table for each in ids))

    def _cgroups(self) -> Iterable[str]:
        for root in cgroup_roots():
            for name in self.names:
                folder = f"{root}/orchestra/{name}-{self.stack(name).scope}"
                if os.path.isdir(folder):
                    yield f"cgroup {folder}"


def words_of(pid: int) -> list[str]:
    """The command line of a process; of one that has just ended there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ").split()
    except OSError:
        return []


def cgroup_roots() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if re.search(r" - cgroup2? ", line)]


def unified() -> str:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return next(line.split()[4] for line in lines if " - cgroup2 " in line)


def namespaces(pid: int | str) -> dict[str, str]:
    kinds = ("user", "pid", "net", "ipc", "mnt", "uts", "cgroup", "time")
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds}
