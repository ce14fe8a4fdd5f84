"""A container's output on its way to the log: FIFOs or a terminal, read in large blocks, fairly."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from .. import ours
from ..logs.writer import Log
from .loop import IN, Loop, Timer

PIPE_SIZE = 1 << 20
REST = 0.004
"""Seconds that a stream is left alone after a small read: many little writes become one block. A line that comes
after a silence is read at once."""
PROMPT = 0.25
"""Seconds after which half a line goes into the log as it is: somebody may be asked something."""
MOST_DRAINED = 16
"""Pipefuls that are read after the end; more can only come from a process that outlived its container."""

_buffer = bytearray(PIPE_SIZE)
_view = memoryview(_buffer)


def make_fifo(path: str, mode: int) -> None:
    """A fresh FIFO, so that a leftover of an earlier run cannot write into this one."""
    ours.clear(path)
    os.mkfifo(path, 0o600)
    os.chmod(path, mode)


def open_reader(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


def open_container_side(path: str) -> int:
    """Open for reading and writing: a writer then never gets SIGPIPE, whatever becomes of the keeper (fifo(7))."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    with contextlib.suppress(OSError):  # over the user's quota (pipe(7)): the kernel's default does as well
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    return descriptor


class Stream:
    """Reads one descriptor into one stream of a log until `finish`, or until nobody can write any more."""

    __slots__ = ("_begun", "_descriptor", "_kind", "_log", "_loop", "_resting", "_tail_file", "_timer", "_watched")

    def __init__(self, loop: Loop, descriptor: int, kind: int, log: Log, tail_file: str) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._kind = kind
        self._log = log
        self._tail_file = tail_file
        self._resting = False
        self._watched = True
        self._begun = 0.0  # when the line began of which half is held back
        self._timer: Timer | None = None
        log.hold(kind, _load_tail(tail_file))
        if log.tail(kind):
            self._wait_for_the_rest(PROMPT)
        os.set_blocking(descriptor, False)
        loop.watch(descriptor, self._ready)

    @property
    def descriptor(self) -> int:
        return self._descriptor

    def finish(self) -> None:
        """Read what is still there, then close."""
        for _ in range(MOST_DRAINED):
            if not self._read():
                break
        self._stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        os.close(self._descriptor)
        self._descriptor = -1

    def _ready(self, _: int) -> None:
        self._pause(self._read())

    def _rested(self) -> None:
        if not self._watched:
            return
        self._resting = False
        amount = self._read()
        if amount is None:
            self._loop.change(self._descriptor, IN)
        else:
            self._pause(amount)

    def _pause(self, amount: int | None) -> None:
        if amount == 0:
            self._stop()
        elif amount is not None and not self._resting:
            self._resting = True
            self._loop.change(self._descriptor, 0)
            self._loop.later(0.0 if amount >= PIPE_SIZE // 4 else REST, self._rested)

    def _stop(self) -> None:
        self._watched = False
        self._loop.forget(self._descriptor)

    def _read(self) -> int | None:
        """One block; its size, 0 at the end, None when there is nothing now."""
        try:
            amount = os.readv(self._descriptor, [_buffer])
        except BlockingIOError:
            return None
        except OSError:
            return 0  # EIO: the last one closed the terminal
        if amount:
            before = self._log.tail(self._kind)
            self._log.write(self._kind, bytes(_view[:amount]))
            after = self._log.tail(self._kind)
            if before is not after:
                _save_tail(self._tail_file, after)
                if not before or len(after) < len(before) + amount:
                    self._begun = time.monotonic()
                if after and self._timer is None:
                    self._wait_for_the_rest(PROMPT)
        return amount

    def _wait_for_the_rest(self, seconds: float) -> None:
        self._timer = self._loop.later(seconds, self._let_go)

    def _let_go(self) -> None:
        """One timer for many lines: in a flood each read ends within a line."""
        self._timer = None
        if not self._log.tail(self._kind):
            return
        rest = self._begun + PROMPT - time.monotonic()
        if rest > 0:
            self._wait_for_the_rest(rest)
        else:
            self._log.let_go(self._kind)
            _save_tail(self._tail_file, b"")


def _save_tail(path: str, tail: bytes) -> None:
    """Half a line that only the keeper's memory holds would be lost with the keeper."""
    try:
        if not tail:
            os.unlink(path)
            return
        descriptor = ours.create(path)
        try:
            os.write(descriptor, tail)
        finally:
            os.close(descriptor)
    except OSError:
        pass  # only a second copy


def _load_tail(path: str) -> bytes:
    try:
        return ours.read(path) or b""
    except OSError:
        return b""
