"""The pair of user and network namespace that every start of a container joins, pinned by bind mounts.

Made first and kept through restarts, so the network can be wired before anything runs and stays wired afterwards.
The network namespace belongs to the user namespace of its pair: that is what lets sysfs be mounted and `net.*` be
written on behalf of the container.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Sequence

from .. import ours
from . import cgroups, syscalls
from .failure import StartError, step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.keeping import SandboxSpec

LIVES = (2, 60)
"""Seconds in which a pair has to be pinned, which takes one or two milliseconds: few at first, since that is also how
long the pair stays when its maker is killed meanwhile, then as many as the busiest machine may need."""


def make(specs: Sequence[SandboxSpec]) -> None:
    """Make what is missing. Call it in a process of its own with one thread: each pair is born in a child, and this
    process enters network namespaces."""
    for spec in specs:
        if not _complete(spec):
            _bear(spec)


def pin_again(pid: int, user_pin: str, net_pin: str) -> None:
    """Pin the namespaces of a running container whose pins are gone; those that are there are left alone."""
    for kind, pin in (("user", user_pin), ("net", net_pin)):
        if pin and not pinned(pin):
            _pin(f"/proc/{pid}/ns/{kind}", pin)


def remove(user_pin: str, net_pin: str) -> None:
    """Let go of a pair; the kernel ends it with its last process. Nothing there is fine."""
    for pin in (net_pin, user_pin):
        if pin:
            _unpin(pin)


def pinned(pin: str) -> bool:
    """A namespace is mounted there, not a plain file that a reboot left behind."""
    try:
        fd = os.open(pin, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.ioctl(fd, 0xB703)  # NS_GET_NSTYPE: only a namespace answers
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _complete(spec: SandboxSpec) -> bool:
    net = spec["net_pin"]
    return pinned(spec["user_pin"]) and (not net or pinned(net))


def _bear(spec: SandboxSpec) -> None:
    for seconds in LIVES:
        birth = _Birth(spec, seconds)
        try:
            birth.pin()
            return
        except StartError:
            if seconds == LIVES[-1] or not birth.over():
                raise
        finally:
            birth.end()


class _Birth:
    """A child with the new namespaces, which sleeps until they are mapped and pinned.

    It shares our memory (CLONE_VM), since it never runs a line of ours: to copy a Python's page tables, and then
    whatever it touches, takes longer than all that is done here.
    """

    def __init__(self, spec: SandboxSpec, seconds: int) -> None:
        self.spec = spec
        kinds = syscalls.CLONE_NEWUSER | (syscalls.CLONE_NEWNET if spec["net_pin"] else 0)
        try:
            self.pid = syscalls.sleeper(kinds, seconds)
        except OSError as error:
            raise StartError("sandbox", error.errno or 0, _why(error.errno or 0)) from error

    def pin(self) -> None:
        spec = self.spec
        with step("sandbox"):
            line = f"0 {spec['base']} {spec['size']}\n"
            for name in ("uid_map", "gid_map"):
                with step("sandbox", f"cannot map the ids from {spec['base']} on"):
                    cgroups.write(f"/proc/{self.pid}/{name}", line)
            _pin(f"/proc/{self.pid}/ns/user", spec["user_pin"])
            if spec["net_pin"]:
                _pin(f"/proc/{self.pid}/ns/net", spec["net_pin"])
                _raise_loopback_in(spec["net_pin"])

    def over(self) -> bool:
        """Whether the child has ended by itself."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _raise_loopback_in(pin: str) -> None:
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(pin, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        syscalls.setns(there, syscalls.CLONE_NEWNET)
        try:
            raise_loopback()
        finally:
            syscalls.setns(home, syscalls.CLONE_NEWNET)
    finally:
        os.close(there)
        os.close(home)


def _why(code: int) -> str:
    limits = " (sysctl user.max_user_namespaces and user.max_net_namespaces say how many there may be)"
    return f"cannot make a user namespace: {os.strerror(code)}{limits if code == errno.ENOSPC else ''}"


def raise_loopback() -> None:
    """`lo` up in the current network namespace (netdevice(7), SIOCSIFFLAGS)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        up_and_running = struct.pack("16sH22x", b"lo", 0x1 | 0x40)
        fcntl.ioctl(control, 0x8914, up_and_running)


def _pin(namespace: str, pin: str) -> None:
    _unpin(pin)
    ours.folder(os.path.dirname(pin))
    os.close(os.open(pin, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    syscalls.mount(namespace, pin, "", syscalls.MS_BIND)


def _unpin(pin: str) -> None:
    while True:
        try:
            syscalls.umount2(pin, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
        except OSError:
            break  # not mounted, or not there
    ours.clear(pin)
