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
from collections.abc import Iterable, Mapping

from orchestra.errors import is_exhausted

from . import blockio, device_filter
from .failure import StartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import Resources

_FREEZING = 2.0
PERIOD = 100_000  # microseconds, as docker: 0.5 cpus are a quota of 50000
_USED_V1 = ("memory", "cpu", "cpuacct", "pids", "devices", "cpuset", "blkio")
_FOREVER = 1 << 60  # what v1 says for no limit of memory is a little less than 2^63


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
        # Each hierarchy more is a wait more at each start: disks are counted apart only where they are limited.
        spared = None if resources.get("blockIO") else self.roots.get("blkio")
        for directory in self.directories(path):
            if directory != f"{spared}/{path}":
                _make(directory)
        self.limit(path, resources)

    def limit(self, path: str, resources: Resources) -> None:
        """Set what `resources` names, also while processes are inside: memory -1 and cpus "" lift a limit, shares 0
        are the kernel's own. Raises StartError in words for what the kernel refuses.

        Weights are left out where no scheduler knows them: `held` tells what is in force.
        """
        try:
            self._limit(path, resources)
        except OSError as error:
            raise StartError("cgroup", error.errno or 0, _refusal(error, resources)) from None

    def _limit(self, path: str, resources: Resources) -> None:
        raise NotImplementedError

    def held(self, path: str) -> Resources:
        """The limits that are in force, as the kernel tells them; what it has no file for is not named."""
        raise NotImplementedError

    def attach(self, path: str, pid: int) -> None:
        for directory in self._made(path):
            write(f"{directory}/cgroup.procs", str(pid))

    def _made(self, path: str) -> list[str]:
        return [directory for directory in self.directories(path) if os.path.isdir(directory)]

    def open_attach(self, path: str) -> list[int]:
        """Descriptors that a process writes pids to after it gave up its own rights: the opener's count."""
        return [os.open(f"{d}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for d in self._made(path)]

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

    def freeze(self, path: str) -> None:
        """Stop everything inside where it is. Returns once the kernel says so, at the latest after `_FREEZING`."""
        self._set_frozen(path, True)
        deadline = time.monotonic() + _FREEZING
        try:
            while not self.frozen(path):
                if time.monotonic() > deadline:
                    raise OSError(errno.EBUSY, "a process that waits for a disk does not stop", path)
                time.sleep(0.001)
        except OSError:
            self._set_frozen(path, False)
            raise

    def thaw(self, path: str) -> None:
        self._set_frozen(path, False)

    def _set_frozen(self, path: str, frozen: bool) -> None:
        if self.unified:
            write(f"{self.unified}/{path}/cgroup.freeze", "1" if frozen else "0")
        elif freezer := self.roots.get("freezer"):
            write(f"{freezer}/{path}/freezer.state", "FROZEN" if frozen else "THAWED")
        else:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), "cgroup controller freezer")

    def frozen(self, path: str) -> bool:
        if self.unified:
            return "frozen 1" in read(f"{self.unified}/{path}/cgroup.events")
        freezer = self.roots.get("freezer")
        return bool(freezer) and read(f"{freezer}/{path}/freezer.state").strip() == "FROZEN"

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

    def oom_kills(self, path: str) -> int:
        raise NotImplementedError


class V1(Driver):
    """Controllers in hierarchies of their own, with the unified one beside them where it is mounted."""

    def create(self, path: str, resources: Resources) -> None:
        super().create(path, resources)
        if "cpuset" in self.roots:
            self._cpuset(path, resources.get("cpu", {}).get("cpus", ""))
        if "devices" in self.roots:
            self._set("devices", path, "devices.deny", "a")
            for rule in device_filter.RULES:
                self._set("devices", path, "devices.allow", rule)

    def _limit(self, path: str, resources: Resources) -> None:
        memory, cpu, pids = resources.get("memory", {}), resources.get("cpu", {}), resources.get("pids")
        if "limit" in memory:
            self._limit_memory(path, memory["limit"], memory.get("swap", -1))
        if "reservation" in memory:
            self._set("memory", path, "memory.soft_limit_in_bytes", memory["reservation"])
        if "shares" in cpu:
            self._set("cpu", path, "cpu.shares", cpu["shares"] or 1024)
        if "quota" in cpu:
            # Without a quota in between: the kernel compares each of the two with what it has of the other.
            self._set("cpu", path, "cpu.cfs_quota_us", -1)
            self._set("cpu", path, "cpu.cfs_period_us", cpu.get("period", PERIOD))
            self._set("cpu", path, "cpu.cfs_quota_us", cpu["quota"])
        if pids:
            self._set("pids", path, "pids.max", _or_max(pids["limit"]))
        if "cpus" in cpu:
            above = self._file("cpuset", os.path.dirname(path), "cpuset.cpus")
            self._cpuset(path, cpu["cpus"] or read(above).strip())
        asked = resources.get("blockIO", {})
        for file, line in blockio.rates_v1(asked):
            self._set("blkio", path, file, line)
        if weight := self._weight_file(path):
            for file, line in blockio.weights(asked, weight):
                self._set("blkio", path, file, line)

    def _limit_memory(self, path: str, limit: int, swap: int) -> None:
        # The kernel takes no limit above that of memory and swap together: raise that one first, lower it last.
        together = self._file("memory", path, "memory.memsw.limit_in_bytes")  # not there without swap accounting
        now = number(read(together))
        if now is not None and (swap < 0 or swap > now):
            write(together, str(swap))
            now = None
        self._set("memory", path, "memory.limit_in_bytes", limit)
        if now is not None:
            write(together, str(swap))

    def _weight_file(self, path: str) -> str | None:
        mount = self.roots.get("blkio")
        return next((f for f in blockio.WEIGHTS_V1 if mount and os.path.exists(f"{mount}/{path}/{f}")), None)

    def held(self, path: str) -> Resources:
        found: dict[str, dict[str, int | str | list[str]]] = {"memory": {}, "cpu": {}, "pids": {}, "blockIO": {}}
        for part, key, controller, file in (
            ("memory", "limit", "memory", "memory.limit_in_bytes"),
            ("memory", "swap", "memory", "memory.memsw.limit_in_bytes"),
            ("memory", "reservation", "memory", "memory.soft_limit_in_bytes"),
            ("cpu", "shares", "cpu", "cpu.shares"),
            ("cpu", "quota", "cpu", "cpu.cfs_quota_us"),
            ("cpu", "period", "cpu", "cpu.cfs_period_us"),
            ("pids", "limit", "pids", "pids.max"),
        ):
            if text := self._read(controller, path, file).strip():
                value = number(text)
                found[part][key] = -1 if value is None or (part == "memory" and value > _FOREVER) else value
        if cpus := self._read("cpuset", path, "cpuset.cpus").strip():
            found["cpu"]["cpus"] = cpus
        if weight := self._weight_file(path):
            found["blockIO"]["weight"] = number(self._read("blkio", path, weight)) or 0
        for key, file in blockio.FILES_V1.items():
            if os.path.exists(f"{self.roots.get('blkio')}/{path}/{file}"):
                found["blockIO"][key] = self._read("blkio", path, file).splitlines()
        return found  # type: ignore[return-value]

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

    def _limit(self, path: str, resources: Resources) -> None:
        here = f"{self.root}/{path}"
        self._make_room(here, resources.get("memory", {}).get("limit", -1))
        for name, value in limits_v2(resources):
            write(f"{here}/{name}", value)
        swap = swap_v2(resources)
        if swap is not None and os.path.exists(f"{here}/memory.swap.max"):  # not there on a kernel without swap
            write(f"{here}/memory.swap.max", swap)
        for file in blockio.WEIGHTS_V2:
            if os.path.exists(f"{here}/{file}"):
                for name, line in blockio.weights(resources.get("blockIO", {}), file):
                    write(f"{here}/{name}", line)

    def _make_room(self, here: str, limit: int) -> None:
        """A limit below what is in use makes v2 kill where v1 refuses: take back what can be, then refuse as well."""
        used = number(read(f"{here}/memory.current")) or 0
        if limit <= 0 or used <= limit:
            return
        _try_write(f"{here}/memory.reclaim", str(used - limit))  # since Linux 5.19
        if (number(read(f"{here}/memory.current")) or 0) > limit:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), f"{here}/memory.max")

    def held(self, path: str) -> Resources:
        here = f"{self.root}/{path}"
        found: dict[str, dict[str, int | str | list[str]]] = {"memory": {}, "cpu": {}, "pids": {}, "blockIO": {}}
        for part, key, file in (
            ("memory", "limit", "memory.max"),
            ("memory", "reservation", "memory.low"),
            ("memory", "swap", "memory.swap.max"),
            ("pids", "limit", "pids.max"),
        ):
            if text := read(f"{here}/{file}").strip():
                found[part][key] = -1 if text == "max" else int(text)
        both = found["memory"]
        if isinstance(both.get("swap"), int) and both["swap"] != -1 and both["limit"] != -1:
            both["swap"] = int(str(both["swap"])) + int(str(both["limit"]))  # together, as OCI counts
        if weight := number(read(f"{here}/cpu.weight")):
            found["cpu"]["shares"] = shares_of_weight(weight)
        if quota := read(f"{here}/cpu.max").split():
            found["cpu"].update(quota=-1 if quota[0] == "max" else int(quota[0]), period=int(quota[1]))
        if cpus := read(f"{here}/cpuset.cpus.effective").strip():
            found["cpu"]["cpus"] = read(f"{here}/cpuset.cpus").strip() or cpus
        for file in blockio.WEIGHTS_V2:
            if text := read(f"{here}/{file}"):
                found["blockIO"]["weight"] = int(text.split()[1])
        if os.path.exists(f"{here}/io.max"):
            lines = read(f"{here}/io.max").splitlines()
            found["blockIO"].update(dict.fromkeys(blockio.FILES_V1, lines))
        return found  # type: ignore[return-value]

    def shown(self) -> dict[str, str]:
        return {}

    def oom_kills(self, path: str) -> int:
        return keyed(read(f"{self.root}/{path}/memory.events")).get("oom_kill", 0)


def limits_v2(resources: Resources) -> Iterable[tuple[str, str]]:
    """File and value for each limit, in the order in which the kernel takes them."""
    memory, cpu, pids = resources.get("memory", {}), resources.get("cpu", {}), resources.get("pids")
    if "reservation" in memory:
        yield "memory.low", str(max(0, memory["reservation"]))
    if "limit" in memory:
        yield "memory.max", _or_max(memory["limit"])
    if "shares" in cpu:
        yield "cpu.weight", str(weight_of_shares(cpu["shares"]) if cpu["shares"] else 100)
    if "quota" in cpu:
        yield "cpu.max", f"{_or_max(cpu['quota'])} {cpu.get('period', PERIOD)}"
    if "cpus" in cpu:
        yield "cpuset.cpus", cpu["cpus"]
    if pids:
        yield "pids.max", _or_max(pids["limit"])
    yield from blockio.rates_v2(resources.get("blockIO", {}))


def swap_v2(resources: Resources) -> str | None:
    """v2 counts swap alone, OCI memory and swap together."""
    memory = resources.get("memory", {})
    if "swap" not in memory or "limit" not in memory:
        return None
    return "max" if memory["swap"] < 0 else str(max(0, memory["swap"] - memory["limit"]))


def weight_of_shares(shares: int) -> int:
    """[2, 262144] to [1, 10000], as the OCI runtimes do (crun.1, cgroup v2)."""
    return 1 + (min(max(shares, 2), 262144) - 2) * 9999 // 262142


def shares_of_weight(weight: int) -> int:
    """The least shares of which that is the weight."""
    return 2 + -(-(weight - 1) * 262142 // 9999)


def some_disk_weighs() -> bool:
    """Whether any disk has a scheduler that knows weights: bfq alone does (bfq-iosched.rst), or io.cost (v2)."""
    with contextlib.suppress(OSError):
        for disk in os.listdir("/sys/block"):
            if "[bfq]" in read(f"/sys/block/{disk}/queue/scheduler"):
                return True
    return "enable=1" in read("/sys/fs/cgroup/io.cost.qos")


def lacking(asked: Resources, held: Resources) -> list[str]:
    """What was asked for and the kernel has no word for: "memory.swap", "blockIO.weight"."""
    wanted: Mapping[str, Mapping[str, object]] = asked  # type: ignore[assignment]
    known: Mapping[str, Mapping[str, object]] = held  # type: ignore[assignment]
    return [f"{part}.{key}" for part, its in wanted.items() for key in its if key not in known.get(part, {})]


def _refusal(error: OSError, resources: Resources) -> str:
    """Why a limit cannot be set, in words of what was asked for."""
    file = os.path.basename(str(error.filename))
    memory, cpus = resources.get("memory", {}).get("limit"), resources.get("cpu", {}).get("cpus")
    if error.errno == errno.ENOTSUP:
        return f"this machine has no {error.filename}"
    if error.errno == errno.ENOENT:
        return f"the kernel has no {file}"
    if error.errno == errno.EBUSY and file.startswith("memory."):
        return f"memory cannot be limited to {memory} bytes: more is in use"
    if file == "cpuset.cpus":
        here = read("/sys/devices/system/cpu/online").strip()
        return f"cpuset {cpus} cannot be set: this machine has processors {here}"
    if error.errno == errno.ENODEV:
        return "blkio_config names a device that is no whole disk (a partition has no limit of its own)"
    return f"{file} cannot be set: {os.strerror(error.errno or 0)}"


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


def _make(directory: str) -> None:
    try:
        os.mkdir(directory, 0o755)
    except FileExistsError:
        pass
    except FileNotFoundError:  # the first container of its stack
        os.makedirs(directory, 0o755, exist_ok=True)


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
    """The text, or "" where there is no such file. Raises OSError where nobody can look."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if is_exhausted(error):
            raise
        return ""
    parts = []
    try:
        while part := os.read(fd, 65536):
            parts.append(part)
    except OSError as error:
        if is_exhausted(error):
            raise
        return ""
    finally:
        os.close(fd)
    return b"".join(parts).decode("ascii", "replace")


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
