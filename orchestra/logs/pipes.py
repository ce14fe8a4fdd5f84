"""Pipes on their way into a file.

Note [Nothing lost, nothing twice]: What read(2) takes out of a pipe is gone with a process that is killed before it
has written it; what is written before it is taken out would be written again by the next one. So bytes are looked at
in a copy, which tee(2) makes, and moved by splice(2), which writes into the file's page cache and takes out of the
pipe in one system call. A kill falls before it or after it, or makes it move less: what is not in the one is in the
other.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os

SIZE = 1 << 20
"""Bytes that a pipe of ours holds, where the user's quota allows it (pipe(7))."""
_NONBLOCK = 2  # SPLICE_F_NONBLOCK

_libc = ctypes.CDLL(None, use_errno=True)
_libc.tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
_libc.tee.restype = ctypes.c_ssize_t

_buffer = bytearray(SIZE)
_view = memoryview(_buffer)
_tools: list[int] = []
"""Both ends of the pipe that copies go through, and /dev/null."""
os.register_at_fork(after_in_child=_tools.clear)  # a child closes what is not its own, and shares no pipe with us


def prepare() -> None:
    """Have at hand what looking and discarding take: there may be no descriptor left later."""
    if not _tools:
        nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            out, into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            os.close(nothing)
            raise
        _tools.extend((out, into, nothing))
        enlarge(into)


def enlarge(pipe: int) -> None:
    """As far as the user's quota allows (pipe(7)): the kernel's default does as well."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, SIZE)


def peek(pipe: int) -> tuple[bytearray, int]:
    """What is in a pipe and stays there: a buffer, good until the next call, and how much of it counts; 0 at the end.

    Raises BlockingIOError where nothing is in it, another OSError where that could not be read and is gone.
    """
    copy, into, _ = _tools
    amount: int = _libc.tee(pipe, into, SIZE, _NONBLOCK)
    if amount < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    got = 0
    try:
        while got < amount:  # one packet at a time, where the writer has switched to O_DIRECT
            got += os.readv(copy, [_view[got:]])
    except OSError:
        # Its writer spliced it in from a file that cannot be read.
        discard(copy, amount - got)
        discard(pipe, amount)
        raise
    return _buffer, amount


def move(pipe: int, file: int, amount: int, offset: int) -> int:
    """Move what is in a pipe into a file; how much went. See Note [Nothing lost, nothing twice]."""
    moved = os.splice(pipe, file, amount, offset_dst=offset)
    if not moved:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return moved


def discard(pipe: int, amount: int) -> None:
    """Take out of a pipe what nobody wants or has room for."""
    while amount > 0 and (gone := os.splice(pipe, _tools[2], amount)):
        amount -= gone
