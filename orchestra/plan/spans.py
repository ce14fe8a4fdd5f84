"""From events to how long each service was in which state, and to its outages. There is no other record of health."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..values import dataclass, replace
from ..wire.api import Event
from ..wire.history import Outage, Span, Verdict
from .phase import GOOD_RUN
from .sought import kind_of
from .steps import BY_HEALTH

TURNS = ("create", "start", "die", "stop", "hold", "trouble", "destroy", "supervisor", "pause", "unpause", "replace")
"""Actions after which a container may be in another state; `health_status` as well."""
WORST_FIRST: Sequence[Verdict] = (
    *("dead", "unhealthy", "restarting", "unknown", "waiting", "starting", "paused", "stopped"),
    *("healthy", "running", "exited", "absent"),
)
WELL = frozenset({"healthy", "running", "exited"})
BAD = frozenset({"unhealthy", "restarting", "dead"})
BY_HAND = frozenset({"stopped", "paused"})
ON_THE_WAY = frozenset({"waiting", "starting"}) | BY_HAND


@dataclass(frozen=True, slots=True)
class _Turn:
    at: float
    verdict: Verdict
    text: str
    cause: str


def by_container(events: Iterable[Event], start: float, until: float) -> dict[str, list[Span]]:
    """What each container was from `start` to `until`, without a gap. `events` are in order; for each container the
    last turn before `start` belongs to them. One-offs are left out; one that has not taken over yet, or from which
    another one has, is not there: its service is as those are that serve."""
    turns: dict[str, list[_Turn]] = {}
    away: list[tuple[float, float]] = []
    oneoffs: set[str] = set()
    apart: set[str] = set()
    for event in events:
        if event["action"] == "supervisor":
            away.append((float(event["attributes"]["since"]), float(event["attributes"]["until"])))
        elif event["container"] and (turn := _turn(event)):
            name = event["container"]
            if "oneoff" in event["attributes"]:
                oneoffs.add(name)
            if event["action"] in ("create", "replace"):
                apart.discard(name)
            if "apart" in event["attributes"]:
                apart.add(name)
            turns.setdefault(name, []).append(replace(turn, verdict="absent") if name in apart else turn)
    return {name: _spans(_with_gaps(its, away), start, until) for name, its in turns.items() if name not in oneoffs}


def by_service(spans: Mapping[str, Sequence[Span]], services: Mapping[str, str]) -> dict[str, list[Span]]:
    """The worst of a service's containers at each moment. `services`: container -> service."""
    grouped: dict[str, list[Sequence[Span]]] = {}
    for name, its in spans.items():
        grouped.setdefault(services[name], []).append(its)
    return {service: _merged(_worst(lanes)) for service, lanes in sorted(grouped.items())}


def outages(service: str, spans: Sequence[Span], starts: Sequence[float]) -> list[Outage]:
    """From the first span that is bad to the next that is well and stays so, or to a stop by hand. `starts`: when
    its policy started it again."""
    found: list[Outage] = []
    group: list[Span] = []
    for index, span in enumerate(spans):
        goes_on = span["verdict"] in ON_THE_WAY or _flickers(span, spans[index + 1 :])
        if span["verdict"] in BAD or (group and goes_on):
            group.append(span)
        elif group:
            found.append(_outage(service, group, starts))
            group = []
    return [*found, _outage(service, group, starts)] if group else found


def share_well(spans: Sequence[Span], away: Sequence[Outage]) -> float | None:
    """The part (0..1) of the time it was well or should have been. None where it never was meant to run."""
    inside = [(outage["start"], outage["end"]) for outage in away]
    well = sum(
        span["end"] - span["start"]
        for span in spans
        if span["verdict"] in WELL and not any(start <= span["start"] < end for start, end in inside)
    )
    lost = sum(outage["end"] - outage["start"] for outage in away)
    return well / (well + lost) if well + lost > 0 else None


def lasted(seconds: float) -> str:
    """`0.4 s`, `21 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _turn(event: Event) -> _Turn | None:
    about, text, at = event["attributes"], event["text"], event["time"]
    match kind_of(event["action"]):
        case "create":
            return _Turn(at, "waiting", "made", text)
        case "hold":
            return _Turn(at, "waiting", about.get("reason", text), text)
        case "start":
            return _Turn(at, "starting" if about.get("health") == "starting" else "running", "", text)
        case "health_status":
            verdict: Verdict = "healthy" if event["action"].endswith(": healthy") else "unhealthy"
            return _Turn(at, verdict, about.get("said", ""), text)
        case "stop":
            by_health = about.get("cause", "").startswith(BY_HEALTH)
            return _Turn(at, "restarting" if by_health else "stopped", about.get("cause", ""), text)
        case "die":
            return _Turn(at, _after_end(about.get("then", "")), about.get("how", ""), text)
        case "trouble":
            return _Turn(at, "restarting", text, text)
        case "pause":
            return _Turn(at, "paused", "by hand", text)
        case "unpause" | "replace":
            return _Turn(at, _verdict(about.get("health", "")), "", text)
        case "destroy":
            return _Turn(at, "absent", "", text)
    return None


def _verdict(health: str) -> Verdict:
    """Of a container that runs."""
    known: dict[str, Verdict] = {one: one for one in ("healthy", "unhealthy", "starting")}
    return known.get(health, "running")


def _after_end(then: str) -> Verdict:
    known: dict[str, Verdict] = {one: one for one in ("restarting", "exited", "dead")}
    return known.get(then, "stopped")


def _with_gaps(turns: Sequence[_Turn], away: Iterable[tuple[float, float]]) -> list[_Turn]:
    """Nobody was there to see: unknown, and afterwards what it was before until something else is heard."""
    found = list(turns)
    for since, until in away:
        before = next((turn for turn in reversed(found) if turn.at <= since), None)
        if before is not None and before.verdict not in ("absent", "stopped", "paused", "exited"):
            found = [turn for turn in found if not since < turn.at < until]
            found += [_Turn(since, "unknown", "nobody looked after it", ""), replace(before, at=until)]
            found.sort(key=lambda turn: turn.at)
    return found


def _spans(turns: Sequence[_Turn], start: float, until: float) -> list[Span]:
    earlier = [turn for turn in turns if turn.at <= start]
    now = replace(earlier[-1], at=start) if earlier else _Turn(start, "absent", "", "")
    spans: list[Span] = []
    for turn in [*(turn for turn in turns if start < turn.at <= until), _Turn(until, "absent", "", "")]:
        if turn.at > now.at:
            spans.append(_span(now, turn.at, False))
        now = turn
    merged = _merged(spans)
    if merged:
        merged[-1]["open"] = True
    return merged


def _span(turn: _Turn, end: float, goes_on: bool) -> Span:
    return {
        "start": turn.at,
        "end": end,
        "verdict": turn.verdict,
        "text": turn.text,
        "cause": turn.cause,
        "open": goes_on,
    }


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Neighbours of one verdict are one; the first says why."""
    found: list[Span] = []
    for span in spans:
        if found and found[-1]["verdict"] == span["verdict"] and found[-1]["end"] == span["start"]:
            found[-1] = {**found[-1], "end": span["end"], "open": span["open"]}
        else:
            found.append({**span})
    return found


def _worst(lanes: Sequence[Sequence[Span]]) -> Iterator[Span]:
    if len(lanes) == 1:
        yield from lanes[0]
        return
    edges = sorted({edge for lane in lanes for span in lane for edge in (span["start"], span["end"])})
    places = [0] * len(lanes)
    for start, end in itertools.pairwise(edges):
        here: list[Span] = []
        for index, lane in enumerate(lanes):
            while places[index] < len(lane) and lane[places[index]]["end"] <= start:
                places[index] += 1
            if places[index] < len(lane) and lane[places[index]]["start"] <= start:
                here.append(lane[places[index]])
        if here:
            worst = min(here, key=lambda span: WORST_FIRST.index(span["verdict"]))
            yield {**worst, "start": start, "end": end, "open": worst["open"] and end == edges[-1]}


def _flickers(span: Span, rest: Sequence[Span]) -> bool:
    """Well for a moment, as each run of a crash loop is."""
    following = next((one["verdict"] for one in rest if one["verdict"] not in ON_THE_WAY), None)
    return span["verdict"] in WELL and span["end"] - span["start"] < GOOD_RUN and following in BAD


def _outage(service: str, group: Sequence[Span], starts: Sequence[float]) -> Outage:
    bad = [span for span in group if span["verdict"] in BAD]
    worst = min(bad, key=lambda span: WORST_FIRST.index(span["verdict"]))
    start, end = group[0]["start"], group[-1]["end"]
    if group[-1]["verdict"] in BY_HAND:
        end = group[-1]["start"]  # from there on it was meant to be away
    restarts = sum(start <= at <= end for at in starts)
    said = dict.fromkeys(span["text"] for span in bad if span["text"])
    text = f"{worst['verdict']} ({lasted(end - start)})" + (f": {'; '.join(list(said)[:3])}" if said else "")
    return {
        "service": service,
        "start": start,
        "end": end,
        "open": group[-1]["open"] and group[-1]["verdict"] not in BY_HAND,
        "verdict": worst["verdict"],
        "cause": group[0]["cause"],
        "restarts": restarts,
        "text": f"{text}; restarted {times(restarts)}" if restarts else text,
    }
