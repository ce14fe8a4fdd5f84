"""The last start of a stack as a waterfall: who waited for whom, how long each part took, and what set the pace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field

from ..values import dataclass
from ..wire.api import Event
from ..wire.history import Lane, Segment
from .sought import kind_of

STEPS = ("asked", "hold", "create", "start", "die", "destroy")
"""Actions that a start consists of; `health_status` as well."""


@dataclass(slots=True)
class _Track:
    """One container while its events are read; `at` is up to where its segments reach."""

    container: str
    service: str
    at: float
    on: str = ""
    text: str = "to be made"
    checked: bool = False
    segments: list[Segment] = field(default_factory=list)
    first_probe: float | None = None
    ready: float | None = None
    ended: float | None = None
    how: str = ""

    def wait_until(self, moment: float) -> None:
        self.add("waiting", moment, self.on, self.text)

    def add(self, kind: str, end: float, on: str = "", text: str = "") -> None:
        if end > self.at:
            self.segments.append({"kind": kind, "start": self.at, "end": end, "on": on, "text": text})  # type: ignore[typeddict-item]
            self.at = end


def waterfall(events: Sequence[Event], now: float) -> tuple[float, float | None, list[Lane], list[str]]:
    """(from, until, lanes, critical) of `wire.history.StartupRequest`, from events that begin with the request.

    Lanes end where a container became ready for the first time, or will not any more; what happened to it later is
    another story.
    """
    if not events:
        return now, None, [], []
    begin = events[0]["time"]
    tracks: dict[str, _Track] = {}
    for event in events:
        name = event["container"]
        if name and "oneoff" not in event["attributes"] and kind_of(event["action"]) in (*STEPS, "health_status"):
            track = tracks.setdefault(name, _Track(name, event["service"], begin))
            if track.ready is None and (track.ended is None or event["action"] == "start"):
                _take(track, event)
    lanes = [_lane(track, now) for track in tracks.values() if track.segments or track.ready is not None]
    lanes.sort(key=lambda lane: (_started(lane), lane["container"]))
    over = [lane["ended"] if lane["ready"] is None else lane["ready"] for lane in lanes]
    critical = _critical(lanes)
    for lane in lanes:
        lane["critical"] = lane["container"] in critical
    known = [moment for moment in over if moment is not None]
    return begin, max(known) if known and len(known) == len(over) else None, lanes, critical


def _take(track: _Track, event: Event) -> None:
    at, about = event["time"], event["attributes"]
    took = min(float(about.get("took", "0")), at - track.at)
    match kind_of(event["action"]):
        case "hold":
            track.wait_until(at)
            track.on, track.text = about.get("on", ""), about.get("reason", event["text"])
        case "create":
            track.wait_until(at - took)
            track.add("making", at)
            track.on, track.text = "", "to be started"
        case "start":
            track.ended, track.how = None, ""
            track.wait_until(at - took)
            track.add("starting", at)
            track.checked = about.get("health") == "starting"
            if not track.checked and "job" not in about:
                track.ready = at
        case "health_status":
            if "first" in about:
                track.first_probe = float(about["first"])
            if event["action"].endswith(": healthy"):
                track.add("checking", at, "", about.get("said", ""))
                track.ready = at
            else:
                track.add("checking", at, "", about.get("said", ""))
        case "die":
            track.add("checking", at, "", about.get("how", ""))
            track.on, track.text = "", about.get("how", "")
            if about.get("exitCode") == "0" and about.get("then") == "exited":
                track.ready = at
            elif about.get("then") in ("exited", "dead"):
                track.ended, track.how = at, about.get("how", "")
        case "destroy":
            track.ended, track.how = at, track.how or "taken away"


def _lane(track: _Track, now: float) -> Lane:
    if track.ready is None and track.ended is None:
        last = track.segments[-1]["kind"]
        if last in ("starting", "checking"):
            track.add("checking", now, "", "")
        else:
            track.wait_until(now)
    return {
        "container": track.container,
        "service": track.service,
        "segments": track.segments,
        "first_probe": track.first_probe,
        "ready": track.ready,
        "ended": track.ended,
        "how": track.how,
        "critical": False,
    }


def _started(lane: Lane) -> float:
    return next((one["start"] for one in lane["segments"] if one["kind"] == "starting"), lane["segments"][-1]["end"])


def _critical(lanes: Sequence[Lane]) -> list[str]:
    """Back from the one that was ready last (or is not ready yet), by whom it waited for at last."""
    if not lanes:
        return []
    here: Lane | None = max(lanes, key=_lateness)
    path: list[str] = []
    while here is not None and here["container"] not in path:
        path.append(here["container"])
        on = next((one["on"] for one in reversed(here["segments"]) if one["kind"] == "waiting" and one["on"]), "")
        here = _slowest(on, lanes) if on else None
    return path[::-1]


def _lateness(lane: Lane) -> tuple[bool, float, bool]:
    """Of two that are not ready, the one that waits for the other is the later one; one that has ended holds nobody
    up but those that wait for it."""
    last = lane["segments"][-1]
    return lane["ready"] is None and lane["ended"] is None, last["end"], bool(last["on"])


def _slowest(service: str, lanes: Iterable[Lane]) -> Lane | None:
    its = [lane for lane in lanes if lane["service"] in service.split()]
    return max(its, key=lambda lane: (lane["ready"] is None, lane["ready"] or 0.0)) if its else None
