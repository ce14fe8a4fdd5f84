"""What followers of the use are told, and when."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestra.places import Home
from orchestra.supervisor.book import empty_page
from orchestra.supervisor.journal import Journal
from orchestra.supervisor.measure import Measure
from orchestra.supervisor.world import World


class Listens:
    """A client that is told, and notes how often."""

    def __init__(self) -> None:
        self.told = 0

    async def send(self, message: dict[str, Any]) -> None:
        self.told += 1


def test_who_follows_is_told_on_although_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour back is not an hour of silence."""
    caller, real = Listens(), time.time
    places = Home.of({"ORCHESTRA_HOME": str(tmp_path)}, 0).stack("t")
    measure = Measure(World(places, empty_page(places), Journal()))

    async def keep(*_: Any) -> None:
        if caller.told == 1:
            monkeypatch.setattr(time, "time", lambda: real() - 3600)

    async def follow() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(measure.run, keep)
            tasks.start_soon(measure.usage, {"id": 1, "follow": True, "interval": 1}, [], caller)
            with anyio.fail_after(20):
                while caller.told < 3:  # noqa: ASYNC110 - whom it tells has no event for it
                    await anyio.sleep(0.05)
            tasks.cancel_scope.cancel()

    anyio.run(follow)
