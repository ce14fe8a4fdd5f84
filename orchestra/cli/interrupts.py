"""Ctrl-C and SIGTERM as something to wait for, beside sockets, rather than an exception out of nowhere."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def hear(number: int, handler: Callable[[int, FrameType | None], None]) -> Any:
    """What was ignored when the command started stays ignored: the Ctrl-C of a job in the background is meant for
    another one (POSIX, Shell Command Language, 2.12). What there was before."""
    before = signal.getsignal(number)
    if before is not signal.SIG_IGN:
        signal.signal(number, handler)
    return before


class Interrupts:
    """While in the context, signals are counted and make `fileno` readable."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in SIGNALS:
            self._before[number] = hear(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        return self._reader

    def taken(self) -> int:
        """Signals since the last call."""
        try:
            return len(os.read(self._reader, 64))
        except BlockingIOError:
            return 0

    def _arrived(self, _: int, __: FrameType | None) -> None:
        self.count += 1
        os.write(self._writer, b".")
