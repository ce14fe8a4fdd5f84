"""Watches over the health of every container that runs: one task a run, which ends with it."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import anyio.abc

from ..plan.facts import Seen
from ..plan.health import Health, after_probe, next_probe_in
from ..stack.model import Service
from .probing import Probing
from .world import World

Prober = Callable[[str, Service], Probing]


class HealthWatch:
    def __init__(self, world: World, prober: Prober, tasks: anyio.abc.TaskGroup) -> None:
        self._world = world
        self._prober = prober
        self._tasks = tasks
        self._watched: dict[str, int] = {}  # container -> number of the run under watch

    def look(self) -> None:
        """Start watching every run that has a health check and is not watched yet."""
        for name, seen in self._world.seen.items():
            run = seen.run
            check = seen.service.healthcheck
            if run is None or check is None or not run.alive or self._watched.get(name) == run.number:
                continue
            self._watched[name] = run.number
            self._tasks.start_soon(self._watch, name, run.number, run.started)

    async def _watch(self, name: str, number: int, started: float) -> None:
        health = Health(since=started)
        while (seen := self._current(name, number)) is not None:
            check = seen.service.healthcheck
            assert check is not None
            await anyio.sleep(next_probe_in(check, health, started, time.monotonic()))
            if (seen := self._current(name, number)) is None:
                break
            ok, text = await self._prober(name, seen.service).probe(check)
            before, health = health, after_probe(check, health, ok, text, started, time.monotonic())
            if self._current(name, number) is not None:
                self._tell(name, before, health)

    def _current(self, name: str, number: int) -> Seen | None:
        seen = self._world.seen.get(name)
        if seen is None or seen.run is None or seen.run.number != number or not seen.run.alive:
            return None
        return seen

    def _tell(self, name: str, before: Health, health: Health) -> None:
        if health.verdict == before.verdict and health.text == before.text:
            return
        self._world.note(name, health=health.verdict, health_text=health.text, health_since=health.since)
        if health.verdict != before.verdict:
            service = self._world.seen[name].service.name
            text = f"{name} is {health.verdict}: {health.text}"
            self._world.journal.tell(f"health_status: {health.verdict}", text, service, name)
        self._world.ring()
