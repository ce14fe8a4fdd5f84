"""Log lines on their way to people: a padded, coloured name in front, on the right stream."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from orchestra.logs.layout import STDERR
from orchestra.logs.reader import Block
from orchestra.logs.render import Renderer

from .colours import coloured, prefix_colours


class Side:
    """One stream of this command with its own prefixes: it may be a terminal while the other is a file."""

    def __init__(self, out: TextIO, colour: bool, timestamps: bool) -> None:
        self.out = out
        self._colour = colour and coloured(out)
        self._renderer = Renderer(out.isatty(), timestamps)
        self._prefixes: dict[str, bytes] = {}

    def name(self, names: Iterable[str]) -> None:
        every = sorted(set(names))
        width = max(map(len, every), default=0)
        colours = prefix_colours(every)
        texts = {each: f"{each.ljust(width)}  | " for each in every}
        if self._colour:
            texts = {each: f"{colours[each]}{text}\x1b[0m" for each, text in texts.items()}
        self._prefixes = {each: text.encode() for each, text in texts.items()}

    def print(self, name: str, block: Block) -> None:
        self._write(self._renderer.render(name, block, self._prefixes.get(name, b"")))

    def finish(self) -> None:
        self._write(self._renderer.finish())

    def _write(self, data: bytes) -> None:
        self.out.flush()
        self.out.buffer.write(data)
        self.out.buffer.flush()


class Printer:
    """`apart`: what containers write to stderr goes to stderr (`up`); otherwise all is stdout (`logs`)."""

    def __init__(self, *, prefix: bool = True, colour: bool = True, timestamps: bool = False, apart: bool = False):
        self.timestamps = timestamps
        self._prefix = prefix
        self._front = Side(sys.stdout, colour, timestamps)
        self._aside = Side(sys.stderr, colour, timestamps) if apart else self._front

    def name(self, names: Iterable[str]) -> None:
        """The names that will stand in front: all are padded to the longest."""
        if self._prefix:
            for side in (self._front, self._aside):
                side.name(names)

    def print(self, name: str, block: Block) -> None:
        (self._aside if block.kind == STDERR else self._front).print(name, block)

    def finish(self) -> None:
        """End a line that nobody has ended."""
        for side in dict.fromkeys((self._front, self._aside)):
            side.finish()
