"""What the keeper does, in small: fork a starter, adopt what it leaves, collect output and exit codes.

Every test gets a machine of its own (folder, id range, cgroup) and leaves the kernel as it was.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import pickle
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from whole.stage import until

from orchestra.plan import defaults
from orchestra.runtime import bases, cgroups, join, sandbox, seccomp, start, syscalls
from orchestra.wire.spec import Capabilities, Process, Spec

T = TypeVar("T")
_SLOTS = itertools.count(os.getpid() % 997 * 8)  # ids below 2^31, where the range of groups that may ping ends


def words(text: str) -> list[str]:
    return text.split()


def in_child(work: Callable[[], T]) -> T:
    """Run in a forked, single-threaded child, as the keeper does; its exception is raised here."""
    back, out = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                answer: tuple[bool, Any] = True, work()
            except BaseException as error:  # noqa: BLE001 - it is raised again on the other side
                answer = False, error
            os.write(out, pickle.dumps(answer))
        finally:
            os._exit(0)
    os.close(out)
    with open(back, "rb") as file:
        said = file.read()
    os.waitpid(pid, 0)
    worked, value = pickle.loads(said)
    if not worked:
        raise value
    return cast(T, value)


class Ended:
    def __init__(self, code: int, out: str) -> None:
        self.code = code
        self.out = out

    def __repr__(self) -> str:
        return f"exit {self.code}: {self.out}"


class Running:
    """A process of a container: pid 1, or one that joined."""

    def __init__(self, machine: Machine, spec: Spec, pid: int, out: int) -> None:
        self.machine = machine
        self.spec = spec
        self.pid = pid
        self._out = out
        machine.outputs.add(out)
        self.start_time = join.start_time_of(pid)

    def end(self) -> Ended:
        self.machine.outputs.discard(self._out)
        with open(self._out, encoding="utf-8", errors="replace") as file:
            text = file.read()
        return Ended(self.wait(), text)

    def line(self) -> str:
        said = b""
        while not said.endswith(b"\n"):
            byte = os.read(self._out, 1)
            assert byte, f"ended after {said!r}"
            said += byte
        return said.decode().rstrip("\n")

    def wait(self) -> int:
        ended = self.machine.ended
        until(lambda: reap(ended) or self.pid in ended, "it ended")
        self.machine.alive.pop(self.pid, None)
        return ended[self.pid]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def exec(self, *args: str, **changes: Any) -> Ended:
        return self.joined(*args, **changes).end()

    def joined(
        self, *args: str, terminal_out: socket.socket | None = None, clean_after: float = 0.0, **changes: Any
    ) -> Running:
        process = copy.deepcopy(self.spec["process"])
        process.update(cast(Process, {"args": list(args), **changes}))
        filters, path = self.spec["orchestra"]["seccomp"], self.spec["linux"]["cgroupsPath"]
        null, (back, out) = os.open("/dev/null", os.O_RDWR), os.pipe()
        os.fchmod(out, 0o622)  # whoever the service runs as may reopen /dev/stdout
        try:
            whom = self.pid, self.start_time, process, filters, path
            pid = in_child(lambda: join.join(*whom, null, out, out, terminal_out, clean_after))
        except BaseException:
            os.close(back)
            raise
        finally:
            os.close(out)
            os.close(null)
        running = Running(self.machine, self.spec, pid, back)
        self.machine.alive[pid] = running
        return running


class Machine:
    """One test's corner of the kernel: up to eight containers with an id range each."""

    def __init__(self, folder: Path, base: str) -> None:
        self.folder = folder
        self.base = base
        self.scope = f"orchestra-test-{os.getpid()}"
        self.alive: dict[int, Running] = {}
        self.ended: dict[int, int] = {}
        self.outputs: set[int] = set()
        self._ranges: dict[str, int] = {}
        self._cgroups: set[str] = set()

    def range_of(self, name: str) -> int:
        return self._ranges.setdefault(name, 1_500_000_000 + next(_SLOTS) * 65536)

    def pins(self, name: str) -> tuple[str, str]:
        return f"{self.folder}/ns/{name}.user", f"{self.folder}/ns/{name}.net"

    def sandbox(self, name: str, network: bool = True) -> None:
        user, net = self.pins(name)
        spec = {"user_pin": user, "net_pin": net if network else "", "base": self.range_of(name), "size": 65536}
        in_child(lambda: sandbox.make([cast(Any, spec)]))

    def spec(self, *args: str, name: str = "a", **changes: Any) -> Spec:
        """The defaults; `changes` go where they belong by their key."""
        user, net = self.pins(name)
        mapping = {"containerID": 0, "hostID": self.range_of(name), "size": 65536}
        own = ("pid", "mount", "ipc", "uts", "cgroup")
        spec: dict[str, Any] = {
            "ociVersion": "1.2.0",
            "hostname": "box",
            "process": {
                "terminal": False,
                "user": {"uid": 0, "gid": 0},
                "args": list(args),
                "env": [f"PATH={bases.host_path()}"],
                "cwd": "/",
                "capabilities": capabilities(defaults.CAPABILITIES),
                "rlimits": list(defaults.RLIMITS),
                "noNewPrivileges": True,
            },
            "root": {"path": "", "readonly": False},
            "mounts": [*defaults.MOUNTS, defaults.shm()],
            "linux": {
                "namespaces": [
                    {"type": "user", "path": user},
                    {"type": "network", "path": net},
                    *({"type": kind} for kind in own),
                ],
                "uidMappings": [mapping],
                "gidMappings": [mapping],
                "cgroupsPath": f"{self.scope}/{name}",
                "resources": {"pids": {"limit": 200}, "memory": {"limit": 256 << 20}},
                "sysctl": dict(defaults.SYSCTLS),
                "maskedPaths": list(defaults.MASKED_PATHS),
                "readonlyPaths": list(defaults.READONLY_PATHS),
            },
            "annotations": {},
            "orchestra": {
                "layers": [self.base],
                "upper": f"{self.folder}/roots/{name}/upper",
                "work": f"{self.folder}/roots/{name}/work",
                "usr": bases.host_binds(),
                "seccomp": seccomp.ensure_filter(str(self.folder), "", defaults.CAPABILITIES),
                "files": [],
                "init": False,
                "stdin": False,
            },
        }
        for key, value in changes.items():
            place = next(p for p in (spec["process"], spec["linux"], spec["orchestra"], spec, {key: 0}) if key in p)
            if key == "mounts":
                value = [*spec["mounts"], *value]
            (spec["process"] if key in ("oomScoreAdj",) else place)[key] = value
        return cast(Spec, copy.deepcopy(spec))

    def start(self, spec: Spec, terminal_out: socket.socket | None = None) -> Running:
        return self.start_by_one([spec], terminal_out)[0]

    def start_by_one(self, specs: list[Spec], terminal_out: socket.socket | None = None) -> list[Running]:
        """One starter starts all of them, one after the other."""
        for spec in specs:
            for namespace in spec["linux"]["namespaces"]:
                if namespace["type"] == "user" and not sandbox.pinned(namespace["path"]):
                    self.sandbox(os.path.basename(namespace["path"]).removesuffix(".user"))
            self._cgroups.add(spec["linux"]["cgroupsPath"])
        null, pipes = os.open("/dev/null", os.O_RDWR), [os.pipe() for _ in specs]
        for _, out in pipes:
            os.fchmod(out, 0o622)  # whoever the service runs as may reopen /dev/stdout
        ends = list(zip(specs, pipes, strict=True))
        try:
            pids = in_child(lambda: [start.start(spec, null, out, out, terminal_out)[0] for spec, (_, out) in ends])
        except BaseException:
            for back, _ in pipes:
                os.close(back)
            raise
        finally:
            os.close(null)
            for _, out in pipes:
                os.close(out)
        found = [Running(self, spec, pid, back) for (spec, (back, _)), pid in zip(ends, pids, strict=True)]
        self.alive |= {running.pid: running for running in found}
        return found

    def run(self, *args: str, **changes: Any) -> Ended:
        return self.start(self.spec(*args, **changes)).end()

    def python(self, text: str, **changes: Any) -> Ended:
        return self.run("python3", "-c", text, **changes)

    def shell(self, text: str, **changes: Any) -> Ended:
        return self.run("sh", "-c", text, **changes)

    def sleeper(self, **changes: Any) -> Running:
        return self.start(self.spec("sleep", "1000", **changes))

    def end(self) -> None:
        driver = cgroups.driver()
        for path in self._cgroups:
            driver.kill(path)
        for running in list(self.alive.values()):
            running.wait()
        reap(self.ended)
        for path in self._cgroups:
            driver.remove(path)
        driver.remove(self.scope)
        for out in self.outputs:
            os.close(out)
        for name in self._ranges:
            sandbox.remove(*self.pins(name))


def capabilities(names: Any, ambient: Any = ()) -> Capabilities:
    bounding = list(names)
    return {
        "bounding": bounding,
        "effective": bounding,
        "permitted": bounding,
        "inheritable": [],
        "ambient": list(ambient),
    }


def reap(ended: dict[int, int]) -> None:
    """All that ended, not one alone: pid 1 only ends once the last process of its namespace is reaped."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = os.waitstatus_to_exitcode(found[1])


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return bases.host_base(str(tmp_path_factory.mktemp("bases")))


@pytest.fixture
def machine(tmp_path: Path, base: str) -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    made = Machine(tmp_path, base)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """Mounts, cgroups, processes and descriptors are afterwards what they were before."""
    before = _traces(tmp_path)
    yield
    assert _traces(tmp_path) == before


def _traces(folder: Path) -> dict[str, Any]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line for line in file if str(folder) in line]
    scope = f"orchestra-test-{os.getpid()}"
    return {
        "mounts": mounts,
        "cgroups": cgroups.driver().exists(scope),
        "children": children(),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


def children() -> list[str]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return file.read().split()


__all__ = ["Ended", "Machine", "Running", "in_child", "signal", "until"]
