"""What one container uses: processor, memory, processes, block devices, and how long its tasks waited for them.

Read from the files of its cgroup, a few microseconds each; nothing is kept open, so nothing outlives a container.
v2: cgroup-v2.rst, "Interface Files" of cpu, memory, pids and io. v1: cgroup-v1/{memory,cpuacct,pids,
blkio-controller}.rst and sched-bwc.rst. Pressure (accounting/psi.rst) is in the unified hierarchy on both.
"""

from __future__ import annotations

import os

from orchestra.errors import is_exhausted

from ..values import dataclass
from .cgroups import V2, Driver

LARGEST = 16384
"""Bytes of a file that are read: the longest, memory.stat, has some 3000."""
NO_LIMIT = 1 << 60
"""A v1 memory limit above this is none (it says so with the largest multiple of a page)."""


@dataclass(frozen=True, slots=True)
class Use:
    """Seconds, bytes, processes, cores; pressure in per cent ("some", over ten seconds). None: nobody counts it."""

    cpu: float | None
    cpu_limit: float | None
    throttled_periods: int | None
    throttled: float | None
    memory: int | None
    working_set: int | None
    memory_limit: int | None
    memory_peak: int | None
    oom_kills: int
    pids: int | None
    pids_limit: int | None
    read: int | None
    written: int | None
    pressure_cpu: float | None
    pressure_memory: float | None
    pressure_io: float | None


def usage(driver: Driver, path: str) -> Use | None:
    """None where there is no such cgroup (any more)."""
    if isinstance(driver, V2):
        return _from_v2(f"{driver.root}/{path}")
    return _from_v1(driver.roots, path, f"{driver.unified}/{path}" if driver.unified else "")


def _from_v2(here: str) -> Use | None:
    cpu = _keyed(_text(f"{here}/cpu.stat"))
    if not cpu:
        return None
    memory = _number(_text(f"{here}/memory.current"))
    quota, _, period = _text(f"{here}/cpu.max").partition(b" ")
    throttled = cpu.get(b"throttled_usec")
    read, written = _device_bytes_v2(_text(f"{here}/io.stat"))
    return Use(
        cpu=cpu[b"usage_usec"] / 1e6,
        cpu_limit=int(quota) / int(period) if quota.isdigit() else None,
        throttled_periods=cpu.get(b"nr_throttled"),
        throttled=None if throttled is None else throttled / 1e6,
        memory=memory,
        working_set=_without_idle(memory, _text(f"{here}/memory.stat"), b"\ninactive_file "),
        memory_limit=_number(_text(f"{here}/memory.max")),
        memory_peak=_number(_text(f"{here}/memory.peak")),
        oom_kills=_keyed(_text(f"{here}/memory.events")).get(b"oom_kill", 0),
        pids=_number(_text(f"{here}/pids.current")),
        pids_limit=_number(_text(f"{here}/pids.max")),
        read=read,
        written=written,
        pressure_cpu=_pressure(_text(f"{here}/cpu.pressure")),
        pressure_memory=_pressure(_text(f"{here}/memory.pressure")),
        pressure_io=_pressure(_text(f"{here}/io.pressure")),
    )


def _from_v1(roots: dict[str, str], path: str, unified: str) -> Use | None:
    def of(controller: str, name: str) -> bytes:
        root = roots.get(controller)
        return _text(f"{root}/{path}/{name}") if root else b""

    usage = _number(of("cpuacct", "cpuacct.usage"))
    memory = _number(of("memory", "memory.usage_in_bytes"))
    if usage is None and memory is None:
        return None
    quota, period = _number(of("cpu", "cpu.cfs_quota_us")), _number(of("cpu", "cpu.cfs_period_us"))
    bandwidth = _keyed(of("cpu", "cpu.stat"))
    throttled = bandwidth.get(b"throttled_time")
    limit = _number(of("memory", "memory.limit_in_bytes"))
    read, written = _device_bytes_v1(of("blkio", "blkio.throttle.io_service_bytes_recursive"))
    if read is None:
        read, written = _bytes_of_processes(f"{unified}/cgroup.procs")
    return Use(
        cpu=None if usage is None else usage / 1e9,
        cpu_limit=quota / period if quota and period else None,
        throttled_periods=bandwidth.get(b"nr_throttled"),
        throttled=None if throttled is None else throttled / 1e9,
        memory=memory,
        working_set=_without_idle(memory, of("memory", "memory.stat"), b"\ntotal_inactive_file "),
        memory_limit=limit if limit is not None and limit < NO_LIMIT else None,
        memory_peak=_number(of("memory", "memory.max_usage_in_bytes")),
        oom_kills=_keyed(of("memory", "memory.oom_control")).get(b"oom_kill", 0),
        pids=_number(of("pids", "pids.current")),
        pids_limit=_number(of("pids", "pids.max")),
        read=read,
        written=written,
        pressure_cpu=_pressure(_text(f"{unified}/cpu.pressure")),
        pressure_memory=_pressure(_text(f"{unified}/memory.pressure")),
        pressure_io=_pressure(_text(f"{unified}/io.pressure")),
    )


def _text(path: str) -> bytes:
    """The content, or nothing where there is no such file or the kernel does not tell. Raises OSError where nobody
    can look."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if is_exhausted(error):
            raise
        return b""
    try:
        return os.read(fd, LARGEST)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _number(text: bytes) -> int | None:
    text = text.strip()
    return int(text) if text.isdigit() else None


def _keyed(text: bytes) -> dict[bytes, int]:
    words = text.split()
    return {key: int(value) for key, value in zip(words[::2], words[1::2], strict=False) if value.isdigit()}


def _without_idle(memory: int | None, stat: bytes, key: bytes) -> int | None:
    """As kubelet and docker count it: what is charged, less the file pages that nobody has touched lately."""
    if memory is None:
        return None
    start = stat.find(key)
    idle = int(stat[start + len(key) : stat.find(b"\n", start + 1)]) if start >= 0 else 0
    return max(0, memory - idle)


def _pressure(text: bytes) -> float | None:
    """`some avg10=0.12 avg60=… avg300=… total=…`"""
    start = text.find(b"avg10=")
    return float(text[start + 6 : text.find(b" ", start)]) if start >= 0 else None


def _device_bytes_v2(text: bytes) -> tuple[int | None, int | None]:
    """`259:0 rbytes=90112 wbytes=0 rios=…`, a line for each device."""
    words = text.split()
    if not words:
        return (0, 0)
    read = sum(int(word[7:]) for word in words if word.startswith(b"rbytes="))
    return read, sum(int(word[7:]) for word in words if word.startswith(b"wbytes="))


def _device_bytes_v1(text: bytes) -> tuple[int | None, int | None]:
    """`259:0 Read 90112`, and other operations; the last line is `Total 90112`."""
    if not text:
        return (None, None)
    read = written = 0
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] == b"Read":
            read += int(words[2])
        elif len(words) == 3 and words[1] == b"Write":
            written += int(words[2])
    return read, written


def _bytes_of_processes(procs: str) -> tuple[int | None, int | None]:
    """Where the container is in no blkio cgroup: what its processes read and wrote, those that they have waited for
    included (proc_pid_io(5); a process that ended unwaited for is not in it)."""
    read = written = 0
    found = False
    for pid in _text(procs).split():
        text = _text(f"/proc/{int(pid)}/io")
        for line in text.splitlines():
            key, _, value = line.partition(b": ")
            if key == b"read_bytes":
                read += int(value)
                found = True
            elif key == b"write_bytes":
                written += int(value)
    return (read, written) if found else (None, None)
