"""One change at a time: commands that change a stack stand in line at its lock, and say for whom they wait."""

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
    """A context that holds the stack's lock; `command` is what others read while they wait."""

    def __init__(self, places: Places, command: str) -> None:
        self._places = places
        self._command = command

    def __enter__(self) -> None:
        self._descriptor = _waited(self._places, f"`orchestra {self._command}` (pid {os.getpid()})")

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _waited(places: Places, who: str) -> int:
    told = False
    while (descriptor := try_turn(places, who)) is None:
        if not told:
            echo(f"waiting for {holder(places)} …", sys.stderr)
            told = True
        time.sleep(GLANCE)
    return descriptor


def clear_away(places: Places) -> None:
    """Remove the lock, which is held, and the directory if nothing else is left in it. Whoever waits in line
    notices that the file is another one and starts anew."""
    try:
        os.unlink(places.lock)
        os.rmdir(places.run)
    except OSError:
        pass
