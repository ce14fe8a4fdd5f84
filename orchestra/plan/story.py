"""The health of services over a window, as it is told to clients: `wire.history.HealthRequest`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ..wire.api import Event
from ..wire.history import Span
from . import spans


def story(
    told: Sequence[Event], start: float, until: float, services: Collection[str] | None, by_container: bool = False
) -> dict[str, Any]:
    """Everything but "truncated". `told` as for `spans.by_container`."""
    lanes = spans.by_container(told, start, until)
    owners = {event["container"]: event["service"] for event in told}
    its = {
        service: line
        for service, line in spans.by_service(lanes, owners).items()
        if (not services or service in services) and _was_there(line)
    }
    starts: dict[str, list[float]] = {}
    for event in told:
        if event["action"] == "start" and "restarts" in event["attributes"]:
            starts.setdefault(event["service"], []).append(event["time"])
    outages = {service: spans.outages(service, line, starts.get(service, ())) for service, line in its.items()}
    found: dict[str, Any] = {
        "from": start,
        "until": until,
        "spans": its,
        "outages": sorted((one for each in outages.values() for one in each), key=lambda one: one["start"]),
        "share": {service: spans.share_well(line, outages[service]) for service, line in its.items()},
    }
    if by_container:
        found["containers"] = {name: line for name, line in lanes.items() if owners[name] in its and _was_there(line)}
    return found


def _was_there(line: Iterable[Span]) -> bool:
    return any(span["verdict"] != "absent" for span in line)
