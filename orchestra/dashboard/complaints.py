"""What the server under the dashboard has to say: one line, now and then. Who sends it nonsense fills no terminal."""

from __future__ import annotations

import asyncio
import logging
import sys
import time

LOGGERS = ("uvicorn.error", "asyncio")
SELDOM = 60.0
"""Seconds between two lines."""


class Complaints(logging.Handler):
    """Errors of its own; what others do wrong is a warning."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._next = 0.0

    @classmethod
    def listen(cls) -> None:
        handler = cls()
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.handlers[:] = [handler]
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        error = record.exc_info[1] if record.exc_info else None
        if now < self._next or isinstance(error, asyncio.CancelledError):  # of what is under way at the end
            return
        self._next = now + SELDOM
        what = record.getMessage().partition("\n")[0]
        why = f": {type(error).__name__}: {error}" if error else ""
        print(f"dashboard: {ascii(what + why)[1:-1]}", file=sys.stderr, flush=True)
