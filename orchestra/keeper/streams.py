"""A container's output on its way to the log: FIFOs or a terminal, taken in large blocks, fairly."""

from __future__ import annotations

import os
import time

from .. import ours
from ..logs.pipes import SIZE, enlarge
from ..logs.writer import Inflow, Log
from .loop import EDGE, IN, Loop, Timer

REST = 0.004
"""Seconds that a stream is left alone after a small read: many little writes become one block. A line that comes
after a silence is read at once."""
PROMPT = 0.25
"""Seconds after which half a line goes into the log as it is: somebody may be asked something."""
MOST_DRAINED = 16
"""Pipefuls that are read after the end; more can only come from a process that outlived its container."""


def make_fifo(path: str, mode: int) -> None:
    """A fresh FIFO, so that a leftover of an earlier run cannot write into this one. Its mode is for whoever opens
    /dev/stdout inside, where its owner is nobody: not even root may read there what others have written."""
    ours.clear(path)
    os.mkfifo(path, 0o600)
    os.chmod(path, mode)


def open_ours(path: str) -> int:
    """The end to read from; to write into, of standard input, which its reader must not see the end of."""
    direction = os.O_RDWR if path.endswith(".in") else os.O_RDONLY
    descriptor = os.open(path, direction | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    enlarge(descriptor)
    return descriptor


def open_theirs(path: str) -> int:
    """The container's end; ours is open already. Its name in /proc/PID/fd says nothing about the host: a path begins
    where its mount does, and this one has no place in any tree (open_tree(2))."""
    from ..runtime import syscalls

    folder, _, name = path.rpartition("/")
    direction = os.O_RDONLY if path.endswith(".in") else os.O_WRONLY
    tree = syscalls.open_tree(syscalls.AT_FDCWD, folder, syscalls.OPEN_TREE_CLONE)
    try:
        return os.open(name, direction | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=tree)
    finally:
        os.close(tree)


def open_way_out(path: str) -> int:
    """The end that a terminal is passed on to."""
    return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


class Stream:
    """Takes from a FIFO into one stream of a log until `finish`, or until nobody can write any more.

    Half a line stays in the FIFO, so only what is new may wake us (EPOLLET, epoll(7)).
    """

    __slots__ = ("_begun", "_descriptor", "_inflow", "_loop", "_resting", "_timer", "_watched")

    def __init__(self, loop: Loop, descriptor: int, kind: int, log: Log) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._inflow = Inflow(descriptor, kind, log)
        self._resting = False
        self._watched = True
        self._begun = 0.0  # when the line began of which half is held back
        self._timer: Timer | None = None
        os.set_blocking(descriptor, False)
        loop.watch(descriptor, self._ready, IN | EDGE)

    @property
    def descriptor(self) -> int:
        return self._descriptor

    def finish(self) -> None:
        """Take what is still there, then close."""
        for _ in range(MOST_DRAINED):
            if not self.take():
                break
        self._inflow.let_go()
        self._stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        os.close(self._descriptor)
        self._descriptor = -1

    def take(self) -> int | None:
        """One block; how much came, 0 at the end, None when there is nothing new."""
        before = self._inflow.pending
        amount = self._inflow.take()
        after = self._inflow.pending
        if amount and after:
            if not before or after < before + amount:
                self._begun = time.monotonic()
            if self._timer is None:
                self._wait_for_the_rest(PROMPT)
        return amount

    def _ready(self, _: int) -> None:
        self._pause(self.take())

    def _rested(self) -> None:
        if not self._watched:
            return
        self._resting = False
        amount = self.take()
        if amount is None:
            self._loop.change(self._descriptor, IN | EDGE)
        else:
            self._pause(amount)

    def _pause(self, amount: int | None) -> None:
        if amount == 0:
            self._stop()
        elif amount is not None and not self._resting:
            self._resting = True
            self._loop.change(self._descriptor, 0)
            self._loop.later(0.0 if amount >= SIZE // 4 else REST, self._rested)

    def _stop(self) -> None:
        self._watched = False
        self._loop.forget(self._descriptor)

    def _wait_for_the_rest(self, seconds: float) -> None:
        self._timer = self._loop.later(seconds, self._let_go)

    def _let_go(self) -> None:
        """One timer for many lines: in a flood each block ends within a line."""
        self._timer = None
        if not self._inflow.pending:
            return
        rest = self._begun + PROMPT - time.monotonic()
        if rest > 0:
            self._wait_for_the_rest(rest)
        else:
            self._inflow.let_go()


class Terminal:
    """Passes on what comes out of a terminal to the FIFO of a stream, from where it is logged as all output is."""

    __slots__ = ("_fifo", "_loop", "_master", "_stream")

    def __init__(self, loop: Loop, master: int, fifo: int, stream: Stream) -> None:
        """Both descriptors are ours from here on."""
        self._loop = loop
        self._master = master
        self._fifo = fifo
        self._stream = stream
        os.set_blocking(master, False)
        loop.watch(master, self._ready)

    def finish(self) -> None:
        """Pass on what is still there, then close."""
        for _ in range(MOST_DRAINED):
            if not self._pass_on():
                break
        self._loop.forget(self._master)
        os.close(self._master)
        os.close(self._fifo)

    def _ready(self, _: int) -> None:
        if self._pass_on() == 0:
            self._loop.forget(self._master)

    def _pass_on(self) -> int | None:
        """How much came, 0 at the end; within the kernel: see Note [Nothing lost, nothing twice]."""
        try:
            return os.splice(self._master, self._fifo, SIZE, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return None
        except OSError:
            return 0  # EIO: the last one closed the terminal
        finally:
            self._stream.take()
