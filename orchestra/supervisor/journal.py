"""The stack's events: what happened and why, handed to whoever listens, and to the chronicle, which keeps them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ..wire.api import Event
from .secrecy import Secrecy

MOST_UNWRITTEN = 5000
"""Events that wait for a disk that takes none; then the oldest go."""


class Journal:
    """`tell` never fails and never blocks."""

    def __init__(self) -> None:
        self.secrecy = Secrecy()
        self.unwritten: deque[Event] = deque(maxlen=MOST_UNWRITTEN)
        self._listeners: list[Callable[[Event], None]] = []
        self._last = 0

    def tell(
        self, action: str, text: str, service: str = "", container: str = "", attributes: dict[str, str] | None = None
    ) -> None:
        now = time.time()
        # The time in microseconds, but rising whatever the clock does.
        self._last = max(self._last + 1, int(now * 1e6))
        event: Event = {
            "id": self._last,
            "time": now,
            "action": action,
            "service": service,
            "container": container,
            "text": self.secrecy.hide(text),
            "attributes": {key: self.secrecy.hide(value) for key, value in (attributes or {}).items()},
        }
        self.unwritten.append(event)
        for listener in list(self._listeners):
            listener(event)

    def written(self, last: int) -> None:
        """Those up to this id are kept elsewhere now."""
        while self.unwritten and self.unwritten[0]["id"] <= last:
            self.unwritten.popleft()

    def go_on_after(self, last: int) -> None:
        """Ids from now on are above this one, which an earlier supervisor gave."""
        self._last = max(self._last, last)

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` for each event from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
