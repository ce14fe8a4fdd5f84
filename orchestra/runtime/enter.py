"""The child's whole story, from the fork to the service's program, in the order in which it happens.

Note [Three processes for a start]: The starter keeps the host's rights, so that it can undo. Its child, the usher,
joins the pinned namespaces and makes the others. The usher's child is the container's pid 1: what unshare(NEWPID)
makes begins with the next fork. The usher then waits to be told whether to reap it (a failed start) or to vanish
and leave it to the keeper, which is the subreaper.

Note [Not dumpable]: Until exec, pid 1 is a fork of the keeper, and whoever is root inside could read the keeper's
memory, environment and open files through /proc/1. A process that is not dumpable shows none of it.

No module may be loaded in here: the host's files are going away.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from . import masks, service
from . import syscalls as s
from .failure import StartError, sentence, step
from .mounts import Control, attach, ensure, fresh, resolve
from .prepared import Prepared

BORN, FAILED, INIT_FAILED = b"P", b"E", b"I"
FILES_GROW = 1 << 18
"""Bytes by which /etc/hosts and the like may grow."""
_TIOCSPTLCK, _TIOCSCTTY = 0x40045431, 0x540E


class Streams:
    """Descriptors of one start: the service's three, a unix socket for a terminal's master, and the two pipes."""

    __slots__ = ("go", "report", "stderr", "stdin", "stdout", "terminal_out")

    def __init__(self, stdin: int, stdout: int, stderr: int, terminal_out: int, report: int, go: int) -> None:
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.terminal_out = terminal_out
        self.report = report
        self.go = go


def usher(prepared: Prepared, streams: Streams, verdict: int) -> None:
    """The starter's child. Never returns."""
    try:
        with step("namespaces"):
            service.blank_command_line()
            s.prctl(s.PR_SET_DUMPABLE, 0)
            for fd, kind in prepared.join:
                s.setns(fd, kind)
            if prepared.userns >= 0:
                s.setns(prepared.userns, s.CLONE_NEWUSER)
                become_root_inside()
            s.unshare(prepared.unshare & ~s.CLONE_NEWCGROUP)
        pid = os.fork()
        if pid == 0:
            os.close(verdict)
            _pid_one(prepared, streams)
        os.write(streams.report, BORN + struct.pack("i", pid))
        os.close(streams.report)
        if os.read(verdict, 1) == b"r":
            os.waitpid(pid, 0)
    except BaseException as error:  # noqa: BLE001 - nothing may unwind into the starter's own frames
        report(streams.report, error)
    os._exit(0)


def become_root_inside() -> None:
    """From an unmapped id to 0 of the user namespace just joined."""
    os.setgroups(())
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    s.prctl(s.PR_SET_DUMPABLE, 0)  # setresuid may have set it anew


def report(pipe: int, error: BaseException) -> None:
    if isinstance(error, OSError):
        error = StartError("start", error.errno or 0, sentence(error))
    elif not isinstance(error, StartError):
        error = StartError("start", 0, f"{type(error).__name__}: {error}")
    try:
        os.write(pipe, FAILED + error.encode())
    except OSError:
        os._exit(1)


def _pid_one(prepared: Prepared, streams: Streams) -> None:
    pipe, welcome = streams.report, False
    try:
        service.forget_the_past()
        build_root(prepared)
        _set_up_kernel(prepared)
        console = _terminal(prepared, streams) if prepared.spec["process"]["terminal"] else -1
        welcome = True
        if os.read(streams.go, 1) != b"g":
            os._exit(1)  # the starter is gone or gave up
        _show_cgroups(prepared)
        leave_host(prepared)
        if console >= 0:
            take_terminal(console)
        else:
            service.standard_streams(streams.stdin, streams.stdout, streams.stderr)
        if prepared.init >= 0:
            service.close_all_but(pipe, prepared.init)
        else:
            service.close_all_but(pipe)
        pipe = service.REPORT
        _run(prepared)
    except BaseException as error:  # noqa: BLE001 - nothing may unwind into the usher's own frames
        if not welcome:
            os.read(streams.go, 1)  # so that the usher has told of this process before, in the same pipe
        report(pipe, error)
    os._exit(1)


def build_root(prepared: Prepared) -> None:
    with step("mount", "the root"):
        # Private, not slave: a slave would show what the host mounts later.
        s.mount("", "/", "", s.MS_REC | s.MS_PRIVATE)
        slash = os.open("/", os.O_PATH | os.O_CLOEXEC)
        s.move_mount(prepared.root, slash, "/")
        os.close(slash)
    store = _store(prepared)
    _give_files(prepared, store, writable=True)
    for mount in prepared.mounts:
        if not isinstance(mount, Control):
            mount.perform(prepared.root)
    _give_files(prepared, store, writable=False)
    os.close(store)
    linux = prepared.spec["linux"]
    masks.make_readonly(prepared.root, linux["readonlyPaths"])
    masks.hide(prepared.root, linux["maskedPaths"])


def _store(prepared: Prepared) -> int:
    """A private tmpfs for the files that are given; as large as they are, with room to grow."""
    size = FILES_GROW + sum(len(content) + 4096 for _, content in prepared.files)
    with step("files"):
        # It stands in the old root meanwhile, and goes with it: only attached mounts can be cloned before 6.15.
        tmpfs = fresh("tmpfs", {"mode": "0700", "size": str(size)}, 0)
        place = os.open("/dev", os.O_PATH | os.O_CLOEXEC)
        s.move_mount(tmpfs, place, "/dev")
        os.close(place)
    return tmpfs


def _give_files(prepared: Prepared, store: int, writable: bool) -> None:
    """Secrets, configs and the container's own files, bound to where they are wanted."""
    for number, (given, content) in enumerate(prepared.files):
        if given.get("writable", False) != writable:
            continue
        with step("files", given["destination"]):
            name = str(number)
            fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=store)
            os.write(fd, content)
            os.fchown(fd, given["uid"], given["gid"])
            os.fchmod(fd, given["mode"])
            os.close(fd)
            tree = s.open_tree(store, name, s.OPEN_TREE_CLONE)
            protected = s.MOUNT_ATTR_NOSUID | s.MOUNT_ATTR_NODEV | s.MOUNT_ATTR_NOEXEC
            s.mount_setattr(tree, protected if writable else protected | s.MOUNT_ATTR_RDONLY)
            attach(tree, prepared.root, given["destination"], False)


def _set_up_kernel(prepared: Prepared) -> None:
    spec = prepared.spec
    with step("hostname", spec["hostname"]):
        if prepared.unshare & s.CLONE_NEWUTS:
            socket.sethostname(spec["hostname"])
    if prepared.userns >= 0 and "CAP_SYS_ADMIN" not in spec["process"]["capabilities"]["bounding"]:
        with step("sysctl", "user.max_user_namespaces"):
            # Through a proc of our own that nobody else has touched (CVE-2025-52881).
            proc = fresh("proc", {}, 0)
            fd = os.open("sys/user/max_user_namespaces", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
            os.write(fd, b"0")
            os.close(fd)
            os.close(proc)


def _terminal(prepared: Prepared, streams: Streams) -> int:
    """A terminal of the container's own devpts; its master goes out, its end inside also becomes /dev/console."""
    with step("terminal"):
        console = open_terminal(prepared.root, streams.terminal_out)
        attach(s.open_tree(console, "", s.OPEN_TREE_CLONE), prepared.root, "dev/console", False)
        return console


def open_terminal(root: int, terminal_out: int) -> int:
    master = resolve(root, "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    # Not by its name in /dev/pts, which could be anything by now (CVE-2025-52565).
    console = fcntl.ioctl(master, s.TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    with socket.socket(fileno=os.dup(terminal_out)) as out:
        socket.send_fds(out, [b"t"], [master])
    os.close(master)
    return console


def take_terminal(console: int) -> None:
    fcntl.ioctl(console, _TIOCSCTTY, 0)
    service.standard_streams(console, console, console)


def _show_cgroups(prepared: Prepared) -> None:
    with step("namespaces", "cgroup"):
        if prepared.unshare & s.CLONE_NEWCGROUP:
            s.unshare(s.CLONE_NEWCGROUP)
    for mount in prepared.mounts:
        if isinstance(mount, Control):
            mount.perform(prepared.root)


def leave_host(prepared: Prepared) -> None:
    spec = prepared.spec
    cwd = spec["process"]["cwd"]
    with step("cwd", f"cannot make the working directory {cwd}"):
        if cwd != "/":  # made now, while the root can be written
            os.close(ensure(prepared.root, cwd, True))
    with step("root", "leave the host's root"):
        if spec["root"]["readonly"] or not spec["orchestra"]["upper"]:
            s.mount_setattr(prepared.root, s.MOUNT_ATTR_RDONLY)
        os.fchdir(prepared.root)
        s.pivot_root(".", ".")
        # The old root is now mounted over the new one.
        s.umount2(".", s.MNT_DETACH)
        os.chdir("/")
        if not os.path.samestat(os.stat("/"), os.stat("/..")):
            raise OSError(18, "the root is not the root")


def _run(prepared: Prepared) -> None:
    process = prepared.spec["process"]
    who = service.become(process, prepared.filters)
    env = service.environment(process, who)
    os.write(service.REPORT, service.READY)
    if prepared.init < 0:
        raise service.execute(process, env)
    program = service.find(process["args"][0], env["PATH"])
    os.set_inheritable(service.REPORT, True)  # init tells the starter through it, then closes it
    s.execveat(service.REPORT + 1, ["init", program, *process["args"]], [f"{k}={v}" for k, v in env.items()])
