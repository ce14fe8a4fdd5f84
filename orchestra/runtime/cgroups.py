"""Limits, accounting and killing of all processes of a container, on cgroup v1, v2 and the hybrid of both.

The driver is chosen from what is mounted. In a hybrid the limits live in the v1 hierarchies, and the unified one
tracks the processes: cgroup.kill, cgroup.freeze and cgroup.events work there without a controller (cgroup-v2.rst,
Core Interface Files; cgroup-v1/*.rst for the rest). Paths are relative to the root of each hierarchy.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterable

from orchestra.wire.spec import Resources

from . import device_filter

PERIOD = 100_000  # microseconds, as docker: 0.5 cpus are a quota of 50000
_USED_V1 = ("memory", "cpu", "cpuacct", "pids", "devices", "cpuset")


class Stats:
    """What a container uses now: bytes, processor nanoseconds, processes. None: nobody counts it."""

    __slots__ = ("cpu_ns", "memory", "memory_limit", "oom_kills", "pids", "pids_limit")

    def __init__(self) -> None:
        self.memory: int | None = None
        self.memory_limit: int | None = None
        self.cpu_ns: int | None = None
        self.pids: int | None = None
        self.pids_limit: int | None = None
        self.oom_kills = 0


class Driver:
    """What both versions share: directories, one for each hierarchy, and the tracking in the unified one."""

    def __init__(self, roots: dict[str, str], unified: str | None) -> None:
        self.roots = roots  # controller → mount point, v1 only
        self.unified = unified

    def directories(self, path: str) -> list[str]:
        _check(path)
        mounts = dict.fromkeys(self.roots.values())
        found = [f"{mount}/{path}" for mount in mounts]
        return [*found, f"{self.unified}/{path}"] if self.unified else found

    def create(self, path: str, resources: Resources) -> None:
        """Directories and limits, before any process is inside."""
        made = self.directories(path)
        for directory in made:
            os.makedirs(directory, 0o755, exist_ok=True)
        self.limit(path, resources)

    def limit(self, path: str, resources: Resources) -> None:
        raise NotImplementedError

    def attach(self, path: str, pid: int) -> None:
        for directory in self.directories(path):
            write(f"{directory}/cgroup.procs", str(pid))

    def open_attach(self, path: str) -> list[int]:
        """Descriptors that a process writes pids to after it gave up its own rights: the opener's count."""
        return [os.open(f"{d}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for d in self.directories(path)]

    def exists(self, path: str) -> bool:
        return any(os.path.isdir(d) for d in self.directories(path))

    def processes(self, path: str) -> list[int]:
        pids: dict[int, None] = {}
        for directory in self.directories(path):
            for below, _, _ in os.walk(directory):
                pids.update(dict.fromkeys(_numbers(f"{below}/cgroup.procs")))
        return list(pids)

    def kill(self, path: str) -> None:
        """SIGKILL to everything inside, however fast it forks."""
        if self.unified:
            with contextlib.suppress(FileNotFoundError):
                write(f"{self.unified}/{path}/cgroup.kill", "1")
                return
        self._kill_frozen(path)

    def _kill_frozen(self, path: str) -> None:
        # Frozen before it is killed: without cgroup.kill a process that forks fast enough outruns the signals.
        freezer = self.roots.get("freezer")
        state = f"{freezer}/{path}/freezer.state" if freezer else ""
        for _ in range(100):
            if state:
                _try_write(state, "FROZEN")
            alive = self.processes(path)
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if state:
                _try_write(state, "THAWED")
            if not alive:
                return

    def thaw(self, path: str) -> None:
        if self.unified:
            _try_write(f"{self.unified}/{path}/cgroup.freeze", "0")

    def freeze(self, path: str) -> None:
        if self.unified:
            write(f"{self.unified}/{path}/cgroup.freeze", "1")

    def populated(self, path: str) -> bool:
        if self.unified and (events := read(f"{self.unified}/{path}/cgroup.events")):
            return "populated 1" in events
        return bool(self.processes(path))

    def remove(self, path: str, patience: float = 2.0) -> None:
        """Remove the directories. A process that is just ending keeps them busy: tried until `patience` is over."""
        deadline = time.monotonic() + patience
        for directory in self.directories(path):
            while not _rmdir_tree(directory):
                if time.monotonic() > deadline:
                    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), directory)
                time.sleep(0.002)

    def list_below(self, path: str) -> list[str]:
        """Names of the cgroups directly below, in any hierarchy, for sweeping."""
        names: set[str] = set()
        for directory in self.directories(path):
            with contextlib.suppress(OSError), os.scandir(directory) as entries:
                names.update(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return sorted(names)

    def shown(self) -> dict[str, str]:
        """What /sys/fs/cgroup shows inside: folder and its controllers, "" for the unified one; empty: v2 alone."""
        raise NotImplementedError

    def stats(self, path: str) -> Stats:
        raise NotImplementedError

    def oom_kills(self, path: str) -> int:
        raise NotImplementedError


class V1(Driver):
    """Controllers in hierarchies of their own, with the unified one beside them where it is mounted."""

    def limit(self, path: str, resources: Resources) -> None:
        memory, cpu, pids = resources.get("memory", {}), resources.get("cpu", {}), resources.get("pids")
        if "limit" in memory:
            self._set("memory", path, "memory.limit_in_bytes", memory["limit"])
            # Not there without swap accounting. After the limit, which it may not be below.
            _try_write(self._file("memory", path, "memory.memsw.limit_in_bytes"), str(memory.get("swap", -1)))
        if "reservation" in memory:
            self._set("memory", path, "memory.soft_limit_in_bytes", memory["reservation"])
        if "shares" in cpu:
            self._set("cpu", path, "cpu.shares", cpu["shares"])
        if "quota" in cpu:
            self._set("cpu", path, "cpu.cfs_period_us", cpu.get("period", PERIOD))
            self._set("cpu", path, "cpu.cfs_quota_us", cpu["quota"])
        if pids:
            self._set("pids", path, "pids.max", _or_max(pids["limit"]))
        if "cpuset" in self.roots or "cpus" in cpu:
            self._file("cpuset", path, "cpuset.cpus")
            self._cpuset(path, cpu.get("cpus", ""))
        if "devices" in self.roots:
            self._set("devices", path, "devices.deny", "a")
            for rule in device_filter.RULES:
                self._set("devices", path, "devices.allow", rule)

    def _cpuset(self, path: str, cpus: str) -> None:
        # A new cpuset is empty and takes no process before it has cpus and memory nodes: take the parent's.
        mount = self.roots["cpuset"]
        above = mount
        for part in path.split("/"):
            here = f"{above}/{part}"
            for name in ("cpuset.cpus", "cpuset.mems"):
                if not read(f"{here}/{name}").strip():
                    write(f"{here}/{name}", read(f"{above}/{name}").strip())
            above = here
        if cpus:
            write(f"{above}/cpuset.cpus", cpus)

    def shown(self) -> dict[str, str]:
        folders: dict[str, list[str]] = {}
        for controller, mount in self.roots.items():
            if controller in ("memory", "cpu", "cpuacct", "cpuset", "pids"):
                folders.setdefault(mount, []).append(controller)
        return {",".join(names): ",".join(names) for names in folders.values()} | (
            {"unified": ""} if self.unified else {}
        )

    def _file(self, controller: str, path: str, name: str) -> str:
        mount = self.roots.get(controller)
        if mount is None:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), f"cgroup controller {controller}")
        return f"{mount}/{path}/{name}"

    def _set(self, controller: str, path: str, name: str, value: int | str) -> None:
        write(self._file(controller, path, name), str(value))

    def _get(self, controller: str, path: str, name: str) -> int | None:
        mount = self.roots.get(controller)
        return number(read(f"{mount}/{path}/{name}")) if mount else None

    def stats(self, path: str) -> Stats:
        found = Stats()
        found.memory = self._get("memory", path, "memory.usage_in_bytes")
        idle = keyed(self._read("memory", path, "memory.stat")).get("total_inactive_file", 0)
        found.memory = None if found.memory is None else max(0, found.memory - idle)
        limit = self._get("memory", path, "memory.limit_in_bytes")
        found.memory_limit = limit if limit is not None and limit < 1 << 60 else None
        found.cpu_ns = self._get("cpuacct", path, "cpuacct.usage")
        found.pids = self._get("pids", path, "pids.current")
        found.pids_limit = self._get("pids", path, "pids.max")
        found.oom_kills = self.oom_kills(path)
        return found

    def _read(self, controller: str, path: str, name: str) -> str:
        mount = self.roots.get(controller)
        return read(f"{mount}/{path}/{name}") if mount else ""

    def oom_kills(self, path: str) -> int:
        return keyed(self._read("memory", path, "memory.oom_control")).get("oom_kill", 0)


class V2(Driver):
    """Everything in one hierarchy."""

    controllers = ("cpu", "cpuset", "io", "memory", "pids")

    def __init__(self, unified: str) -> None:
        super().__init__({}, unified)
        self.root = unified

    def create(self, path: str, resources: Resources) -> None:
        os.makedirs(f"{self.root}/{path}", 0o755, exist_ok=True)
        above = self.root
        for part in path.split("/"):
            for controller in self.controllers:
                # One at a time: a single controller that is missing would make the kernel refuse all.
                _try_write(f"{above}/cgroup.subtree_control", f"+{controller}")
            above = f"{above}/{part}"
        self.limit(path, resources)
        device_filter.attach(f"{self.root}/{path}")

    def limit(self, path: str, resources: Resources) -> None:
        here = f"{self.root}/{path}"
        for name, value in limits_v2(resources):
            write(f"{here}/{name}", value)
        swap = swap_v2(resources)
        if swap is not None:
            _try_write(f"{here}/memory.swap.max", swap)  # not there on a kernel without swap

    def shown(self) -> dict[str, str]:
        return {}

    def stats(self, path: str) -> Stats:
        here = f"{self.root}/{path}"
        found = Stats()
        used = number(read(f"{here}/memory.current"))
        idle = keyed(read(f"{here}/memory.stat")).get("inactive_file", 0)
        found.memory = None if used is None else max(0, used - idle)
        found.memory_limit = number(read(f"{here}/memory.max"))
        usage = keyed(read(f"{here}/cpu.stat")).get("usage_usec")
        found.cpu_ns = None if usage is None else usage * 1000
        found.pids = number(read(f"{here}/pids.current"))
        found.pids_limit = number(read(f"{here}/pids.max"))
        found.oom_kills = self.oom_kills(path)
        return found

    def oom_kills(self, path: str) -> int:
        return keyed(read(f"{self.root}/{path}/memory.events")).get("oom_kill", 0)


def limits_v2(resources: Resources) -> Iterable[tuple[str, str]]:
    """File and value for each limit, in the order in which the kernel takes them."""
    memory, cpu, pids = resources.get("memory", {}), resources.get("cpu", {}), resources.get("pids")
    if "reservation" in memory:
        yield "memory.low", str(memory["reservation"])
    if "limit" in memory:
        yield "memory.max", _or_max(memory["limit"])
    if "shares" in cpu:
        yield "cpu.weight", str(weight_of_shares(cpu["shares"]))
    if "quota" in cpu:
        yield "cpu.max", f"{_or_max(cpu['quota'])} {cpu.get('period', PERIOD)}"
    if "cpus" in cpu:
        yield "cpuset.cpus", cpu["cpus"]
    if pids:
        yield "pids.max", _or_max(pids["limit"])


def swap_v2(resources: Resources) -> str | None:
    """v2 counts swap alone, OCI memory and swap together."""
    memory = resources.get("memory", {})
    if "swap" not in memory or "limit" not in memory:
        return None
    return "max" if memory["swap"] < 0 else str(max(0, memory["swap"] - memory["limit"]))


def weight_of_shares(shares: int) -> int:
    """[2, 262144] to [1, 10000], as the OCI runtimes do (crun.1, cgroup v2)."""
    return 1 + (min(max(shares, 2), 262144) - 2) * 9999 // 262142


def driver() -> Driver:
    """The one driver of this machine, from /proc/self/mountinfo."""
    global _driver
    if _driver is None:
        _driver = detect(read("/proc/self/mountinfo"))
    return _driver


_driver: Driver | None = None


def detect(mountinfo: str) -> Driver:
    roots: dict[str, str] = {}
    unified: str | None = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.partition(" ")
        where = before.split(" ")[4]
        if kind == "cgroup2":
            unified = unified or where
        elif kind == "cgroup":
            found = options.split(" ")[-1].split(",")
            roots.update({c: where for c in _USED_V1 if c in found})
            if "freezer" in found:
                roots["freezer"] = where
    if unified and not roots.get("memory") and not roots.get("cpu"):
        return V2(unified)
    if unified:
        roots.pop("freezer", None)  # cgroup.kill and cgroup.freeze of the unified hierarchy are better
    if not roots:
        raise OSError(errno.ENOTSUP, "no cgroup hierarchy is mounted", "/sys/fs/cgroup")
    return V1(roots, unified)


def write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
    finally:
        os.close(fd)


def _try_write(path: str, text: str) -> None:
    with contextlib.suppress(OSError):
        write(path, text)


def read(path: str) -> str:
    """The text, or "" where there is no such file."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isdigit() else None


def keyed(text: str) -> dict[str, int]:
    pairs = (line.split(" ") for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _numbers(path: str) -> list[int]:
    return [int(line) for line in read(path).split()]


def _or_max(value: int) -> str:
    return "max" if value <= 0 else str(value)


def _check(path: str) -> None:
    parts = path.split("/")
    if not path or ".." in parts or "" in parts:
        raise OSError(errno.EINVAL, "not a cgroup path", path)


def _rmdir_tree(directory: str) -> bool:
    """Cgroups go leaf by leaf. True once it is gone."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    _rmdir_tree(entry.path)
        return not os.path.isdir(directory)
    return True
