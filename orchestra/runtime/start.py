"""Start a container: `start` runs in a child of the keeper's (the starter), with the host's rights."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import signal
import socket
import struct

from . import capabilities, cgroups, enter, service, syscalls, sysctls
from .failure import StartError, sentence, step
from .prepared import Prepared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.keeping import Unmapped
    from orchestra.wire.spec import Process, Spec

OOM_SCORE_APART = 100
"""A tenth of the machine's memory: more than keeper and supervisor ever use."""
LARGEST_OOM_SCORE = 1000


def start(
    spec: Spec, stdin: int, stdout: int, stderr: int, terminal_out: socket.socket | int | None = None
) -> tuple[int, list[Unmapped]]:
    """The host's pid of the container's pid 1, once the service's program runs, and the binds that have no idmap.

    Raises StartError when it does not come to that; then nothing is left of the attempt. Either way this process is
    in its own network namespace again, with more open than before.
    """
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _start(spec, stdin, stdout, stderr, descriptor(terminal_out))
    finally:
        syscalls.setns(home, syscalls.CLONE_NEWNET)
        os.close(home)


def _start(spec: Spec, stdin: int, stdout: int, stderr: int, terminal_out: int) -> tuple[int, list[Unmapped]]:
    gc.disable()
    os.umask(0o022)  # folders made for the container are for all of its users, whatever the keeper's umask
    path = spec["linux"]["cgroupsPath"]
    driver = cgroups.driver()
    with step("cgroup"):
        if driver.exists(path):
            # Of the run before: its counters (of kills for want of memory, say) are not this run's. Refused while
            # somebody lives in it, and outside of what a failure below would kill.
            driver.remove(path, patience=1.0)
    try:
        with step("cgroup"):
            driver.create(path, spec["linux"]["resources"])
        prepared = Prepared(spec)
        with step("sysctl"):
            sysctls.write(spec["linux"]["sysctl"], prepared.network, prepared.base, prepared.size)
        with step("start"):
            pid = _Start(prepared, driver, path).run(stdin, stdout, stderr, terminal_out)
        return pid, prepared.unmapped()
    except BaseException:
        with contextlib.suppress(OSError):
            driver.kill(path)
            driver.remove(path)
        raise


def descriptor(terminal_out: socket.socket | int | None) -> int:
    if terminal_out is None:
        return -1
    return terminal_out if isinstance(terminal_out, int) else terminal_out.fileno()


class _Start:
    def __init__(self, prepared: Prepared, driver: cgroups.Driver, path: str) -> None:
        self.prepared = prepared
        self.driver = driver
        self.path = path

    def run(self, stdin: int, stdout: int, stderr: int, terminal_out: int) -> int:
        heard, report = os.pipe()
        go, self._go = os.pipe()
        verdict, self._verdict = os.pipe()
        usher = os.fork()
        if usher == 0:
            os.close(self._go)
            os.close(self._verdict)
            enter.usher(self.prepared, enter.Streams(stdin, stdout, stderr, terminal_out, report, go), verdict)
        for fd in (report, go, verdict):
            os.close(fd)
        pid = 0
        try:
            pid = read_birth(heard)
            self._welcome(pid, heard)
            read_verdict(heard, self.prepared.spec["process"])
        except BaseException:
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.write(self._verdict, b"r")
            raise
        finally:
            for fd in (self._go, self._verdict, heard):
                os.close(fd)
            os.waitpid(usher, 0)
        return pid

    def _welcome(self, pid: int, heard: int) -> None:
        """What only the host may do to pid 1, done while it mounts: on v1 each attach waits for a grace period."""
        process = self.prepared.spec["process"]
        try:
            with step("cgroup"):
                self.driver.attach(self.path, pid)
            set_rlimits(pid, process)
            set_oom_score(pid, process)
            with step("sysctl"):
                sysctls.write_ipc(self.prepared.spec["linux"]["sysctl"], pid, self.prepared.base)
        except StartError as error:
            if error.errno == errno.ESRCH:
                read_verdict(heard, process)  # pid 1 is gone, and has said why
            raise
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go, b"g")


def set_rlimits(pid: int, process: Process) -> None:
    """As asked for, or as high as the host has the hard ones: only SYS_RESOURCE may go beyond."""
    for limit in process["rlimits"]:
        kind = getattr(resource, limit["type"], None)
        if kind == resource.RLIMIT_NOFILE:
            continue  # the process does that itself, late: see service.limit_open_files
        try:
            if kind is None:
                raise ValueError
            try:
                resource.prlimit(pid, kind, (service.infinite(limit["soft"]), service.infinite(limit["hard"])))
            except PermissionError:
                resource.prlimit(pid, kind, service.at_most(resource.prlimit(pid, kind)[1], limit))
        except ProcessLookupError as error:
            raise StartError("rlimit", errno.ESRCH, sentence(error)) from error
        except (OSError, ValueError) as error:
            what = f"cannot set {limit['type']} to {limit['soft']}:{limit['hard']}"
            raise StartError("rlimit", errno.EINVAL, what) from error


def set_oom_score(pid: int | str, process: Process) -> None:
    """As asked for; else such that the kernel takes a container before keeper and supervisor (proc(5))."""
    with step("oom_score_adj"):
        score = process.get("oomScoreAdj")
        if score is None:
            score = 0 if _may_be_protected() else _above_ours()
        try:
            cgroups.write(f"/proc/{pid}/oom_score_adj", str(score))
        except PermissionError as error:
            if score:  # 0 asks for nothing: what the keeper was given, it cannot take back without SYS_RESOURCE
                least = cgroups.read(f"/proc/{pid}/oom_score_adj").strip()
                what = (
                    f"oom_score_adj {score} cannot be set: less than {least} takes CAP_SYS_RESOURCE, "
                    "which orchestra was not given here"
                )
                raise StartError("oom_score_adj", errno.EACCES, what) from error


def _may_be_protected() -> bool:
    """Whether the keeper could lower its own (capabilities(7), CAP_SYS_RESOURCE)."""
    _, _, rest = cgroups.read("/proc/self/status").partition("\nCapEff:")
    return bool(capabilities.mask(["CAP_SYS_RESOURCE"]) & int(rest.split(None, 1)[0], 16))


def _above_ours() -> int:
    return min(int(cgroups.read("/proc/self/oom_score_adj")) + OOM_SCORE_APART, LARGEST_OOM_SCORE)


def read_birth(heard: int) -> int:
    """The usher's first word: the pid of pid 1, or why there is none."""
    first = os.read(heard, 5)
    if first[:1] == enter.BORN:
        return int(struct.unpack("i", first[1:])[0])
    if first[:1] == enter.FAILED:
        raise StartError.decode(first[1:] + _until_end(heard))
    raise StartError("start", 0, "the process that makes the container ended early")


def read_verdict(heard: int, process: Process) -> None:
    """Returns once the program runs: its exec closes the pipe, after READY was said."""
    said = _until_end(heard)
    ready = said.startswith(service.READY)
    said = said.removeprefix(service.READY)
    if said[:1] == enter.FAILED:
        raise StartError.decode(said[1:])
    if said[:1] == enter.INIT_FAILED:
        code = struct.unpack("<i", said[1:5])[0]
        raise service.exec_error(process["args"][0], OSError(code, os.strerror(code)))
    if not ready:
        raise StartError("start", 0, "the container's first process was killed before its program ran")


def _until_end(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 65536):
        parts.append(part)
    return b"".join(parts)
