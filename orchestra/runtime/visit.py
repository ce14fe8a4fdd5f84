"""Do something in the file system of a running container: in its user and mount namespace and nowhere else, without a
program of the container's, unseen by its processes.

A visitor is root inside with the few powers over files, outside it is nobody. It is not dumpable, so that nobody
inside may read it: see Note [Not dumpable] in enter.py. It is not in the container's pid namespace, and so not in its
/proc.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

from . import capabilities, cgroups, enter, join, service
from . import syscalls as s
from .failure import sentence, step
from .prepared import Prepared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import Spec

_POWERS = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID")


def visit(
    pid: int, start_time: int, cgroup_path: str, work: Callable[[], int], stdin: int, stdout: int, stderr: int
) -> int:
    """The host's pid of a process that does `work` there; its result is the exit code.

    What it uses counts as the container's, unless `cgroup_path` is "" (a paused container: it would freeze, too).
    """
    gc.disable()
    with step("join"):
        container = join.open_process(pid, start_time)
        doors = cgroups.driver().open_attach(cgroup_path) if cgroup_path else []
        go, let_go = os.pipe()
        service.blank_command_line()
        s.prctl(s.PR_SET_DUMPABLE, 0)
        s.setns(container, s.CLONE_NEWUSER | s.CLONE_NEWNS)
        enter.become_root_inside()
        child = os.fork()
        if child == 0:
            os.close(let_go)
            _visit(work, go, stdin, stdout, stderr)
        for door in doors:
            os.write(door, str(child).encode())
        os.write(let_go, b"g")
    return child


def visit_files(spec: Spec, work: Callable[[], int], stdin: int, stdout: int, stderr: int) -> int:
    """The same for a container that does not run: its file system is put together as for a start, from a spec with
    the user namespace, a mount namespace, and nothing that belongs to processes."""
    gc.disable()
    prepared = Prepared(spec)
    with step("join"):
        service.blank_command_line()
        s.prctl(s.PR_SET_DUMPABLE, 0)
        s.setns(prepared.userns, s.CLONE_NEWUSER)
        enter.become_root_inside()
        s.unshare(s.CLONE_NEWNS)
    enter.build_root(prepared)
    enter.leave_host(prepared)
    go, let_go = os.pipe()
    os.write(let_go, b"g")
    child = os.fork()
    if child == 0:
        _visit(work, go, stdin, stdout, stderr)
    return child


def _visit(work: Callable[[], int], go: int, stdin: int, stdout: int, stderr: int) -> None:
    """Never returns."""
    code = 1
    try:
        service.forget_the_past()
        if os.read(go, 1) == b"g":
            service.standard_streams(stdin, stdout, stderr)
            service.close_all_but()
            powers = capabilities.mask(_POWERS)
            s.capset(powers, powers, 0)
            code = work()
    except OSError as error:
        os.write(2, f"{sentence(error)}\n".encode())
    except BaseException as error:  # noqa: BLE001 - nothing may unwind into the joiner's own frames
        os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    os._exit(code)
