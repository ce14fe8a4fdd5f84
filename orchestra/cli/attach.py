"""The output of containers as `up` shows it: interleaved by line, with a name in front."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from orchestra.logs.layout import LOG, file_name, segments
from orchestra.places import Places

from . import words
from .colours import coloured, prefix_colours


class Output:
    """Containers are added as they appear; `show` prints what they have written since."""

    def __init__(self, places: Places, services: set[str], options: dict[str, Any]) -> None:
        self.services = services
        self._stack = places.name
        self._names: dict[str, str] = {}
        self._at: dict[str, tuple[int, int]] = {}
        self._colours: dict[str, str] = {}

    def add(self, row: dict[str, Any]) -> None:
        directory = row["logs"]
        if row["service"] not in self.services or directory in self._names:
            return
        self._names[directory] = words.label(self._stack, row)
        self._at[directory] = (0, 0)
        self._colours = prefix_colours(self._names.values())

    def show(self, before: Callable[[], None]) -> bool:
        """Print what is new; `before` is called ahead of the first line. Whether there was anything."""
        blocks = [block for directory in self._names for block in [self._news(directory)] if block]
        if blocks:
            before()
            sys.stdout.write("".join(blocks))
            sys.stdout.flush()
        return bool(blocks)

    def _news(self, directory: str) -> str:
        number, offset = self._at[directory]
        name = self._names[directory]
        width = max(map(len, self._names.values()))
        prefix = f"{name.ljust(width)}  | "
        if coloured(sys.stdout):
            prefix = f"{self._colours[name]}{prefix}\x1b[0m"
        text = b""
        for each in segments(directory):
            if each < number:
                continue
            start = offset if each == number else 0
            try:
                with open(os.path.join(directory, file_name(each, LOG)), "rb") as file:
                    file.seek(start)
                    text += file.read()
                    self._at[directory] = (each, file.tell())
            except FileNotFoundError:
                continue
        return "".join(f"{prefix}{line}\n" for line in text.decode(errors="replace").splitlines())
