"""The stack's events: what happened and why, kept in a bounded file, handed to whoever listens."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator

from ..state.files import ensure_folder
from ..wire.api import Event

KEPT_IN_MEMORY = 2000
LARGEST_FILE = 4 * 1024 * 1024


class Journal:
    """`tell` never fails: a full disk loses the stored copy of an event, not the service."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._recent: deque[Event] = deque(_stored(path), maxlen=KEPT_IN_MEMORY)
        self._listeners: list[Callable[[Event], None]] = []
        self._fresh: list[Event] = []

    def tell(
        self, action: str, text: str, service: str = "", container: str = "", attributes: dict[str, str] | None = None
    ) -> None:
        event: Event = {
            "time": time.time(),
            "action": action,
            "service": service,
            "container": container,
            "text": text,
            "attributes": attributes or {},
        }
        self._recent.append(event)
        self._fresh.append(event)
        for listener in list(self._listeners):
            listener(event)

    def flush(self) -> None:
        """Store what is new. Blocks for the disk; call it from a worker thread."""
        fresh, self._fresh = self._fresh, []
        if not fresh:
            return
        lines = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in fresh)
        try:
            ensure_folder(os.path.dirname(self._path))
            if os.path.exists(self._path) and os.path.getsize(self._path) > LARGEST_FILE:
                os.replace(self._path, f"{self._path}.1")
            with open(self._path, "a", opener=_private) as file:
                file.write(lines)
        except OSError:
            return

    def since(self, start: float | None) -> list[Event]:
        return [event for event in self._recent if start is None or event["time"] >= start]

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` for each event from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _stored(path: str) -> Iterator[Event]:
    for name in (f"{path}.1", path):
        try:
            with open(name) as file:
                lines = file.readlines()[-KEPT_IN_MEMORY:]
        except OSError:
            continue
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:  # the line that a crash cut short
                continue
