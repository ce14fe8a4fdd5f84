"""The caller's terminal beside a container's: raw mode, window size, and copying between the two.

The container never holds a descriptor of the caller's terminal (with TIOCSTI or by changing its modes it could type
into the caller's shell): it gets pipes or a terminal of its own, and everything is copied.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


def interactive() -> bool:
    """Whether both ends of this command are a terminal, so that one inside makes sense."""
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Hand every key on as it is pressed, and put the terminal back afterwards."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        with suppress(termios.error):  # the window has been closed
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def copy_size(source: int, target: int) -> None:
    """Give one terminal the size of another (ioctl_tty(2))."""
    with suppress(OSError):
        empty = struct.pack("HHHH", 0, 0, 0, 0)
        fcntl.ioctl(target, termios.TIOCSWINSZ, fcntl.ioctl(source, termios.TIOCGWINSZ, empty))


@contextmanager
def follow_size(source: int, target: int) -> Iterator[None]:
    """Keep the size of `target` equal to that of `source`."""

    def changed(_: int, __: FrameType | None) -> None:
        copy_size(source, target)

    copy_size(source, target)
    before = signal.signal(signal.SIGWINCH, changed)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def write_all(descriptor: int, data: bytes) -> None:
    """Raises BrokenPipeError when nobody is there any more, be it a pipe or a terminal."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        if error.errno == errno.EIO:
            raise BrokenPipeError(errno.EPIPE, "the terminal is gone") from None
        raise
