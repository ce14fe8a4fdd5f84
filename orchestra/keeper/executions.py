"""Processes that were started in running containers: their time limits and their ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from .loop import Loop, Timer
from .process import code_and_signal

GRACE = 3.0
"""Seconds for one that cleans up."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Tell = Callable[[dict[str, Any]], None]


class Executions:
    def __init__(self, loop: Loop, tell: Tell) -> None:
        self._loop = loop
        self._tell = tell

    def began(self, pid: int, name: str, timeout: float, clean: bool) -> Callable[[int], None]:
        """A process runs; returns what to call with its wait status. Until then its pid cannot mean another.

        `clean`: it is one that cleans up after another (`runtime.watcher`), given the time for it.
        """
        timed_out = False
        timer: Timer | None = None

        def too_long() -> None:
            nonlocal timed_out, timer
            timed_out = True
            if clean:
                os.kill(pid, signal.SIGTERM)
                timer = self._loop.later(GRACE, lambda: _kill(pid))
            else:
                _kill(pid)

        if timeout > 0:
            timer = self._loop.later(timeout, too_long)

        def ended(status: int) -> None:
            if timer is not None:
                timer.cancel()
            code, by_signal = code_and_signal(status)
            event = {"event": "exec_exited", "exec": name, "code": code, "signal": by_signal, "timed_out": timed_out}
            self._tell(event)

        return ended


def _kill(pid: int) -> None:
    """A child that nobody has waited for yet, with its process group where it leads one."""
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
