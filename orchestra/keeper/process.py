"""What the kernel says about a process, without ever mistaking one for another."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1
MNT_DETACH = 2
_INFO_SIZE = 64
_PIDFD_GET_INFO = (3 << 30) | (_INFO_SIZE << 16) | (0xFF << 8) | 11
_PIDFD_INFO_EXIT = 1 << 3
_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


def prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl {option}: {os.strerror(error)}")


def unmount(path: str) -> None:
    """Lazily (umount2(2), MNT_DETACH)."""
    if _libc.umount2(os.fsencode(path), MNT_DETACH) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), path)


def _stat(pid: int) -> list[bytes]:
    """/proc/PID/stat from its third field on (proc(5)); empty for no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def start_time(pid: int) -> int | None:
    """Field 22: clock ticks after boot; None for no such process."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def open_pidfd(pid: int, started: int) -> int | None:
    """A pidfd of exactly the process that started then; None when it is no more."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, OverflowError):
        return None
    # Looked at after opening: whoever has this number now is whom the descriptor means.
    if start_time(pid) != started:
        os.close(descriptor)
        return None
    return descriptor


def exit_status(pidfd: int, pid: int, started: int) -> int | None:
    """The wait status of a process that is somebody else's child; None when not (yet) known.

    As long as that one has not reaped it the kernel tells in field 52 of /proc/PID/stat, afterwards by
    PIDFD_GET_INFO with PIDFD_INFO_EXIT (linux/pidfd.h, since 6.15).
    """
    fields = _stat(pid)
    if len(fields) >= 50 and fields[0] == b"Z" and int(fields[19]) == started:
        return int(fields[49])
    info = bytearray(_INFO_SIZE)
    struct.pack_into("Q", info, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None
    if not struct.unpack_from("Q", info, 0)[0] & _PIDFD_INFO_EXIT:
        return None
    return int(struct.unpack_from("i", info, _INFO_SIZE - 4)[0])


def code_and_signal(status: int | None) -> tuple[int | None, int | None]:
    """A wait status in the words of the wire: exit code, or the signal that ended it."""
    if status is None:
        return None, None
    if os.WIFSIGNALED(status):
        return None, os.WTERMSIG(status)
    return os.waitstatus_to_exitcode(status), None
