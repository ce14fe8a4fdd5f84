"""Whether what was started has turned out to be there: the one rule of `up`, `up --wait` and `depends_on`.

Compose's `service_started` and its `--wait` count a container as soon as its process exists (Compose Specification,
05-services.md, depends_on; docker compose up --wait), so one that ends at once because of a mistake counts as well.
Here it has to stay for a moment first, or to end well.
"""

from __future__ import annotations

import enum

from .facts import Seen, Target

MOMENT = 0.5
"""Seconds: longer than most programs take to find out that something is missing, and than a busy machine takes to
hear of their end."""


class Standing(enum.Enum):
    COMING = "coming"  # nothing has been started yet of what is wanted now
    FRESH = "fresh"  # it runs, and may yet end at once
    STAYED = "stayed"  # it runs, or ran, for a moment at least
    DONE = "done"  # it has ended well
    FAILED = "failed"  # it could not be started, or has ended badly at once


def standing(target: Target, seen: Seen | None, now: float) -> Standing:
    run = seen.run if seen is not None else None
    if run is None or run.epoch < target.epoch or run.config != target.service.config_hash:
        return Standing.COMING
    if run.trouble:
        return Standing.FAILED
    if run.code == 0:
        return Standing.DONE
    end = now if run.ended is None else run.ended
    if end - run.started >= MOMENT:
        return Standing.STAYED
    return Standing.FRESH if run.alive else Standing.FAILED


def was_started(target: Target, seen: Seen | None) -> bool:
    """Whether it has been started once as it is wanted now, whatever became of it: what `up -d` waits for."""
    run = seen.run if seen is not None else None
    current = run is not None and run.epoch >= target.epoch and run.config == target.service.config_hash
    return current and run is not None and not run.trouble
