"""A process beside the container's own that another one is the child of, so that nothing of that one is left behind.

Note [Who reaps]: What loses its parent in a pid namespace becomes a child of its process 1, which is the service
itself and need not wait for it, or of a nearer subreaper (PR_SET_CHILD_SUBREAPER, prctl(2)) of the same namespace. So
the parent of a probe is a process of ours in there. It is in none of the container's cgroups: it takes no process of
those that the container may have, and is not frozen with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from . import capabilities, enter, service
from . import syscalls as s

PATIENCE = 2.0
"""Seconds within which what was killed is gone, or somebody else's to reap."""
PAUSE = 0.01
LATE = 1.0
"""Seconds beyond its time after which a probe is ended without being asked: the keeper is gone."""
_AWAITED = (signal.SIGCHLD, signal.SIGTERM)


def fork_below(timeout: float, report: int) -> None:
    """Returns in a child of this process, which itself never returns: it ends as the child does, once all that comes
    from the child has ended; on SIGTERM that is killed."""
    try:
        service.forget_the_past()
        s.prctl(s.PR_SET_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        child = os.fork()
    except BaseException as error:  # noqa: BLE001 - nothing may unwind into the joiner's own frames
        enter.report(report, error)
        os._exit(1)
    if child == 0:
        return
    try:
        s.close_range(0)
        power = capabilities.mask(("CAP_KILL",))
        s.capset(power, power, 0)
        _end_as(_watch(child, timeout))
    finally:
        os._exit(1)


def _watch(child: int, timeout: float) -> int:
    """The wait status of the child, with nobody left of those that it has started."""
    statuses: dict[int, int] = {}
    end = time.monotonic() + timeout + LATE
    while child not in statuses:
        heard = signal.sigtimedwait(_AWAITED, max(end - time.monotonic(), 0))
        _reap(statuses)
        if heard is None or heard.si_signo == signal.SIGTERM:
            break
    end = time.monotonic() + PATIENCE
    while _reap(statuses) and time.monotonic() < end:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        signal.sigtimedwait((signal.SIGCHLD,), PAUSE)
    return statuses.get(child, signal.SIGKILL)


def _reap(statuses: dict[int, int]) -> bool:
    """Whether there is somebody left."""
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return True
            statuses[pid] = status
    except ChildProcessError:
        return False


def _children() -> list[int]:
    """Ours, also those whose own parent has ended (proc_pid_task(5))."""
    try:
        with open("/proc/thread-self/children") as file:
            return [int(pid) for pid in file.read().split()]
    except (OSError, ValueError):
        return []


def _end_as(status: int) -> None:
    if os.WIFSIGNALED(status):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
