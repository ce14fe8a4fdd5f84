"""Looks whether something is wrong by the stack's rules, remembers it, and tells the receivers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread

from ..errors import OrchestraError
from ..logs.reader import Cursor
from ..plan import alerting
from ..plan.alerting import Happening, Subject, Watch
from ..plan.phase import Phase, how_it_ended, phase_of
from ..stack.model import AlertRule, Receiver
from ..wire.api import Event
from ..wire.frames import Message
from ..wire.history import Alert
from .api import Caller, Handler
from .chronicle import Chronicle
from .measure import Measure
from .world import World

EVERY = 2.0
"""Seconds between two looks."""
MEASURED = 10.0
"""Seconds between two looks where all is well and stays so."""
TRIES = (0.0, 2.0, 10.0)
"""Seconds before each attempt to send."""
MOST_AT_ONCE = 4
"""Messages that are being sent to one receiver."""
MOST_WAITING = 100
"""Messages that may be on their way to one receiver; more are not sent, and the alert says so."""
MOST_LINES = 200
"""Lines of one look at the logs that are quoted."""
DAY = 86400.0
Reply = dict[str, Any]


class Alarm:
    def __init__(self, world: World, chronicle: Chronicle, measure: Measure) -> None:
        self._world = world
        self._chronicle = chronicle
        self._measure = measure
        self._happenings: list[Happening] = []
        self._logs = _Logs()
        self._sending: dict[str, anyio.CapacityLimiter] = {}  # by receiver: one that is slow keeps no other waiting
        self._waiting: Counter[str] = Counter()
        self._deaf = world.journal.listen(self._hear)

    def handlers(self) -> dict[str, Handler]:
        return {"alerts": self.alerts, "alert_test": self.test}

    async def run(self) -> None:
        watch = Watch(firing={(one["rule"], one["container"]): one for one in await self._chronicle.firing()})
        async with anyio.create_task_group() as tasks:
            while True:
                pulses = self._world.pulses
                await anyio.sleep(EVERY)
                if self._is_calm(watch):
                    await self._world.changed_since(pulses, longest=MEASURED - EVERY)
                watch = await self._look(watch, tasks)

    def _is_calm(self, watch: Watch) -> bool:
        """Nothing can become wrong by itself, but for use, which is measured more rarely."""
        return not (watch.pending or watch.firing or self._happenings or any(r.kind == "log" for r in self._rules()))

    def close(self) -> None:
        """Hear and read no more."""
        self._deaf()
        self._logs.close()

    async def _look(self, watch: Watch, tasks: anyio.abc.TaskGroup) -> Watch:
        rules, now = self._rules(), time.time()
        if words := [rule for rule in rules if rule.kind == "log"]:
            self._happenings += await anyio.to_thread.run_sync(self._logs.look, self._written(words), words)
        self._happenings = alerting.relevant(self._happenings, rules, now)
        watch, began, over = alerting.look(rules, self._subjects(now), self._happenings, watch, now)
        for alert in (*began, *over):
            await self._tell(alert, tasks)
        return watch

    async def _tell(self, alert: Alert, tasks: anyio.abc.TaskGroup) -> None:
        status = "firing" if alert["resolved"] is None else "resolved"
        about = {"rule": alert["rule"], "status": status}
        text = alert["text"] if status == "firing" else f"over: {alert['text']}"
        self._world.journal.tell("alert", f"{alert['rule']}: {text}", alert["service"], alert["container"], about)
        await self._chronicle.keep_alert(alert)
        message = _message(self._world.places.name, alert, status)
        for receiver in self._receivers():
            if self._waiting[receiver.name] >= MOST_WAITING:
                await self._chronicle.note_told(alert["id"], f"too much was to be sent to {receiver.name} at once")
            else:
                self._waiting[receiver.name] += 1
                tasks.start_soon(self._send_and_note, alert["id"], receiver, message)

    async def _send_and_note(self, alert: int, receiver: Receiver, message: dict[str, object]) -> None:
        failed = ""
        try:
            await self._send(receiver, message)
        except OrchestraError as error:
            failed = error.what
        finally:
            self._waiting[receiver.name] -= 1
        await self._chronicle.note_told(alert, failed)

    async def _send(self, receiver: Receiver, message: dict[str, object], tries: Sequence[float] = TRIES) -> None:
        """Raises OrchestraError when it could not be sent in all its tries."""
        from . import webhook  # once there is something to send

        trouble: OrchestraError | None = None
        for pause in tries:
            await anyio.sleep(pause)
            try:
                work = partial(webhook.send, receiver, message)
                limiter = self._sending.setdefault(receiver.name, anyio.CapacityLimiter(MOST_AT_ONCE))
                await anyio.to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)
                return
            except webhook.Temporary as error:
                trouble = error
        assert trouble is not None
        raise trouble

    # What is asked

    async def alerts(self, message: Message, _: list[int], __: Caller) -> Reply:
        from urllib.parse import urlsplit

        from ..stack.alerts import BUILT_IN

        start = float(message.get("start") or time.time() - DAY)
        return {
            "rules": [alerting.described(rule, rule in BUILT_IN) for rule in self._rules()],
            "receivers": [
                {"name": one.name, "host": urlsplit(one.url).hostname or "", "format": one.format}
                for one in self._receivers()
            ],
            "alerts": await self._chronicle.alerts(start, int(message.get("limit") or 1000)),
        }

    async def test(self, message: Message, _: list[int], __: Caller) -> Reply:
        from urllib.parse import urlsplit

        wanted, receivers = message.get("receiver"), self._receivers()
        chosen = [one for one in receivers if wanted in (None, one.name)]
        if not chosen:
            names = ", ".join(one.name for one in receivers)
            raise OrchestraError(
                f"there is no receiver {wanted}" if wanted else "the stack has no receivers of alerts",
                f"one of: {names}" if names else "name them in the stack file below x-alerts: receivers:",
            )
        text = "This is a test: alerts of this stack reach you."
        results = []
        for one in chosen:
            told = {"name": one.name, "host": urlsplit(one.url).hostname or "", "ok": True, "text": "sent"}
            try:
                await self._send(one, _test_message(self._world.places.name, text), TRIES[:1])
            except OrchestraError as error:
                told |= {"ok": False, "text": error.what}
            results.append(told)
        return {"results": results}

    # What is so

    def _rules(self) -> Sequence[AlertRule]:
        from ..stack.alerts import BUILT_IN

        alerts = self._world.page.stack.alerts
        return BUILT_IN if alerts is None else alerts.rules

    def _receivers(self) -> Sequence[Receiver]:
        alerts = self._world.page.stack.alerts
        return () if alerts is None else alerts.receivers

    def _hear(self, event: Event) -> None:
        """Restarts and kills, as they happen."""
        if event["action"] == "oom" or (event["action"] == "start" and "restarts" in event["attributes"]):
            kind: alerting.HappeningKind = "oom" if event["action"] == "oom" else "restarts"
            seen = self._world.seen.get(event["container"])
            text = event["text"] if kind == "oom" or seen is None else seen.last_exit
            self._happenings.append(Happening(event["time"], kind, event["container"], event["service"], text))

    def _subjects(self, now: float) -> list[Subject]:
        mono = time.monotonic()
        found = []
        for name, target in self._world.wanted.targets.items():
            seen = self._world.seen.get(name)
            if seen is None or target.oneoff:
                continue
            phase = phase_of(target, seen, mono)
            shares = self._shares(name) if seen.alive else {}
            service = target.service.name
            ended = seen.run.ended if seen.run is not None else None
            if phase is Phase.UNHEALTHY:
                since = now - mono + seen.health_since
                found.append(Subject(name, service, "unhealthy", since, seen.health_text, shares))
            elif phase in (Phase.GAVE_UP, Phase.FINISHED) and seen.run is not None and seen.run.failed:
                since = now - mono + (ended or mono)
                found.append(Subject(name, service, "ended", since, how_it_ended(seen.run)))
            else:
                found.append(Subject(name, service, shares=shares))
        return found

    def _shares(self, name: str) -> dict[str, float]:
        its = self._measure.latest.get(name)
        if its is None:
            return {}
        cpu = its["rates"]["cpu"] if "rates" in its else None
        pairs = {
            "cpu": (cpu, its["cpu_limit"]),
            "memory": (its["working_set"], its["memory_limit"]),
            "pids": (its["pids"], its["pids_limit"]),
        }
        return {key: used / limit for key, (used, limit) in pairs.items() if used is not None and limit}

    def _written(self, rules: Sequence[AlertRule]) -> dict[str, tuple[str, str]]:
        """The logs to look through: container -> service and directory."""
        return {
            name: (seen.service.name, self._world.places.logs(name))
            for name, seen in self._world.seen.items()
            if any(not rule.services or seen.service.name in rule.services for rule in rules)
        }


class _Logs:
    """Cursors at the ends of logs; used by one worker thread at a time."""

    def __init__(self) -> None:
        self._cursors: dict[str, Cursor] = {}

    def close(self) -> None:
        for cursor in self._cursors.values():
            cursor.close()

    def look(self, written: dict[str, tuple[str, str]], rules: Sequence[AlertRule]) -> list[Happening]:
        """New lines in which a rule's words are; of a log that is new to us those from now on."""
        for name in self._cursors.keys() - written.keys():
            self._cursors.pop(name).close()
        found: list[Happening] = []
        for name, (service, directory) in written.items():
            if name not in self._cursors:
                self._cursors[name] = Cursor(directory, tail=0)
            words = {
                word.encode()
                for rule in rules
                if not rule.services or service in rule.services
                for word in rule.words
            }
            for block in self._cursors[name].pull():
                if len(found) < MOST_LINES and any(word in block.data for word in words):
                    found += [
                        Happening(block.time / 1e9, "log", name, service, line.decode(errors="replace").strip())
                        for line in block.data.split(b"\n")
                        if any(word in line for word in words)
                    ]
        return found[:MOST_LINES]


def _message(stack: str, alert: Alert, status: str) -> dict[str, object]:
    word = "" if status == "firing" else "over: "
    return {
        "stack": stack,
        "status": status,
        "rule": alert["rule"],
        "service": alert["service"],
        "container": alert["container"],
        "title": f"{stack}: {word}{alert['rule']} ({alert['service']})",
        "text": f"{word}{alert['text']}",
        "since": alert["since"],
        "resolved": alert["resolved"],
        "id": alert["id"],
    }


def _test_message(stack: str, text: str) -> dict[str, object]:
    message = dict.fromkeys(("rule", "service", "container"), "")
    times = {"since": time.time(), "resolved": None, "id": 0}
    return {"stack": stack, "status": "test", **message, "title": f"{stack}: test of alerts", "text": text, **times}
