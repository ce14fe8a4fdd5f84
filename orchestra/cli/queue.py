"""One change at a time: commands that change a stack stand in line at its lock, and say for whom they wait.

A command has its turn until its change is written down, see `listen`. What it then waits for, it waits for beside
others.
"""

from __future__ import annotations

import os
import sys
import time

from orchestra.state.turns import holder, try_turn

from .console import echo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.places import Places

GLANCE = 0.01  # seconds between two tries


class turn:
    """A context that holds the stack's lock until `let_go`; `command` is what others read while they wait."""

    def __init__(self, places: Places, command: str) -> None:
        self._places = places
        self._command = command
        self._descriptor: int | None = None

    def __enter__(self) -> turn:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()

    def take(self) -> None:
        self._descriptor = _waited(self._places, f"`orchestra {self._command}` (pid {os.getpid()})")

    def let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _waited(places: Places, who: str) -> int:
    told = False
    while (descriptor := try_turn(places, who)) is None:
        if not told:
            echo(f"waiting for {holder(places)} …", sys.stderr)
            told = True
        time.sleep(GLANCE)
    return descriptor


def clear_away_after_all(places: Places) -> None:
    """Remove what is left of a stack that has gone, unless somebody has come who starts it anew."""
    if os.path.isdir(places.run) and (descriptor := try_turn(places, "`orchestra down`")) is not None:
        clear_away(places)
        os.close(descriptor)


def clear_away(places: Places) -> None:
    """Remove the lock, which is held, and the directory if nothing else is left in it. Whoever waits in line
    notices that the file is another one and starts anew."""
    try:
        os.unlink(places.lock)
        os.rmdir(places.run)
    except OSError:
        pass
