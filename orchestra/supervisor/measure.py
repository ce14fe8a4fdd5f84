"""Measures what the containers use: every ten seconds, and as often as the most eager follower asks."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import anyio
import anyio.to_thread

from ..network.counters import Counters, counters
from ..plan.rates import rates
from ..runtime import cgroups
from ..runtime.usage import usage
from ..wire.frames import Message
from ..wire.history import Traffic, Usage
from . import wiring
from .api import Caller
from .world import World

EVERY = 10.0
"""Seconds between two samples while nobody follows."""
SHORTEST = 1.0
FIRST_WAIT = 0.5
"""Seconds between the two samples that rates need where there is no earlier one."""
OLDEST = 1.5 * EVERY
"""Seconds after which a sample is too old to tell a rate of now."""


Keep = Callable[[dict[str, Usage], int, float], Awaitable[None]]
"""Takes a sample of everything that runs, its grain in seconds, and its time."""


class Measure:
    """`latest` is the newest sample, by container."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.latest: dict[str, Usage] = {}
        self._followers = 0
        self._came = anyio.Event()  # a follower
        self._sampled = anyio.Event()

    async def run(self, keep: Keep) -> None:
        """Sample for ever. Times are whole multiples of the interval, so that a series has no gaps of half a step."""
        tens: dict[str, Usage] = {}
        while True:
            await self._pause()
            now = time.time()
            found = await self.sample()
            whole = int(now) % int(EVERY) == 0 or not any(now - its["time"] < EVERY for its in tens.values())
            if self._followers:
                self.latest = _rated(found, self.latest)
                self._sampled.set()
                self._sampled = anyio.Event()
                await keep(self.latest, int(SHORTEST), now)
            if whole:
                tens = _rated(found, tens)
                self.latest = self.latest if self._followers else tens
                await keep(tens, int(EVERY), now)

    async def _pause(self) -> None:
        if not self._followers:
            self._came = anyio.Event()
            with anyio.move_on_after(_until_multiple_of(EVERY)):
                await self._came.wait()
        if self._followers:
            await anyio.sleep(_until_multiple_of(SHORTEST))

    async def usage(self, message: Message, _: list[int], caller: Caller) -> dict[str, Any]:
        services = message.get("services")
        if message.get("follow"):
            await self._follow(message, services, caller)
        return {"usage": await self._once(services)}

    async def _once(self, services: Collection[str] | None) -> list[Usage]:
        now = time.time()
        before = {name: its for name, its in self.latest.items() if FIRST_WAIT <= now - its["time"] <= OLDEST}
        if not before:
            before = await self.sample(services)
            await anyio.sleep(FIRST_WAIT)
        return list(_rated(await self.sample(services), before).values())

    async def _follow(self, message: Message, services: Collection[str] | None, caller: Caller) -> None:
        """Until the client has gone."""
        pause = max(SHORTEST, float(message.get("interval") or SHORTEST))
        self._followers += 1
        self._came.set()
        try:
            told = await self._once(services)
            due = time.monotonic() + pause
            while True:
                await caller.send({"re": message["id"], "usage": told})
                while time.monotonic() < due - SHORTEST / 2:
                    await self._sampled.wait()
                due += pause
                told = [its for its in self.latest.values() if not services or its["service"] in services]
        finally:
            self._followers -= 1

    async def sample(self, services: Collection[str] | None = None) -> dict[str, Usage]:
        """What the running containers of these services use, without rates."""
        world = self._world
        asked = [
            (name, seen.service.name, seen.oom_kills_before, list(wiring.ports_of(world, name, seen.service)))
            for name, seen in world.seen.items()
            if seen.alive and (not services or seen.service.name in services)
        ]
        return await anyio.to_thread.run_sync(_sample, asked, world.places.cgroup)


def _rated(found: dict[str, Usage], before: dict[str, Usage]) -> dict[str, Usage]:
    """A sample with the rates since another one."""
    rated: dict[str, Usage] = {}
    for name, its in found.items():
        known = rates(before[name], its) if name in before else None
        rated[name] = {**its, "rates": known} if known else its
    return rated


def _until_multiple_of(seconds: float) -> float:
    return seconds - time.time() % seconds


def _sample(
    asked: list[tuple[str, str, int, list[tuple[str, str, str, str]]]], cgroup: Callable[[str], str]
) -> dict[str, Usage]:
    pins = {pin for *_, ports in asked for _, _, pin, _ in ports}
    traffic = counters(sorted(pins)) if pins else {}
    driver = cgroups.driver()
    found: dict[str, Usage] = {}
    for name, service, kills_before, ports in asked:
        its = usage(driver, cgroup(name))
        if its is None:
            continue  # it ended meanwhile
        found[name] = {
            "time": time.time(),
            "container": name,
            "service": service,
            "networks": [
                _traffic(key, interface, counted)
                for key, interface, pin, port in ports
                if (counted := traffic.get(pin, {}).get(port))
            ],
            "cpu": its.cpu,
            "cpu_limit": its.cpu_limit,
            "throttled_periods": its.throttled_periods,
            "throttled": its.throttled,
            "memory": its.memory,
            "working_set": its.working_set,
            "memory_limit": its.memory_limit,
            "memory_peak": its.memory_peak,
            "oom_kills": kills_before + its.oom_kills,
            "pids": its.pids,
            "pids_limit": its.pids_limit,
            "read": its.read,
            "written": its.written,
            "pressure_cpu": its.pressure_cpu,
            "pressure_memory": its.pressure_memory,
            "pressure_io": its.pressure_io,
        }
    return found


def _traffic(network: str, interface: str, counted: Counters) -> Traffic:
    return {
        "network": network,
        "interface": interface,
        "received_bytes": counted.received_bytes,
        "received_packets": counted.received_packets,
        "received_dropped": counted.received_dropped,
        "sent_bytes": counted.sent_bytes,
        "sent_packets": counted.sent_packets,
        "sent_dropped": counted.sent_dropped,
    }
