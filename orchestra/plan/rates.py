"""From two samples of what a container uses to what it uses in a second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..wire.history import METRICS, Rates, Usage


def rates(before: Usage, after: Usage) -> Rates | None:
    """None where the two are not of one run, or not apart in time. A counter that went back (a network that was
    made anew) gives none."""
    over = after["time"] - before["time"]
    if over <= 0 or (before["cpu"] is not None and (after["cpu"] or 0.0) < before["cpu"]):
        return None

    def of(old: float | None, new: float | None) -> float | None:
        return None if old is None or new is None or new < old else (new - old) / over

    olds, news = _traffic(before), _traffic(after)
    return {
        "over": over,
        "cpu": of(before["cpu"], after["cpu"]),
        "throttled": of(before["throttled"], after["throttled"]),
        "read": of(before["read"], after["read"]),
        "written": of(before["written"], after["written"]),
        "received": of(olds[0], news[0]),
        "sent": of(olds[1], news[1]),
        "received_packets": of(olds[2], news[2]),
        "sent_packets": of(olds[3], news[3]),
        "dropped": of(olds[4], news[4]),
    }


def _traffic(usage: Usage) -> tuple[int | None, ...]:
    """Bytes received and sent, packets received and sent, packets dropped: of all interfaces."""
    its = usage["networks"]
    if not its:
        return (None,) * 5
    return (
        sum(one["received_bytes"] for one in its),
        sum(one["sent_bytes"] for one in its),
        sum(one["received_packets"] for one in its),
        sum(one["sent_packets"] for one in its),
        sum(one["received_dropped"] + one["sent_dropped"] for one in its),
    )


def metrics_of(usage: Usage) -> dict[str, float | None]:
    """What is remembered of a sample: `wire.history.METRICS`."""
    its = usage.get("rates")
    return {
        "cpu": its["cpu"] if its else None,
        "throttled": its["throttled"] if its else None,
        "memory": usage["memory"],
        "working_set": usage["working_set"],
        "pids": usage["pids"],
        "read": its["read"] if its else None,
        "written": its["written"] if its else None,
        "received": its["received"] if its else None,
        "sent": its["sent"] if its else None,
        "dropped": its["dropped"] if its else None,
        "pressure_cpu": usage["pressure_cpu"],
        "pressure_memory": usage["pressure_memory"],
        "pressure_io": usage["pressure_io"],
    }


def together(all_of_them: Iterable[Mapping[str, float | None]]) -> dict[str, float | None]:
    """The sum of several containers; of pressure the most."""
    columns = list(all_of_them)
    found: dict[str, float | None] = {}
    for metric in METRICS:
        known = [value for one in columns if (value := one[metric]) is not None]
        found[metric] = (max if metric.startswith("pressure") else sum)(known) if known else None
    return found
