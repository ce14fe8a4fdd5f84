"""The processes that start containers: a few at a time, each of which starts one after the other.

Note [Few starters]: A fork of the keeper is more than half of what a starter costs, since every page that it touches
is copied. So what waits is in a pipe, as numbers, and whoever is done with a start takes the next one from there.
A starter knows what waited when it was forked; one that draws a later number puts it back and ends, and the keeper
forks another. A start that hangs (a network's file system that does not answer) holds up its own starter alone.
"""

from __future__ import annotations

import functools
import os
import struct

from .engine import Engine
from .errand import WORDLESS, close_all_but, outcome, run_long
from .loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..wire.spec import Spec

    Result = dict[str, Any]
    Say = Callable[[Result, list[int]], None]

MOST = 2 * (os.cpu_count() or 1)
"""Starters at a time: each of them waits half of its time, for the container's first process and for the kernel."""
GATHER = 0.002
"""Seconds that a start waits for others to come, once one is under way."""
STUCK = 1.0
"""Seconds without news after which starters count as hanging, and one more is forked for those that wait."""
NUMBER = struct.Struct("I")


class Start:
    """One that is asked for. `stdio` belongs to it: it is closed when it is over."""

    __slots__ = ("done", "spec", "stdio")

    def __init__(self, spec: Spec, stdio: list[int], done: Say) -> None:
        self.spec = spec
        self.stdio = stdio
        self.done = done


class Starters:
    def __init__(self, loop: Loop, engine: Engine, forked: Callable[[], None], ended: Callable[[], None]) -> None:
        """`forked` and `ended` are called for each starter."""
        self._loop = loop
        self._engine = engine
        self._forked = forked
        self._ended = ended
        self._draw, self._put = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._starts: dict[int, Start] = {}
        self._last = 0
        self._running = 0
        self._looking = self._watching = False
        self._news = 0

    def add(self, start: Start) -> None:
        self._last += 1
        self._starts[self._last] = start
        os.write(self._put, NUMBER.pack(self._last))
        if not self._looking:
            self._looking = True
            self._loop.later(GATHER if self._running else 0, self._look)

    def _look(self) -> None:
        """Fork starters while something waits."""
        self._looking = False
        while self._running < MOST and (number := self._next()):
            self._fork(number)
        if not self._watching:
            self._watch(-1)

    def _watch(self, news: int) -> None:
        """Fork one more for those that wait whenever nothing has been heard for a while."""
        if news == self._news and self._running >= MOST and (number := self._next()):
            self._fork(number)
        self._watching = bool(self._starts)
        if self._watching:
            now = self._news
            self._loop.later(STUCK, lambda: self._watch(now))

    def _next(self) -> int:
        """The number of a start that waits, 0 if there is none."""
        try:
            return int(NUMBER.unpack(os.read(self._draw, NUMBER.size))[0])
        except BlockingIOError:
            return 0

    def _fork(self, number: int) -> None:
        under_way = {number}

        def told(result: Result, descriptors: list[int]) -> None:
            self._news += 1
            its = int(result.pop("start"))
            if result:
                under_way.discard(its)
                self._over(its, result, descriptors)
            else:
                under_way.add(its)

        def ended() -> None:
            self._running -= 1
            for its in under_way:
                self._over(its, {"error": WORDLESS}, [])
            waiting = self._next()
            if waiting:
                self._fork(waiting)
            elif not self._running:  # a starter was killed just after it had drawn
                for its in list(self._starts):
                    self._over(its, {"error": WORDLESS}, [])
            self._ended()

        keep = [self._draw, self._put, *(fd for start in self._starts.values() for fd in start.stdio)]
        self._running += 1
        self._forked()
        try:
            run_long(self._loop, lambda *tell: self._work(number, *tell), told, ended, keep)
        except OSError as error:
            self._running -= 1
            self._ended()
            self._over(number, {"error": {**WORDLESS, "errno": error.errno or 0, "what": str(error)}}, [])

    def _over(self, number: int, result: Result, descriptors: list[int]) -> None:
        start = self._starts.pop(number)
        for descriptor in start.stdio:
            os.close(descriptor)
        start.done(result, descriptors)

    # In a starter

    def _work(self, number: int, say: Say, keep: tuple[int, ...]) -> None:
        """Begin with this one, then whatever waits."""
        while True:
            start = self._starts[number]
            result, masters = outcome(functools.partial(self._engine.launch, start.spec, start.stdio))
            say({"start": number, **result}, masters)
            close_all_but(keep)  # nothing that was opened for one container is open while the next one is made
            number = self._next()
            if not number:
                return
            if number not in self._starts:
                os.write(self._put, NUMBER.pack(number))
                return
            say({"start": number}, [])
