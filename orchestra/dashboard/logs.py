"""Logs for pages: which there are, how they grow, and searches in what is stored.

A flood is bounded at every place: so many bytes of a log for each look, so many lines for a page. What is left out is
counted and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from ..logs.follow import merge
from ..logs.layout import DROPPED, RUN_ENDED, RUN_STARTED, STDERR, STDOUT
from ..logs.reader import OUTPUT, Block, Cursor, read
from ..logs.render import Renderer, plain
from .aside import think_aside
from .board import Board
from .lines import LONGEST, told
from .search import Found, Query
from .stream import Say

TICK = 0.1
"""Seconds between two looks while something comes; quieter logs are looked at less often."""
LONGEST_TICK = 0.4
LOOK_FOR_MORE = 1.0
"""Seconds between two looks for containers that have come to be."""
MOST_BYTES = 512 * 1024
"""Of one log at one look."""
MOST_LINES = 3000
"""For one page at one look."""
AFTER_A_JUMP = 200
"""Lines that are shown of what was left out."""
MOST_SOURCES = 500
KINDS = frozenset((STDOUT, STDERR, RUN_STARTED, RUN_ENDED, DROPPED))
PATIENCE = 6.0
"""Seconds; then a search is killed, since a pattern may take for ever."""

Line = list[Any]


@dataclass(frozen=True, slots=True)
class Source:
    stack: str
    service: str
    container: str
    directory: str

    def describe(self) -> dict[str, str]:
        return {"stack": self.stack, "service": self.service, "container": self.container}


def sources(board: Board, stack: str, services: Iterable[str]) -> list[Source]:
    """The logs of a stack's containers, of these services or all; of every stack where `stack` is ""."""
    chosen = set(services)
    found = [
        Source(name, row["service"], row["name"], row["logs"])
        for name in ([stack] if stack else sorted(board.names()))
        for row in board.rows(name).values()
        if not chosen or row["service"] in chosen
    ]
    return sorted(found, key=lambda one: (one.stack, one.container))[:MOST_SOURCES]


class Follower:
    """Cursors of all logs that a page follows."""

    def __init__(self, board: Board, stack: str, services: list[str], tail: int) -> None:
        self._board = board
        self._asked = (stack, services)
        self._tail = tail
        self._cursors: dict[Source, tuple[int, Cursor]] = {}
        self._unfinished: dict[tuple[int, int], Block] = {}
        """By number and stream, the last line where it may go on: what comes is told as all of it, instead of it."""

    def close(self) -> None:
        for _, cursor in self._cursors.values():
            cursor.close()

    def look_for_more(self) -> list[dict[str, str]]:
        """Follow what has come to be; returns these. Numbers only grow: a page knows what it was told."""
        fresh = [one for one in sources(self._board, *self._asked) if one not in self._cursors]
        for source in fresh:
            cursor = Cursor(source.directory, tail=self._tail, kinds=KINDS)
            self._cursors[source] = (len(self._cursors), cursor)
        return [source.describe() for source in fresh]

    def pull(self) -> tuple[list[Line], int]:
        """What came since, in order of time, and how many bytes of it were left out."""
        lines: list[Line] = []
        skipped = 0
        for source, (number, cursor) in list(self._cursors.items()):
            size = 0
            for block in cursor.pull():
                size += len(block.data)
                if size > MOST_BYTES:
                    cursor.close()
                    skipped += size
                    fresh = Cursor(source.directory, tail=AFTER_A_JUMP, kinds=KINDS)
                    self._cursors[source] = (number, fresh)
                    break
                lines += self._told(number, block)
        lines.sort(key=lambda line: line[0])
        return lines, skipped

    def _told(self, number: int, block: Block) -> list[Line]:
        lines: list[Line] = []
        key = (number, block.kind)
        before = self._unfinished.pop(key, None)
        if before is not None and before.run == block.run:
            head, newline, rest = block.data.partition(b"\n")
            before = before._replace(data=before.data + head + newline)
            lines += [[*line, 1] for line in told(number, before)]
            if not newline:
                self._hold(key, before)
                return lines
            block = block._replace(data=rest)
        if block.data or block.kind not in OUTPUT:
            lines += told(number, block)
            self._hold(key, block._replace(data=block.data[block.data.rfind(b"\n") + 1 :]))
        return lines

    def _hold(self, key: tuple[int, int], end: Block) -> None:
        """The end of a line is to come; unless nothing of it was shown, or more than is shown of any line."""
        if len(end.data) < LONGEST and plain(end.data):
            self._unfinished[key] = end


async def follow(board: Board, wish: Mapping[str, Any], say: Say) -> None:
    """The topic `logs`: `{"stack", "services", "tail"}`. Messages: `sources` that come to be, `lines`, `skipped`."""
    named = wish.get("services")
    stack, services = str(wish.get("stack") or ""), [str(one) for one in named] if isinstance(named, list) else []
    tail = wish.get("tail")
    follower = Follower(board, stack, services, min(max(tail if isinstance(tail, int) else 200, 0), MOST_LINES))
    pause, looked = TICK, 0.0
    try:
        while True:
            if anyio.current_time() - looked >= LOOK_FOR_MORE:
                looked = anyio.current_time()
                if fresh := follower.look_for_more():
                    say({"sources": fresh})
            lines, left_out = follower.pull()
            if len(lines) > MOST_LINES:
                left_out += sum(len(line[4]) for line in lines[:-MOST_LINES])
                lines = lines[-MOST_LINES:]
            if lines or left_out:
                say({"lines": lines, "skipped": left_out})
            pause = TICK if lines else min(LONGEST_TICK, pause * 1.5)
            await anyio.sleep(pause)
    finally:
        follower.close()


def whole(chosen: list[Source], since: int, until: int) -> Iterator[bytes]:
    """Everything that is stored of these, in order of time, with names and times; nanoseconds since the epoch."""
    renderer = Renderer(terminal=False, timestamps=True)
    blocks = merge({source.container: read(source.directory, since, until) for source in chosen})
    for name, block in blocks:
        yield renderer.render(name, block, f"{name} | ".encode())
    yield renderer.finish()


async def find(chosen: list[Source], query: Query) -> Found:
    """Search what is stored. Raises OrchestraError for a pattern that is none, or that takes for ever."""
    query.pattern()
    question = [[source.directory for source in chosen], query.plain()]
    return Found(**await think_aside("search", question, PATIENCE, "this search"))
