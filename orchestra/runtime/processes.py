"""The processes of a container as /proc tells them (proc_pid_stat(5), proc_pid_status(5)), and what holds them.

Everything read here may be forged by who is inside but for numbers: names and command lines are for showing.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterable

from ..values import dataclass
from .capabilities import names_in
from .failure import StartError
from .identity import read_inside

LONGEST = 1 << 16
"""Bytes of a file that are read; a command line may be megabytes long."""
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PTS = range(136, 144)  # majors of pseudo-terminals (admin-guide/devices.txt)


@dataclass(frozen=True, slots=True)
class Process:
    pid: int  # as the host counts
    inside: int  # as the container counts
    parent: int  # as the host counts
    user: str  # a name of the container's, or a number
    cpu: float  # seconds of processor time
    started: float  # seconds after boot
    memory: int  # bytes, resident
    terminal: str  # "?" without one
    command: str


def processes(pids: Iterable[int], base: int, size: int) -> list[Process]:
    """Those of a container whose ids begin at `base` on the host, by pid; who has ended meanwhile is left out."""
    names: dict[int, str] | None = None
    found = []
    for pid in sorted(pids):
        status, fields = _keyed(f"/proc/{pid}/status"), _stat(pid)
        if not fields or "Uid" not in status or fields[0] == "X":
            continue
        if names is None:
            names = _users(pid)
        uid = int(status["Uid"].split()[1]) - base
        numbers = [int(number) for number in status.get("NSpid", str(pid)).split()]
        found.append(
            Process(
                pid=pid,
                inside=numbers[1] if len(numbers) > 1 else numbers[0],
                parent=int(fields[1]),
                user=names.get(uid, str(uid)) if 0 <= uid < size else "?",
                cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
                started=int(fields[19]) / _TICKS,
                memory=int(fields[21]) * _PAGE,
                terminal=_terminal(int(fields[4])),
                command=_command(pid) or f"[{status['Name']}]",
            )
        )
    return found


def _keyed(path: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in _text(path).splitlines())
    return {key: value.strip() for key, _, value in pairs}


def _text(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """From the state (third field) on."""
    return _text(f"/proc/{pid}/stat").rpartition(") ")[2].split()


def _command(pid: int) -> str:
    return _text(f"/proc/{pid}/cmdline").rstrip("\0").replace("\0", " ")


def _terminal(number: int) -> str:
    major, minor = os.major(number), os.minor(number)
    return f"pts/{(major - _PTS[0]) * 256 + minor}" if major in _PTS else "?" if number == 0 else f"{major}:{minor}"


def _users(pid: int) -> dict[int, str]:
    """Names by number, of the container's own passwd."""
    found: dict[int, str] = {}
    with contextlib.suppress(OSError, StartError):
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for line in read_inside(root, "etc/passwd").splitlines():
                fields = line.split(":")
                if len(fields) > 2 and fields[2].isdigit() and len(fields[2]) < 11:
                    found.setdefault(int(fields[2]), fields[0][:32])
        finally:
            os.close(root)
    return found


def namespaces(pid: int) -> dict[str, int]:
    """Inode numbers of a process' namespaces (namespaces(7))."""
    found = {}
    for kind in NAMESPACES:
        with contextlib.suppress(OSError):
            found[kind] = os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    return found


def security(pid: int) -> dict[str, object]:
    """What the kernel lets a process do: capabilities by name, system call filters, new privileges, id maps."""
    status = _keyed(f"/proc/{pid}/status")
    if "CapEff" not in status:
        return {}
    kinds = {"Effective": "CapEff", "Permitted": "CapPrm", "Bounding": "CapBnd", "Inheritable": "CapInh"}
    return {
        "Capabilities": {kind: names_in(int(status[key], 16)) for kind, key in kinds.items()},
        "Seccomp": {"0": "off", "1": "strict", "2": "filter"}.get(status.get("Seccomp", ""), "unknown"),
        "SeccompFilters": int(status.get("Seccomp_filters", "0")),
        "NoNewPrivileges": status.get("NoNewPrivs") == "1",
        "UidMap": [list(map(int, line.split())) for line in _text(f"/proc/{pid}/uid_map").splitlines()],
        "GidMap": [list(map(int, line.split())) for line in _text(f"/proc/{pid}/gid_map").splitlines()],
        "OomScoreAdj": int(_text(f"/proc/{pid}/oom_score_adj") or 0),
    }


def rlimits(pid: int) -> dict[str, list[int]]:
    """Soft and hard, -1 for none, of a process (getrlimit(2))."""
    found = {}
    for name in sorted(vars(resource)):
        if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE":
            with contextlib.suppress(OSError):
                soft, hard = resource.prlimit(pid, getattr(resource, name))
                found[name.removeprefix("RLIMIT_").lower()] = [soft, hard]
    return found


def mounts(pid: int) -> list[dict[str, str]]:
    """What is mounted inside, in order (proc_pid_mountinfo(5)); paths of the host are not among it."""
    found = []
    for line in _text(f"/proc/{pid}/mountinfo").splitlines():
        fields, _, rest = line.partition(" - ")
        words, kinds = fields.split(), rest.split()
        if len(words) > 5 and kinds:
            found.append({"Target": words[4], "Type": kinds[0], "Options": words[5]})
    return found


def inode(pin: str) -> int | None:
    """Of the namespace that is pinned there."""
    try:
        return os.stat(pin).st_ino
    except OSError:
        return None
