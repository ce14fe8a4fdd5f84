"""Leaving whoever started the keeper: own session, nothing of theirs open, a name of its own, hard to kill."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import resource
import signal
import sys

from .. import ours
from ..places import Places
from .claim import make_data
from .process import PR_SET_CHILD_SUBREAPER, prctl
from .start import is_ours

MOST_OWN_LOG = 1 << 20
OOM_SCORE = "-900"
MOST_DESCRIPTORS = 1 << 16


def detach(places: Places) -> None:
    """For a process that has just been forked."""
    os.umask(0o077)
    with contextlib.suppress(PermissionError):  # leads a session already
        os.setsid()
    os.chdir("/")
    make_data(places)
    redirect(places.own_log)
    os.closerange(3, 1 << 20)
    allow_descriptors()
    ignored = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:  # whatever the caller had of them
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    protect()
    forget_environment()
    rename(f"orchestra-keeper {places.name}")


def forget_environment() -> None:
    """What else the caller has in its environment, tokens and passwords among it, is not kept for as long as the
    stack runs; not in the memory that /proc/PID/environ reads either (proc_pid_stat(5), env_start and env_end)."""
    for key, value in list(os.environ.items()):
        if is_ours(key):
            os.environ[key] = value  # a copy elsewhere (setenv(3))
        else:
            del os.environ[key]
    try:
        with open("/proc/self/stat", "rb") as stat:
            start, end = (int(field) for field in stat.read().rpartition(b")")[2].split()[47:49])
    except OSError:
        return
    room = end - start
    if room > 0:
        kept = b"".join(key + b"=" + value + b"\0" for key, value in os.environb.items())
        ctypes.memmove(start, kept[: room - 1].ljust(room, b"\0"), room)


class OwnLog(io.TextIOBase):
    """What keeper and supervisor say about themselves is lost where there is no room for it; they go on."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            os.write(2, text.encode(errors="backslashreplace"))
        return len(text)


def redirect(own_log: str) -> None:
    """Standard input from nowhere, output and errors to the log of orchestra itself."""
    nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.close(nothing)
    with contextlib.suppress(OSError):  # a disk without room for a file, or read-only
        write_to(own_log)
    # Whoever forked us may have put something else in their place.
    sys.stdout = sys.stderr = OwnLog()


def write_to(own_log: str) -> None:
    """Have 1 and 2 write there; what is large already makes room, so that two files of a bounded size remain.

    Raises OSError, with 1 and 2 as they were.
    """
    with contextlib.suppress(FileNotFoundError):
        if os.lstat(own_log).st_size > MOST_OWN_LOG:
            os.rename(own_log, own_log + ".1")
    log = ours.to_append(own_log)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def allow_descriptors() -> None:
    """For this process and its supervisor: the soft limit is mostly made for select(2), which is not used here.
    Containers get what their services ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def protect() -> None:
    """The kernel's out-of-memory killer should find others first (needs CAP_SYS_RESOURCE)."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(OOM_SCORE)
    except OSError:
        pass


def expose() -> None:
    """In a child: no better protected than any other process."""
    try:
        with open("/proc/self/oom_score_adj", "r+") as file:
            if int(file.read()) < 0:
                file.seek(0)
                file.write("0")
    except OSError:
        pass


def rename(title: str) -> None:
    """What ps and top show: the thread's name, and the memory that /proc/PID/cmdline reads (proc(5))."""
    try:
        with open("/proc/self/comm", "w") as file:
            file.write(title.split()[0])
        with open("/proc/self/stat", "rb") as stat:
            start, end = (int(field) for field in stat.read().rpartition(b")")[2].split()[45:47])
    except OSError:
        return
    room = end - start
    if room > 0:
        ctypes.memmove(start, title.encode()[: room - 1].ljust(room, b"\0"), room)
