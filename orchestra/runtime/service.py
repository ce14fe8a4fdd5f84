"""The last steps of any process in a container, started or joined: from the container's root user with everything
mounted to the service's own program. They are the same for pid 1, exec and health checks.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal's enumerations are a tenth of what pid 1 does
import ctypes
import errno
import fcntl
import os
import resource
import signal
import stat
from collections.abc import Sequence

from . import capabilities, identity
from . import syscalls as s
from .failure import StartError, sentence, step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import Process, Rlimit

READY = b"X"
REPORT = 3  # where the report pipe stands once all else is closed
_SIGNALS = tuple(sorted(_signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def forget_the_past() -> None:
    """Own session, every signal as at birth (Python ignores SIGPIPE and SIGXFSZ, and children inherit that),
    no keyring of the caller's."""
    os.setsid()
    for number in _SIGNALS:
        _signal.signal(number, _signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        s.join_session_keyring()
    except OSError as error:
        if error.errno != errno.ENOSYS:  # a kernel without keys has none to leak
            raise


def blank_command_line() -> None:
    """Anybody in the pid namespace may read /proc/PID/cmdline, dumpable or not: it would be the keeper's until exec.

    Needs the host's /proc. Python has long made its own copy.
    """
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b") ")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, fields 48 and 49 (proc_pid_stat(5))
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)


def standard_streams(stdin: int, stdout: int, stderr: int) -> None:
    # First out of the way: one of them may already stand where another belongs.
    high = [_above(fd) for fd in (stdin, stdout, stderr)]
    for number, fd in enumerate(high):
        os.dup2(fd, number)
        os.close(fd)


def close_all_but(*kept: int) -> None:
    """What is kept moves to REPORT and the numbers after it, closed at exec; nothing else stays open."""
    high = [_above(fd) for fd in kept]
    for number, fd in enumerate(high, REPORT):
        os.dup2(fd, number, inheritable=False)
    s.close_range(REPORT + len(kept))


def _above(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)


def become(process: Process, filters: Sequence[bytes]) -> identity.Identity:
    """Working directory, user, capabilities, filter. After this, only execve is left to do."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    who = identity.look_up(process["user"], root)
    os.close(root)
    _own_streams(who)
    entered = _enter_directory(process["cwd"])
    wanted = process["capabilities"]
    with step("capabilities"):
        if not process["noNewPrivileges"]:
            load(filters)  # only SYS_ADMIN may load one without no_new_privs, and it is about to go
        capabilities.bound(wanted)
        s.prctl(s.PR_SET_KEEPCAPS, 1)
    with step("user", f"cannot become {who.uid}:{who.gid} (are the ids in the container's range?)"):
        os.setgroups(who.groups)
        os.setresgid(who.gid, who.gid, who.gid)
        os.setresuid(who.uid, who.uid, who.uid)
    with step("capabilities"):
        capabilities.settle(wanted, who.uid == 0)
        s.prctl(s.PR_SET_KEEPCAPS, 0)
    if not entered:
        _change_directory(process["cwd"])
    os.umask(process["user"].get("umask", 0o022))
    s.prctl(s.PR_SET_DUMPABLE, 0)  # a change of user would have switched it on again under fs.suid_dumpable
    limit_open_files(process)
    if process["noNewPrivileges"]:
        with step("seccomp"):
            s.prctl(s.PR_SET_NO_NEW_PRIVS, 1)
            load(filters)
    return who


def limit_open_files(process: Process) -> None:
    """Late: what is open while a container is made may have higher numbers. Never above what orchestra itself has."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in process["rlimits"]:
        if limit["type"] != "RLIMIT_NOFILE":
            continue
        soft, hard = at_most(allowed, limit)
        with step("rlimit", f"cannot set RLIMIT_NOFILE to {soft}:{hard}"):
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            except ValueError as error:  # soft above hard
                raise OSError(errno.EINVAL, str(error)) from error


def at_most(allowed: int, limit: Rlimit) -> tuple[int, int]:
    """Soft and hard limit as asked for, as far as the hard one may be."""
    soft, hard = infinite(limit["soft"]), infinite(limit["hard"])
    if _more(hard, allowed):
        return allowed if _more(soft, allowed) else soft, allowed
    return soft, hard


def infinite(value: int) -> int:
    return resource.RLIM_INFINITY if value < 0 or value >= 1 << 63 else value


def _more(one: int, other: int) -> bool:
    if other == resource.RLIM_INFINITY:
        return False
    return one == resource.RLIM_INFINITY or one > other


def load(filters: Sequence[bytes]) -> None:
    for program in filters:
        s.seccomp_filter(program)


def _own_streams(who: identity.Identity) -> None:
    """A terminal belongs to who works at it; other streams keep the mode that lets anybody reopen them."""
    for fd in (0, 1, 2):
        if who.uid and os.isatty(fd):
            try:
                os.fchown(fd, who.uid, -1)
            except OSError:
                continue  # the host's terminal, of a run without one of its own


def _enter_directory(path: str) -> bool:
    """False: root may not, perhaps the user may. What is missing is made at the start of a container only."""
    try:
        _change_directory(path)
    except StartError as error:
        if error.errno != errno.EACCES:
            raise
        return False
    return True


def _change_directory(path: str) -> None:
    with step("cwd", "cannot use the working directory"):
        os.chdir(path)
        # A descriptor of the host's that slipped through would be outside of the root (CVE-2024-21626).
        here = os.getcwd()
        if not here.startswith("/") or here.startswith("/(unreachable)"):
            raise OSError(errno.EXDEV, "outside of the container", path)


def environment(process: Process, who: identity.Identity) -> dict[str, str]:
    """From nothing: the spec's, and HOME and PATH where they are missing; TERM for a terminal."""
    found: dict[str, str] = {}
    for pair in process["env"]:
        key, equals, value = pair.partition("=")
        if equals and key:
            found[key] = value
    found.setdefault("PATH", PATH)
    found.setdefault("HOME", who.home)
    if process["terminal"]:
        found.setdefault("TERM", "xterm")
    return found


def execute(process: Process, env: dict[str, str]) -> StartError:
    """Run the program; coming back is the error. 127 not found, 126 not executable (POSIX shells, docker run)."""
    name = process["args"][0]
    last: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    for path in candidates(name, env["PATH"]):
        try:
            os.execve(path, process["args"], env)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                last = error
    return exec_error(name, last)


def exec_error(name: str, error: OSError) -> StartError:
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    what = f"no program {name!r} in the container" if missing else sentence(error, f"cannot run {name!r}")
    return StartError("exec", error.errno or 0, what, 127 if missing else 126)


def candidates(name: str, path: str) -> list[str]:
    return [name] if "/" in name else [f"{folder or '.'}/{name}" for folder in path.split(":")]


def find(name: str, path: str) -> str:
    """The file that execve would take, for a program that runs it without a search of its own."""
    for candidate in candidates(name, path):
        try:
            if stat.S_ISREG(os.stat(candidate).st_mode) and os.access(candidate, os.X_OK):
                return candidate
        except OSError:
            continue
    return candidates(name, path)[0] if "/" in name else name
