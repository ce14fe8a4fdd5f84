"""Keeps what happens: events, probes and use go from here to the archive, which lives in worker threads.

What cannot be written is lost, but for events, which wait for room.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from ..errors import OrchestraError
from ..plan.probesum import ProbeSum
from ..plan.rates import metrics_of, together
from ..wire.api import Event
from ..wire.history import Alert, Usage
from .world import World

if TYPE_CHECKING:
    from ..state.archive import Archive

WRITE_PAUSE = 0.05
"""Seconds between an event and its writing, so that those of one moment share a transaction."""
FULL_PAUSE = 1.0
TIDY_EVERY = 300.0
MOST_FIRING = 1000
AWAY = 30.0
"""Seconds without a supervisor after which what happened meanwhile is called unknown."""


class Chronicle:
    def __init__(self, world: World, take_probes: Callable[[], list[ProbeSum]]) -> None:
        self.path = world.places.history
        self._world = world
        self._journal = world.journal
        self._take_probes = take_probes
        self._archive: Archive | None = None
        self._writing = anyio.Lock()
        self._complained = False
        self._over = False  # nothing is to be written any more
        self._begun = time.time()

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow_events)
            tasks.start_soon(self._tidy)

    async def settle(self) -> None:
        """Everything that was told is written, or cannot be."""
        async with self._writing:
            events = list(self._journal.unwritten)
            if events and await self._do(lambda archive: archive.add(events)):
                self._journal.written(events[-1]["id"])

    async def finish(self, forget: bool) -> None:
        """The last of the stack: write what is left, or take all of it away."""
        if not forget:
            await self.settle()
        async with self._writing:
            await self._do(lambda archive: archive.remove() if forget else archive.close())
            self._over = True

    async def keep_alert(self, alert: Alert) -> None:
        async with self._writing:
            await self._do(lambda archive: archive.keep_alert(alert))

    async def note_told(self, alert: int, failed: str) -> None:
        async with self._writing:
            await self._do(lambda archive: archive.note_told(alert, failed))

    async def alerts(self, start: float, limit: int) -> list[Alert]:
        """Firing ones first, then those that were over after `start`, the newest first."""
        from ..state import recall

        return await anyio.to_thread.run_sync(recall.alerts, self.path, start, limit)

    async def firing(self) -> list[Alert]:
        """Those that an earlier supervisor left; none where nothing can be read."""
        try:
            return [alert for alert in await self.alerts(time.time(), MOST_FIRING) if alert["resolved"] is None]
        except OrchestraError:
            return []

    async def open(self) -> None:
        """Begin, or go on where an earlier supervisor stopped."""
        async with self._writing:
            away = await self._do(_opened)
        if away is None:
            return
        last, alive = away
        self._journal.go_on_after(last)
        if alive is not None and self._begun - alive > AWAY:
            attributes = {"since": f"{alive:.3f}", "until": f"{self._begun:.3f}"}
            self._journal.tell("supervisor", "nobody looked after the stack for a while", attributes=attributes)

    async def _follow_events(self) -> None:
        def hear(_: Event) -> None:
            told.set()

        deaf = self._journal.listen(hear)
        try:
            while True:
                told = anyio.Event()  # at each turn: what was told in the midst of a writing may be written already
                if self._journal.unwritten:
                    await anyio.sleep(WRITE_PAUSE)
                    await self.settle()
                # What a full disk did not take is tried again.
                with anyio.move_on_after(FULL_PAUSE if self._journal.unwritten else None):
                    await told.wait()
        finally:
            deaf()

    async def keep_sample(self, sample: Mapping[str, Usage], grain: int, now: float) -> None:
        uses = {(name, its["service"]): metrics_of(its) for name, its in sample.items()}
        if uses:
            uses["", ""] = together(uses.values())
        probes = self._take_probes() if grain > 1 else []
        async with self._writing:
            await self._do(lambda archive: archive.add((), probes, uses, grain, now))

    async def _tidy(self) -> None:
        while True:
            async with self._writing:
                await self._do(lambda archive: archive.tidy(time.time()))
            await anyio.sleep(TIDY_EVERY)

    async def _do(self, work: Callable[[Archive], Any]) -> Any:
        """What the work returns (True for None); None, and a word in the log, where the disk does not take it."""
        if self._over:
            return None
        result, trouble = await anyio.to_thread.run_sync(self._attempt, work)
        if trouble and not self._complained:
            sys.stderr.write(f"supervisor: cannot write to {self.path}: {trouble}\n")
        self._complained = bool(trouble)
        assert self._archive is not None
        for notice in self._archive.notices:
            self._journal.tell("notice", notice)
        self._archive.notices.clear()
        return result

    def _attempt(self, work: Callable[[Archive], Any]) -> tuple[Any, str]:
        from ..state.archive import Archive, Unwritable

        self._archive = self._archive or Archive(self.path)
        try:
            result = work(self._archive)
        except Unwritable as error:
            return None, str(error)
        return (True if result is None else result), ""


def _opened(archive: Archive) -> tuple[int, float | None]:
    archive.open()
    return archive.last_event(), archive.last_alive()
