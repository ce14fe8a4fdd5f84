"""Run a process in a running container: exec, health checks, copies. `join` runs in a child of the keeper's.

It enters by pidfd, so a pid that the kernel gave to somebody else meanwhile cannot be hit, forks once (that child is
in the pid namespace), and is not dumpable before its exec: see Note [Not dumpable] in enter.py.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import socket
import struct

from . import cgroups, enter, prepared, service, start, watcher
from . import syscalls as s
from .failure import StartError, step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import Process

_CREDENTIALS = struct.Struct("3i")
_NAMESPACES = {
    "user": s.CLONE_NEWUSER,
    "mnt": s.CLONE_NEWNS,
    "pid": s.CLONE_NEWPID,
    "uts": s.CLONE_NEWUTS,
    "ipc": s.CLONE_NEWIPC,
    "net": s.CLONE_NEWNET,
    "cgroup": s.CLONE_NEWCGROUP,
    "time": s.CLONE_NEWTIME,
}


def join(
    pid: int,
    start_time: int,
    process: Process,
    seccomp_path: str,
    cgroup_path: str,
    stdin: int,
    stdout: int,
    stderr: int,
    terminal_out: socket.socket | int | None = None,
    clean_after: float = 0.0,
) -> int:
    """The host's pid of the new process, once its program runs. Raises StartError when it does not come to that.

    With `clean_after`, seconds that it may take, the pid is that of its `watcher`, which leaves nothing of it behind.
    """
    gc.disable()
    with step("join"):
        filters = prepared.read_filters(seccomp_path)
        container = open_process(pid, start_time)
        doors = cgroups.driver().open_attach(cgroup_path)
        # Inherited by the child; after joining, /proc is the container's.
        start.set_oom_score("self", process)
        heard, report = os.pipe()
        let_go, go = socket.socketpair()
        let_go.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        service.blank_command_line()
        s.prctl(s.PR_SET_DUMPABLE, 0)
        enter_namespaces(container, pid)
        streams = enter.Streams(stdin, stdout, stderr, start.descriptor(terminal_out), report, go.fileno())
        child = os.fork()
        if child == 0:
            let_go.close()
            if clean_after:
                watcher.fork_below(clean_after, report)
            _visitor(process, filters, streams)
        os.close(report)
        go.close()
        _see_off(child, process, doors, let_go, heard)
        return child


def _see_off(child: int, process: Process, doors: list[int], let_go: socket.socket, heard: int) -> None:
    visitor = 0
    try:
        visitor = _pid_of_peer(let_go)
        with step("cgroup"):
            for door in doors:
                os.write(door, str(visitor).encode())
        start.set_rlimits(visitor, process)
        with contextlib.suppress(BrokenPipeError):
            let_go.send(b"g")
        start.read_verdict(heard, process)
    except BaseException as error:
        let_go.close()  # a visitor that waits for a word ends
        if visitor == child:  # another one's pid may be somebody else's by now
            os.kill(visitor, signal.SIGKILL)
        os.waitpid(child, 0)
        if isinstance(error, StartError) and error.errno == errno.ESRCH:
            start.read_verdict(heard, process)  # the child is gone, and has said why
        raise


def _pid_of_peer(channel: socket.socket) -> int:
    """Of who has sent its first word, as we count (SO_PASSCRED, unix(7)): a child may have forked another."""
    said, sent, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
    if not said:
        raise StartError("join", errno.ESRCH, "the process ended before it was in the container")
    return int(_CREDENTIALS.unpack(sent[0][2])[0])


def open_process(pid: int, start_time: int) -> int:
    """A pidfd of exactly that process: the start time is read once the pidfd holds it."""
    with step("join", f"process {pid}"):
        fd = os.pidfd_open(pid)
        if start_time_of(pid) != start_time:
            os.close(fd)
            raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
        return fd


def start_time_of(pid: int) -> int:
    """Field 22 of /proc/PID/stat, in clock ticks after boot (proc_pid_stat(5)); -1 when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b") ")[2].split()[19])
    except OSError:
        return -1


def enter_namespaces(container: int, pid: int) -> None:
    """All that differ from ours, in one call. Afterwards we are root inside, and nobody outside."""
    kinds = 0
    for name, kind in _NAMESPACES.items():
        theirs, ours = (os.stat(f"/proc/{who}/ns/{name}").st_ino for who in (pid, "self"))
        kinds |= kind if theirs != ours else 0
    s.setns(container, kinds)
    if kinds & s.CLONE_NEWUSER:
        enter.become_root_inside()


def _visitor(process: Process, filters: list[bytes], streams: enter.Streams) -> None:
    pipe = streams.report
    try:
        service.forget_the_past()
        os.write(streams.go, b"h")
        console = -1
        if process["terminal"]:
            root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            with step("terminal"):
                console = enter.open_terminal(root, streams.terminal_out)
        if os.read(streams.go, 1) != b"g":
            os._exit(1)
        if console >= 0:
            enter.take_terminal(console)
        else:
            service.standard_streams(streams.stdin, streams.stdout, streams.stderr)
        service.close_all_but(pipe)
        pipe = service.REPORT
        who = service.become(process, filters)
        env = service.environment(process, who)
        os.write(pipe, service.READY)
        raise service.execute(process, env)
    except BaseException as error:  # noqa: BLE001 - nothing may unwind into the joiner's own frames
        enter.report(pipe, error)
    os._exit(1)
