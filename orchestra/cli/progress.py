"""Progress on stderr: redrawn in place on a terminal, a line a change elsewhere, JSON, or nothing.

The look is docker compose's: a head line `[+] up 2/5`, then a line for each container with its elapsed seconds.
"""

from __future__ import annotations

import os
import sys
import time

from ..wire import compact
from ..wire.terminal import line
from .colours import coloured, moves
from .console import echo
from .steps import Step, step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from .steps import Goal, Mark

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME = 0.1  # seconds between two frames
COLOURS = {"done": "\x1b[32m", "failed": "\x1b[31m", "working": "\x1b[33m"}


class Progress:
    """Takes rows as they change; this one shows nothing (--progress quiet)."""

    tick: float | None = None  # seconds after which `draw` wants to be called again

    def __init__(self, verb: str, goal: Goal, total: int = 0, out: TextIO | None = None) -> None:
        self.verb = verb
        self.goal = goal
        self.total = total
        self.out = out or sys.stderr
        self.steps: dict[str, Step] = {}

    def row(self, row: dict[str, Any]) -> None:
        now, before = step(row, self.goal), self.steps.get(row["name"])
        if now.word == "Started" and (before is None or before.word == "Running"):
            now = Step("Running", now.mark)  # before anything was done: it is left as it is
        self.steps[row["name"]] = now
        if before is None or (before.word, before.mark) != (now.word, now.mark):
            self.changed(row["name"], now)

    def changed(self, name: str, now: Step) -> None:
        """A container made a step; another reason for the one that it is at is none."""

    def draw(self) -> None:
        """Time has passed."""

    def erase(self) -> None:
        """Make room for other output; the next `draw` shows everything again."""

    def close(self) -> None:
        """Nothing more will come."""


class Plain(Progress):
    """A line for each change: for pipes and files."""

    def changed(self, name: str, now: Step) -> None:
        remark = f" ({now.remark})" if now.remark else ""
        echo(f" Container {name}  {now.word}{remark}", self.out)


class Lines(Progress):
    """JSON objects with docker compose's keys."""

    def changed(self, name: str, now: Step) -> None:
        record: dict[str, Any] = {"id": f"Container {name}", "status": now.word}
        if now.remark:
            record["text"] = now.remark
        if now.mark == "failed":
            record["error"] = True
        echo(compact.dumps(record), self.out)


class Live(Progress):
    """Redrawn in place."""

    tick = FRAME

    def __init__(self, verb: str, goal: Goal, total: int = 0, out: TextIO | None = None) -> None:
        super().__init__(verb, goal, total, out)
        self.began: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.drawn = 0

    def changed(self, name: str, now: Step) -> None:
        moment = time.monotonic()
        self.began.setdefault(name, moment)
        if now.mark == "working":
            self.ended.pop(name, None)
        else:
            self.ended.setdefault(name, moment)

    def draw(self) -> None:
        size = _size(self.out)
        lines = self._lines(size.columns, max(3, size.lines - 1), time.monotonic())
        # To the first column as well: the terminal has put a ^C where the cursor was.
        up = f"\r\x1b[{self.drawn}A" if self.drawn else "\x1b[?25l"
        body = "".join(f"\x1b[2K{line}\n" for line in lines)
        self.out.write(f"{up}{body}\x1b[J")
        self.out.flush()
        self.drawn = len(lines)

    def erase(self) -> None:
        if self.drawn:
            self.out.write(f"\r\x1b[{self.drawn}A\x1b[J")
            self.out.flush()
            self.drawn = 0

    def close(self) -> None:
        if self.steps:
            self.draw()
        if self.drawn:
            self.out.write("\x1b[?25h")
            self.out.flush()
            self.drawn = 0

    def _lines(self, columns: int, most: int, moment: float) -> list[str]:
        """The frame, in at most so many lines."""
        done = sum(each.mark == "done" for each in self.steps.values())
        lines = [f"[+] {self.verb} {done}/{max(self.total, len(self.steps))}"]
        names = sorted(self.steps)
        if len(names) >= most:
            # What still moves is worth the room when there is not enough for all.
            names = sorted(names, key=lambda name: self.steps[name].mark == "done")[: most - 2]
        width = max((len(name) for name in names), default=0)
        lines += [self._line(name, width, columns, moment) for name in names]
        hidden = len(self.steps) - len(names)
        return [*lines, f"   … {hidden} more"] if hidden else lines

    def _line(self, name: str, width: int, columns: int, moment: float) -> str:
        now = self.steps[name]
        elapsed = f"{self.ended.get(name, moment) - self.began[name]:.1f}s"
        text = f"Container {name.ljust(width)}  {now.word.ljust(10)}"
        room = columns - len(elapsed) - 6
        if now.remark:
            text += f" {line(now.remark)}"
        if len(text) > room:
            text = text[: max(0, room - 1)] + "…"
        return f" {self._sign(now.mark, moment)} {text.ljust(room)}  {elapsed}"

    def _sign(self, mark: Mark, moment: float) -> str:
        sign = {"done": "✔", "failed": "✘", "working": SPINNER[int(moment / FRAME) % len(SPINNER)]}[mark]
        return f"{COLOURS[mark]}{sign}\x1b[0m" if coloured(self.out) else sign


def _size(out: TextIO) -> os.terminal_size:
    try:
        size = os.get_terminal_size(out.fileno())
    except OSError:
        return os.terminal_size((80, 24))
    return size if size.columns and size.lines else os.terminal_size((80, 24))


def progress(kind: str, verb: str, goal: Goal, total: int = 0) -> Progress:
    """The way of showing that --progress names; `auto` judges stderr."""
    if kind == "auto":
        kind = "tty" if moves(sys.stderr) else "plain"
    shape = {"tty": Live, "plain": Plain, "json": Lines, "quiet": Progress}[kind]
    return shape(verb, goal, total)
