"""Watches over the health of every container that runs: one task a run, which ends with it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import anyio
import anyio.abc

from ..errors import OrchestraError
from ..plan.facts import Run, Seen
from ..plan.health import Health, after_probe, next_probe_in
from ..stack.model import Service
from ..wire.api import ProbeRecord
from .probing import Probing
from .world import World

KEPT = 5
"""Probes of a container that are remembered (moby keeps as many)."""
Prober = Callable[[str, Service], Probing]
Probed = Callable[[str, str, bool, float, str], None]
"""Container, service, whether it was well, seconds that the probe took, what it said."""

SAID = 500
"""Characters of a probe's answer that an event keeps."""


class HealthWatch:
    def __init__(self, world: World, prober: Prober, probed: Probed, tasks: anyio.abc.TaskGroup) -> None:
        self._world = world
        self._prober = prober
        self._probed = probed
        self._tasks = tasks
        self._watched: dict[str, Run] = {}  # container -> the run under watch, as it was begun

    def look(self) -> None:
        """Start watching every run that has a health check and is not watched yet."""
        for name, seen in self._world.seen.items():
            run = seen.run
            check = seen.service.healthcheck
            if run is None or check is None or not run.alive or _same(self._watched.get(name), run):
                continue
            self._watched[name] = run
            self._tasks.start_soon(self._watch, name, run)

    async def _watch(self, name: str, run: Run) -> None:
        health = self._known(name, run.started)
        pause = 0.0 if health.verdict != "starting" else None  # it ran before this supervisor did: look at once
        first = unasked = ""
        while (seen := self._current(name, run)) is not None:
            check = seen.service.healthcheck
            assert check is not None
            wait = next_probe_in(check, health, run.started, time.monotonic()) if pause is None else pause
            pause = None
            await anyio.sleep(wait)
            if (seen := self._current(name, run)) is None:
                break
            if self._is_paused(name):
                await self._world.changed()
                continue
            first = first or f"{time.time():.4f}"
            begun, clock = time.monotonic(), time.time()
            try:
                ok, text = await self._prober(name, seen.service).probe(check)
                text = self._world.journal.secrecy.hide(text)
            except (OSError, OrchestraError) as error:  # it could not be asked, which says nothing about it
                unasked = self._tell_unasked(name, seen.service.name, str(error), unasked)
                pause = check.interval
                continue
            if self._is_paused(name):
                continue  # it was frozen while it was asked
            ended = time.monotonic()
            self._keep(name, {"start": clock, "end": clock + ended - begun, "ok": ok, "text": text})
            self._probed(name, seen.service.name, ok, ended - begun, text)
            before, health = health, after_probe(check, health, ok, text, run.started, ended)
            if self._current(name, run) is not None:
                self._tell(name, before, health, first)

    def _tell_unasked(self, name: str, service: str, why: str, before: str) -> str:
        """Why nobody can tell how it is, once for each reason."""
        if why != before:
            self._world.journal.tell("notice", f"the health of {name} cannot be checked: {why}", service, name)
        return why

    def _known(self, name: str, started: float) -> Health:
        """A verdict outlives the supervisor that came to it."""
        seen = self._world.seen[name]
        if seen.health in ("healthy", "unhealthy"):
            return Health(seen.health, seen.health_since, text=seen.health_text)
        return Health(since=started)

    def _keep(self, name: str, probe: ProbeRecord) -> None:
        if name in self._world.seen:
            self._world.probes.setdefault(name, deque(maxlen=KEPT)).append(probe)

    def _is_paused(self, name: str) -> bool:
        return name in self._world.seen and self._world.seen[name].paused

    def _current(self, name: str, run: Run) -> Seen | None:
        seen = self._world.seen.get(name)
        if seen is None or seen.run is None or not _same(seen.run, run) or not seen.run.alive:
            return None
        return seen

    def _tell(self, name: str, before: Health, health: Health, first: str) -> None:
        """`first`: when its first probe was, in epoch seconds."""
        if health.verdict == before.verdict and health.text == before.text:
            return
        self._world.note(name, health=health.verdict, health_text=health.text, health_since=health.since)
        if health.verdict != before.verdict:
            text = f"{name} is {health.verdict}: {health.text}"
            said = health.text[:SAID]
            self._world.tell_of(name, f"health_status: {health.verdict}", text[:SAID], said=said, first=first)
        self._world.ring()


def _same(one: Run | None, other: Run) -> bool:
    """A container of the same name, made anew, begins at number 1 again."""
    return one is not None and (one.number, one.started) == (other.number, other.started)
