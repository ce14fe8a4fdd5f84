"""The keeper's heart: one thread, one epoll, timers in a heap."""

from __future__ import annotations

import heapq
import select
import time
from collections.abc import Callable

IN = select.EPOLLIN
OUT = select.EPOLLOUT
EDGE = select.EPOLLET
Handler = Callable[[int], None]


class Timer:
    """A call to come; `cancel` makes it nothing."""

    __slots__ = ("call", "due")

    def __init__(self, due: float, call: Callable[[], None] | None) -> None:
        self.due = due
        self.call = call

    def cancel(self) -> None:
        self.call = None

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due


class Loop:
    """Each ready descriptor gets one call per round, so none can starve the others."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[Timer] = []
        self.over = False

    def watch(self, descriptor: int, handler: Handler, events: int = IN) -> None:
        self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def change(self, descriptor: int, events: int) -> None:
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Watch no more; call it before the descriptor is closed. Idempotent."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + seconds, call)
        heapq.heappush(self._timers, timer)
        return timer

    def run(self) -> None:
        while not self.over:
            ready = self._epoll.poll(self._patience())
            expected = [self._handlers.get(descriptor) for descriptor, _ in ready]
            for (descriptor, events), handler in zip(ready, expected, strict=True):
                # An earlier handler of this round may have closed it, and its number may mean something else already.
                if handler is not None and self._handlers.get(descriptor) is handler:
                    handler(events)
            self._ring()

    def _patience(self) -> float:
        while self._timers and self._timers[0].call is None:
            heapq.heappop(self._timers)
        return max(self._timers[0].due - time.monotonic(), 0.0) if self._timers else -1

    def _ring(self) -> None:
        now = time.monotonic()
        due = []
        while self._timers and self._timers[0].due <= now:
            due.append(heapq.heappop(self._timers))
        for timer in due:
            if timer.call is not None:
                timer.call()
