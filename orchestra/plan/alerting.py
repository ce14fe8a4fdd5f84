"""When an alert begins to fire and when it is over. Values in, values out; `now` in epoch seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Literal

from ..stack.model import AlertRule
from ..values import dataclass
from ..wire.history import Alert, Rule
from .spans import lasted, times

HappeningKind = Literal["restarts", "oom", "log"]
Key = tuple[str, str]
"""Name of a rule and container."""
QUOTED = 200


@dataclass(frozen=True, slots=True)
class Subject:
    """What one container is right now."""

    container: str
    service: str
    state: Literal["", "unhealthy", "ended"] = ""
    since: float = 0.0
    said: str = ""  # by its probe, or how it ended
    shares: Mapping[str, float] = field(default_factory=dict)  # cpu, memory, pids: used part of the limit


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that is over as soon as it is there."""

    time: float
    kind: HappeningKind
    container: str
    service: str
    text: str  # how a run ended, or the line of the log


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known from look to look."""

    pending: Mapping[Key, float] = field(default_factory=dict)  # since when a rule's condition holds
    firing: Mapping[Key, Alert] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A rule's condition holds for a container."""

    service: str
    since: float
    text: str


def look(
    rules: Sequence[AlertRule],
    subjects: Sequence[Subject],
    happenings: Sequence[Happening],
    watch: Watch,
    now: float,
) -> tuple[Watch, list[Alert], list[Alert]]:
    """(what to remember, alerts that began, alerts that are over)."""
    holding: dict[Key, tuple[AlertRule, Found]] = {}
    for rule in rules:
        for container, found in _conditions(rule, subjects, happenings, now):
            holding[rule.name, container] = (rule, found)
    pending = {key: min(watch.pending.get(key, now), max(found.since, 0.0)) for key, (_, found) in holding.items()}
    firing = dict(watch.firing)
    began: list[Alert] = []
    for key, (rule, found) in holding.items():
        if key not in firing and now - pending[key] >= rule.lasting:
            firing[key] = _alert(key, found, now, len(began))
            began.append(firing[key])
    over: list[Alert] = [{**alert, "resolved": now} for key, alert in watch.firing.items() if key not in holding]
    for alert in over:
        del firing[alert["rule"], alert["container"]]
    return Watch(pending, firing), began, over


def relevant(happenings: Iterable[Happening], rules: Sequence[AlertRule], now: float) -> list[Happening]:
    """Those that some rule may still count."""
    longest = max((rule.within for rule in rules), default=0.0)
    return [one for one in happenings if now - one.time <= longest]


def described(rule: AlertRule, builtin: bool) -> Rule:
    """As `wire.history` has it, in a sentence for people."""
    lasting = f" for {lasted(rule.lasting)}" if rule.lasting else ""
    words = " or ".join(f'"{word}"' for word in rule.words)
    text = {
        "health": f"a container is unhealthy{lasting}",
        "ended": "a container has ended badly and will not be started again",
        "restarts": f"a container is restarted {rule.above:g} times within {lasted(rule.within)}",
        "oom": "the kernel killed a process for want of memory",
        "log": f"a container writes {words}",
    }.get(rule.kind, f"a container uses {rule.above:.0%} of its {rule.kind} limit{lasting}")
    services = list(rule.services) or None
    return {"name": rule.name, "kind": rule.kind, "text": text, "services": services, "builtin": builtin}


def _conditions(
    rule: AlertRule, subjects: Sequence[Subject], happenings: Sequence[Happening], now: float
) -> Iterator[tuple[str, Found]]:
    mine = [one for one in subjects if not rule.services or one.service in rule.services]
    match rule.kind:
        case "health" | "ended":
            state = "unhealthy" if rule.kind == "health" else "ended"
            for one in mine:
                if one.state == state:
                    said = f": {one.said}" if one.said else ""
                    yield one.container, Found(one.service, one.since, f"{one.container} {_IS[state]}{said}")
        case "cpu" | "memory" | "pids":
            for one in mine:
                share = one.shares.get(rule.kind, 0.0)
                if share >= rule.above:
                    text = f"{one.container} uses {share:.0%} of its {rule.kind} limit"
                    yield one.container, Found(one.service, now, text)
        case _:
            yield from _happened(rule, mine, [one for one in happenings if now - one.time <= rule.within])


_IS = {"unhealthy": "is unhealthy", "ended": "has ended and is not started again"}


def _happened(rule: AlertRule, mine: Sequence[Subject], recent: Sequence[Happening]) -> Iterator[tuple[str, Found]]:
    within = lasted(rule.within)
    for one in mine:
        its = [
            each
            for each in recent
            if each.container == one.container
            and each.kind == rule.kind
            and (rule.kind != "log" or any(word in each.text for word in rule.words))
        ]
        if len(its) >= max(1.0, rule.above):
            last = its[-1]
            text = {
                "restarts": f"{one.container} was restarted {times(len(its))} within {within}: {last.text}",
                "oom": last.text,
            }.get(rule.kind, f"{one.container} wrote: {last.text[:QUOTED]}")
            yield one.container, Found(one.service, its[0].time, text)


def _alert(key: Key, found: Found, now: float, nth: int) -> Alert:
    return {
        "id": int(now * 1e6) + nth,
        "rule": key[0],
        "service": found.service,
        "container": key[1],
        "since": now,
        "resolved": None,
        "text": found.text,
        "sent": 0,
        "failed": "",
    }
