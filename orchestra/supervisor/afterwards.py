"""What nobody needs before the first containers run: history, use, causes, alerts, who talks to whom. Their modules
and SQLite take longer to import than a container takes to start, so that is done when all is quiet, or when somebody
asks.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from ..plan.probesum import MINUTE, ProbeSum
from ..wire.frames import Message
from .api import Caller, Handler
from .world import World

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .chronicle import Chronicle

LATEST = 3.0
"""Seconds after the first container was made at which it begins although something is still being started."""
QUESTIONS = (
    *("usage", "events", "health", "probes", "series", "marks", "startup", "why"),
    *("alerts", "alert_test", "networks"),
)

EVERYDAY = 2000, 10, 10
"""gc.set_threshold."""


class Afterwards:
    def __init__(self, world: World) -> None:
        self._world = world
        self._probes: dict[tuple[int, str], ProbeSum] = {}
        self._asked = anyio.Event()
        self._ready = anyio.Event()
        self._answers: Mapping[str, Handler] = {}
        self._chronicle: Chronicle | None = None

    def handlers(self) -> dict[str, Handler]:
        return {name: partial(self._answer, name) for name in QUESTIONS}

    def probed(self, container: str, service: str, ok: bool, took: float, text: str) -> None:
        """One probe of a container has ended."""
        minute = int(time.time()) // MINUTE * MINUTE
        before = self._probes.get((minute, container)) or ProbeSum(minute, container, service)
        self._probes[minute, container] = before.and_one(ok, took, text)

    async def run(self) -> None:
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(self._ask_when_quiet)
            await self._asked.wait()
            waiting.cancel_scope.cancel()
        await self._begin()

    async def finish(self, forget: bool) -> None:
        """The last of the stack: write what is left, or take away all that is remembered."""
        from .chronicle import Chronicle

        chronicle = self._chronicle or Chronicle(self._world, self.take_probes)
        await chronicle.finish(forget)

    def take_probes(self) -> list[ProbeSum]:
        """Those since the last time."""
        taken, self._probes = list(self._probes.values()), {}
        return taken

    async def _ask_when_quiet(self) -> None:
        world = self._world
        while not world.seen:
            await world.changed()
        with anyio.move_on_after(LATEST):
            while not world.settled:
                await world.changed()
        self._asked.set()

    async def _begin(self) -> None:
        """For ever: everything is imported, and its tasks run."""
        await anyio.to_thread.run_sync(_import)
        # While starting, garbage was left lying. From now on it is looked for in what is not here to stay: crashes
        # leave cycles (exceptions with their frames) that would add up to megabytes.
        gc.freeze()
        gc.set_threshold(*EVERYDAY)
        from .alarm import Alarm
        from .chronicle import Chronicle
        from .measure import Measure
        from .neighbours import Neighbours
        from .recollect import Recollect

        measure = Measure(self._world)
        chronicle = self._chronicle = self._chronicle or Chronicle(self._world, self.take_probes)
        alarm = Alarm(self._world, chronicle, measure)
        recollect = Recollect(self._world, chronicle)
        networks = Neighbours(self._world)
        self._answers = {
            "usage": measure.usage,
            **recollect.handlers(),
            **alarm.handlers(),
            **networks.handlers(),
        }
        await chronicle.open()
        self._ready.set()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(chronicle.run)
                tasks.start_soon(measure.run, chronicle.keep_sample)
                tasks.start_soon(alarm.run)
        finally:
            alarm.close()

    async def _answer(self, name: str, message: Message, descriptors: list[int], caller: Caller) -> dict[str, Any]:
        self._asked.set()
        await self._ready.wait()
        return await self._answers[name](message, descriptors, caller)


def _import() -> None:
    """In a worker thread, so that the others go on in between."""
    import shutil  # see state.files.remove_tree

    from . import alarm, chronicle, measure, neighbours, recollect

    del alarm, chronicle, measure, neighbours, recollect, shutil
