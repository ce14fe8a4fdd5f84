"""Answers about the past and about causes (`wire.history`): read in worker threads, worked out in `plan`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from ..errors import OrchestraError
from ..logs.last import last_words
from ..plan.causes import causes, gave_a_reason
from ..plan.facts import Seen
from ..plan.sought import Sought
from ..plan.spans import TURNS
from ..plan.startup import STEPS, waterfall
from ..plan.story import story
from ..wire.api import Event
from ..wire.frames import Message
from ..wire.history import METRICS, Mark, MarkKind
from .api import Caller, Handler
from .care import count_kills
from .chronicle import Chronicle
from .world import World

HOUR = 3600.0
MOST_MARKS = 1000
MOST_WORDS = 50
"""Containers of which the last words are read at a time."""
LONGEST_START = 3600.0
"""Seconds after an `up` whose events are looked at for the waterfall."""
AHEAD = 1000
"""Events that a follower may be behind before it is let go."""
Reply = dict[str, Any]
T = TypeVar("T")


class Recollect:
    def __init__(self, world: World, chronicle: Chronicle) -> None:
        self._world = world
        self._chronicle = chronicle

    def handlers(self) -> dict[str, Handler]:
        return {
            "events": self.events,
            "health": self.health,
            "probes": self.probes,
            "series": self.series,
            "marks": self.marks,
            "startup": self.startup,
            "why": self.why,
        }

    async def events(self, message: Message, _: list[int], caller: Caller) -> Reply:
        sought = Sought.of(message)
        fresh_in, fresh_out = anyio.create_memory_object_stream[Event](AHEAD)

        def offer(event: Event) -> None:
            try:
                fresh_in.send_nowait(event)
            except (anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
                fresh_in.close()  # it does not read: let it go rather than lose events in the middle

        stop = self._world.journal.listen(offer)
        try:
            stored, more = await self._events(sought)
            for event in stored:
                await caller.send({"re": message["id"], "event": event})
            last = stored[-1]["id"] if stored else 0
            if message.get("follow"):
                async for event in fresh_out:
                    if event["id"] > last and sought.matches(event):
                        await caller.send({"re": message["id"], "event": event})
        finally:
            stop()
            fresh_in.close()
            fresh_out.close()
        return {"more": more}

    async def health(self, message: Message, _: list[int], __: Caller) -> Reply:
        await self._chronicle.settle()
        unwritten = [event for event in self._world.journal.unwritten if Sought(actions=TURNED).matches(event)]
        services, by_container = message.get("services"), bool(message.get("by_container"))
        return await self._read(_story, *_window(message), unwritten, services, by_container)

    async def probes(self, message: Message, _: list[int], __: Caller) -> Reply:
        from ..state import recall

        start, until = _window(message)
        found, truncated = await self._read(recall.probes, message.get("services"), start, until)
        return {"probes": found, "truncated": truncated}

    async def series(self, message: Message, _: list[int], __: Caller) -> Reply:
        from ..state import recall

        start, until = _window(message)
        metrics = list(message.get("metrics") or METRICS)
        if unknown := [name for name in metrics if name not in METRICS]:
            raise OrchestraError(f"there is no metric {unknown[0]}", f"there are {', '.join(METRICS)}")
        container, service = message.get("container"), message.get("service")
        step, found = await self._read(
            recall.series, container, service, metrics, start, until, float(message.get("step") or 10)
        )
        marks, truncated = await self._marks(start, until, [service] if service else None, container)
        return {
            "from": start,
            "until": until,
            "step": step,
            "series": found,
            "limits": self._limits(container, service),
            "marks": marks,
            "truncated": truncated,
        }

    async def marks(self, message: Message, _: list[int], __: Caller) -> Reply:
        marks, truncated = await self._marks(*_window(message), message.get("services"), None)
        return {"marks": marks, "truncated": truncated}

    async def startup(self, _: Message, __: list[int], ___: Caller) -> Reply:
        now = time.time()
        asked, _more = await self._events(Sought(actions=("asked",), search=UP, limit=20))
        for request in reversed(asked):
            end = min(request["time"] + LONGEST_START, now)
            steps = (*STEPS, "health_status")
            told, _more = await self._events(Sought(actions=steps, after=request["id"], until=end))
            if any(event["action"] == "start" for event in told):
                begin, until, lanes, critical = waterfall([request, *told], now)
                return {"from": begin, "until": until, "lanes": lanes, "critical": critical}
        return {"from": now, "until": None, "lanes": [], "critical": []}

    async def why(self, message: Message, _: list[int], __: Caller) -> Reply:
        world, chosen = self._world, message.get("services")
        await count_kills(world)
        words = await anyio.to_thread.run_sync(_last_words, world, dict(world.seen))
        found = causes(world.wanted, world.facts(), world.plan, time.monotonic(), time.time(), clock, words)
        return {"causes": [cause for cause in found if not chosen or cause["service"] in chosen]}

    # Helping

    async def _events(self, sought: Sought) -> tuple[list[Event], bool]:
        """Stored ones, and those that the disk would not take."""
        from ..state import recall

        await self._chronicle.settle()
        unwritten = [event for event in self._world.journal.unwritten if sought.matches(event)]
        stored, more = await self._read(recall.events, sought)
        first = unwritten[0]["id"] if unwritten else 0
        together = [event for event in stored if not first or event["id"] < first] + unwritten
        return together[-sought.limit :], more or len(together) > sought.limit

    async def _marks(
        self, start: float, until: float, services: Iterable[str] | None, container: str | None
    ) -> tuple[list[Mark], bool]:
        sought = Sought(
            since=start,
            until=until,
            services=tuple(services or ()),
            containers=(container,) if container else (),
            actions=("start", "die", "oom", "health_status", "asked"),
            limit=MOST_MARKS,
        )
        found, more = await self._events(sought)
        return [mark for event in found if (mark := _mark(event))], more

    async def _read(self, question: Callable[..., T], *arguments: object) -> T:
        return await anyio.to_thread.run_sync(partial(question, self._chronicle.path, *arguments))

    def _limits(self, container: str | None, service: str | None) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, seen in self._world.seen.items():
            if (container and name != container) or (service and seen.service.name != service) or not seen.alive:
                continue
            limits = seen.service.limits
            for key, value in (("cpu", limits.cpus), ("memory", limits.memory), ("pids", limits.pids)):
                if value is not None and value > 0:
                    found[key] = found.get(key, 0) + value
        return found if container or service else {}


UP = "up was asked for"
"""The text of the event with which a start begins."""


TURNED = (*TURNS, "health_status")


def _story(
    path: str,
    start: float,
    until: float,
    unwritten: Sequence[Event],
    services: Collection[str] | None,
    by_container: bool,
) -> Reply:
    """In a worker thread: a week of a crash loop are thousands of events."""
    from ..state import recall

    told, begin = recall.turns(path, TURNS, start, until)
    return {**story([*told, *unwritten], begin, until, services, by_container), "truncated": begin > start}


def clock(moment: float) -> str:
    """As people here read it; with the day where it is not today's."""
    then, now = time.localtime(moment), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M:%S", then)


def _window(message: Message) -> tuple[float, float]:
    until = float(message.get("until") or time.time())
    start = float(message.get("start") or until - HOUR)
    if start >= until:
        raise OrchestraError("the window ends before it begins", "give a start that is before its end")
    return start, until


def _mark(event: Event) -> Mark | None:
    about, action = event["attributes"], event["action"]
    kinds: dict[str, MarkKind] = {
        "start": "restart" if "restarts" in about else "start",
        "die": "end",
        "oom": "oom",
        "health_status: healthy": "healthy",
        "health_status: unhealthy": "unhealthy",
    }
    kind = kinds.get(action)
    if action == "asked" and event["text"].startswith(UP):
        kind = "up"
    if kind is None:
        return None
    return {
        "id": event["id"],
        "time": event["time"],
        "kind": kind,
        "service": event["service"],
        "container": event["container"],
        "text": event["text"],
    }


def _last_words(world: World, seen: Mapping[str, Seen]) -> dict[str, str]:
    """Of the runs that have ended badly by themselves; what an earlier one said is no reason."""
    runs = {name: one.run.number for name, one in seen.items() if one.run is not None and gave_a_reason(one)}
    some = list(runs.items())[:MOST_WORDS]
    return {name: last_words(world.places.logs(name), run) for name, run in some}
