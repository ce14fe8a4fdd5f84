"""The output of containers while they run, interleaved by block, each with its name in front."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from orchestra.logs.follow import Follower
from orchestra.logs.reader import SHOWN, Cursor

from . import words
from .printer import Printer
from .telling import warn


def say_who_is_silent(rows: Iterable[dict[str, Any]]) -> None:
    """Of whom nothing can be shown, since nothing that they write is kept."""
    silent = sorted({row["service"] for row in rows if row.get("log_driver") == "none"})
    if silent:
        warn(f"{', '.join(silent)}: no output is kept (logging: driver: none in the stack file)")


class Output:
    """Containers are added as they appear; `show` prints what they have written since. No services: all."""

    def __init__(self, stack: str, services: Collection[str], printer: Printer) -> None:
        self._services = services
        self.named = bool(services)
        self._follower = Follower()
        self._stack = stack
        self._printer = printer
        self._names: dict[str, str] = {}
        self._since = time.time_ns()

    def add(self, row: dict[str, Any], since: int | None = None, tail: int | None = None) -> None:
        """Show the output of one more container: what is not older than this command, unless told otherwise."""
        directory = row["logs"]
        if not self.wants(row) or directory in self._names:
            return
        self._names[directory] = words.label(self._stack, row)
        self._printer.name(self._names.values())
        start = self._since if since is None else since
        self._follower.add(directory, Cursor(directory, start, tail, SHOWN))

    def wants(self, row: dict[str, Any]) -> bool:
        return not self._services or row["service"] in self._services

    def sources(self) -> list[Follower]:
        """What to wait for beside everything else, at most `patience` seconds."""
        return [self._follower] if self._follower.fileno() >= 0 else []

    def patience(self) -> float:
        return self._follower.patience()

    def finish(self) -> None:
        self._printer.finish()

    def show(self, before: Callable[[], None] = lambda: None) -> bool:
        """Print what is new; `before` is called ahead of the first line. Whether there was anything."""
        anything = False
        for directory, block in self._follower.pull():
            if not anything:
                before()
            anything = True
            self._printer.print(self._names[directory], block)
        return anything
