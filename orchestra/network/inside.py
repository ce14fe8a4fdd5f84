"""Being inside another network namespace, without a fork.

A network namespace belongs to a thread, not to a process: a thread of its own enters (`setns(2)`), does what is to be
done and ends. A socket that it opens stays in the namespace in which it was made, whoever uses it afterwards. No
thread ever has to find its way back.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import threading
from typing import TYPE_CHECKING, TypeVar

from orchestra import ours
from orchestra.errors import OrchestraError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

_CLONE_NEWNET = 0x40000000
_SO_NETNS_COOKIE = 71
_MS_BIND = 0x1000
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8

# Own handle: argtypes are set on it, and errno is kept for each thread.
_libc = ctypes.CDLL(None, use_errno=True)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


def on_own_thread(work: Callable[[], Result]) -> Result:
    """The work's result, or what it raised, from a thread that lives for this work only."""
    return begin(work)()


def begin(work: Callable[[], Result]) -> Callable[[], Result]:
    """Start the work on its own thread; what comes back waits for it and gives its result, or raises."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as failure:  # noqa: BLE001 - raised again in the thread that asked
            failures.append(failure)

    thread = threading.Thread(target=run, name="netns", daemon=True)
    try:
        thread.start()
    except RuntimeError as refusal:  # all that Python tells: clone(2) found no room for one more
        raise OSError(errno.ENOMEM, str(refusal)) from refusal

    def end() -> Result:
        thread.join()
        if failures:
            raise failures[0]
        return results[0]

    return end


def enter(pin: str) -> None:
    """Move this thread (which must be one of `on_own_thread`) into the pinned namespace."""
    try:
        fd = os.open(pin, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _call(pin, _libc.setns, fd, _CLONE_NEWNET)
        finally:
            os.close(fd)
    except OSError as refusal:
        raise OrchestraError(f"cannot enter the network namespace {pin}: {refusal.strerror}") from refusal


def inside(pin: str, work: Callable[[], Result]) -> Result:
    """Do the work in the pinned namespace; this thread stays where it is."""

    def entered() -> Result:
        enter(pin)
        return work()

    return on_own_thread(entered)


def set_sysctl(setting: str, value: str) -> None:
    """A setting ("net/ipv4/ip_forward") of the namespace that this thread is in."""
    with open(f"/proc/sys/{setting}", "w") as file:
        file.write(value)


def without_ipv6(interface: str) -> None:
    """The link has no IPv6 address, nor gets one; nothing to do where the kernel has no IPv6."""
    with contextlib.suppress(FileNotFoundError):
        set_sysctl(f"net/ipv6/conf/{interface}/disable_ipv6", "1")


def socket_in(pin: str, family: int, kind: int, proto: int = 0) -> socket.socket:
    """A socket of the pinned namespace, for use from anywhere."""
    return inside(pin, lambda: socket.socket(family, kind | socket.SOCK_CLOEXEC, proto))


def is_socket_in(pin: str, opened: socket.socket) -> bool:
    """Whether the socket was made in the namespace that is pinned there now (socket(7), SO_NETNS_COOKIE)."""

    def cookie(one: socket.socket) -> bytes:
        return one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)

    with socket_in(pin, socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return cookie(probe) == cookie(opened)


def is_pinned(pin: str) -> bool:
    """Whether a namespace is mounted there; a plain file is what a reboot or a crash leaves."""
    try:
        here = os.lstat(pin)
        folder = os.stat(os.path.dirname(pin))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return here.st_dev != folder.st_dev


def pin_new_namespace(pin: str) -> None:
    """A new network namespace, kept alive by a bind mount (`network_namespaces(7)`)."""
    ours.folder(os.path.dirname(pin))
    os.close(os.open(pin, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0))

    def make() -> None:
        _call(pin, _libc.unshare, _CLONE_NEWNET)
        _call(pin, _libc.mount, b"/proc/thread-self/ns/net", os.fsencode(pin), None, _MS_BIND, None)

    try:
        on_own_thread(make)
    except OSError as refusal:
        raise OrchestraError(
            f"cannot make a network namespace at {pin}: {refusal.strerror}", "run orchestra as root"
        ) from refusal


def unpin(pin: str) -> None:
    """Let the namespace go. Whatever lies at the path goes too, mounted or not, mounted twice or not."""
    while is_pinned(pin):
        _call(pin, _libc.umount2, os.fsencode(pin), _MNT_DETACH | _UMOUNT_NOFOLLOW)
    with contextlib.suppress(NotADirectoryError):
        ours.clear(pin)


def _call(name: str, function: Callable[..., int], *arguments: object) -> None:
    if function(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
