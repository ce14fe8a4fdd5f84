"""What Prometheus reads: the text exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats), with
names and base units by its conventions (prometheus.io/docs/practices/naming)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ..wire.api import Row, Status
from ..wire.history import Traffic, Usage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("created", "waiting", "running", "restarting", "stopping", "exited", "dead")
Sample = tuple[dict[str, str], float | None]
Snapshot = tuple[Status, Sequence[Usage]]
"""A stack's `status`, and what its containers use."""


def exposition(stacks: Sequence[Snapshot], version: str) -> str:
    """The whole page. Values that nobody counts have no line; a family without lines has no head either."""
    return "".join(_family(*family) for family in _families(stacks, version))


def _families(stacks: Sequence[Snapshot], version: str) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
    rows = [({**_of(row), "stack": status["stack"]}, row) for status, _ in stacks for row in status["rows"]]
    uses = [
        ({"stack": status["stack"], "service": its["service"], "container": its["container"]}, its)
        for status, usages in stacks
        for its in usages
    ]
    yield "orchestra_build_info", "gauge", "Which orchestra this is.", [({"version": version}, 1)]
    yield (
        "orchestra_stack_containers",
        "gauge",
        "Containers of a stack, by state.",
        [
            ({"stack": status["stack"], "state": state}, sum(row["state"] == state for row in status["rows"]))
            for status, _ in stacks
            for state in STATES
        ],
    )
    yield "orchestra_service_replicas", "gauge", "Containers that a service has.", _by_service(stacks, lambda _: True)
    yield (
        "orchestra_service_ready_replicas",
        "gauge",
        "Containers of a service that run and are not known to be unwell.",
        _by_service(stacks, _is_ready),
    )
    yield (
        "orchestra_service_healthy",
        "gauge",
        "1 where every container of a service is well (or has done its work), 0 where one is not.",
        [(labels, float(well)) for labels, well in _health(stacks)],
    )
    yield from _of_rows(rows)
    yield _kills(rows, uses)
    yield from _of_usage(uses)
    yield from _of_networks([(labels, one) for labels, its in uses for one in its["networks"]])


def _of_rows(rows: Sequence[tuple[dict[str, str], Row]]) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
    yield (
        "orchestra_container_restarts_total",
        "counter",
        "Restarts of a container by its policy, since it was made or asked for anew.",
        [(labels, row["restarts"]) for labels, row in rows],
    )
    yield (
        "orchestra_container_start_time_seconds",
        "gauge",
        "When the present run began, in seconds since the epoch.",
        [(labels, row["started"]) for labels, row in rows if row["state"] in ("running", "stopping")],
    )
    yield (
        "orchestra_container_last_exit_code",
        "gauge",
        "Exit code of a container that does not run (128+n for signal n).",
        [(labels, row["exit_code"]) for labels, row in rows],
    )


def _kills(
    rows: Sequence[tuple[dict[str, str], Row]], uses: Sequence[tuple[dict[str, str], Usage]]
) -> tuple[str, str, str, Iterable[Sample]]:
    """Of ended runs too: of what runs, the kernel is ahead of the row."""
    counted = {(labels["stack"], labels["container"]): its["oom_kills"] for labels, its in uses}
    return (
        "orchestra_container_oom_kills_total",
        "counter",
        "Processes that the kernel killed for want of memory, since the container was made.",
        [
            (labels, max(row.get("oom_kills", 0), counted.get((labels["stack"], row["name"]), 0)))
            for labels, row in rows
        ],
    )


def _of_usage(uses: Sequence[tuple[dict[str, str], Usage]]) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
    def each(name: str, kind: str, text: str, key: str) -> tuple[str, str, str, list[Sample]]:
        return f"orchestra_container_{name}", kind, text, [(labels, its[key]) for labels, its in uses]  # type: ignore[literal-required]

    yield each("cpu_seconds_total", "counter", "Processor time of the present run.", "cpu")
    yield each("cpu_limit_cores", "gauge", "Processor cores that a container may use.", "cpu_limit")
    yield each(
        "cpu_throttled_seconds_total", "counter", "Time for which the limit held a container back.", "throttled"
    )
    yield each("cpu_throttled_periods_total", "counter", "Periods in which it did.", "throttled_periods")
    yield each("memory_usage_bytes", "gauge", "Memory that is charged, page cache included.", "memory")
    yield each("memory_working_set_bytes", "gauge", "Memory without page cache at rest.", "working_set")
    yield each("memory_limit_bytes", "gauge", "Memory that a container may use.", "memory_limit")
    yield each("memory_peak_bytes", "gauge", "The most memory that the present run has used.", "memory_peak")
    yield each("processes", "gauge", "Processes and threads.", "pids")
    yield each("processes_limit", "gauge", "Processes and threads that a container may have.", "pids_limit")
    yield each("fs_reads_bytes_total", "counter", "Bytes read from block devices.", "read")
    yield each("fs_writes_bytes_total", "counter", "Bytes written to block devices.", "written")
    yield (
        "orchestra_container_pressure_ratio",
        "gauge",
        "Part of the last ten seconds in which some task waited for a resource (PSI, some avg10).",
        [
            ({**labels, "resource": resource}, None if value is None else value / 100)
            for labels, its in uses
            for resource, value in (
                ("cpu", its["pressure_cpu"]),
                ("memory", its["pressure_memory"]),
                ("io", its["pressure_io"]),
            )
        ],
    )


def _of_networks(
    plugs: Sequence[tuple[dict[str, str], Traffic]],
) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
    for way, word in (("receive", "received"), ("transmit", "sent")):
        for thing, about in (
            ("bytes", "Bytes"),
            ("packets", "Packets"),
            ("dropped", "Packets dropped that were to be"),
        ):
            name = "packets_dropped" if thing == "dropped" else thing
            yield (
                f"orchestra_container_network_{way}_{name}_total",
                "counter",
                f"{about} {word} by a container through one of its networks.",
                [
                    ({**labels, "network": one["network"], "interface": one["interface"]}, one[f"{word}_{thing}"])  # type: ignore[literal-required]
                    for labels, one in plugs
                ],
            )


def _of(row: Row) -> dict[str, str]:
    return {"service": row["service"], "container": row["name"]}


def _is_ready(row: Row) -> bool:
    return row["state"] == "running" and row["health"] in ("", "healthy")


def _services(stacks: Sequence[Snapshot]) -> Iterator[tuple[dict[str, str], list[Row]]]:
    for status, _ in stacks:
        grouped: dict[str, list[Row]] = {}
        for row in status["rows"]:
            if not row["oneoff"]:
                grouped.setdefault(row["service"], []).append(row)
        for service, its in grouped.items():
            yield {"stack": status["stack"], "service": service}, its


def _by_service(stacks: Sequence[Snapshot], counts: Callable[[Row], bool]) -> list[Sample]:
    return [(labels, sum(counts(row) for row in its)) for labels, its in _services(stacks)]


def _health(stacks: Sequence[Snapshot]) -> Iterator[tuple[dict[str, str], bool]]:
    for labels, its in _services(stacks):
        yield labels, all(_is_ready(row) or (row["state"] == "exited" and row["exit_code"] == 0) for row in its)


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [f"{name}{_labels(labels)} {_number(value)}\n" for labels, value in samples if value is not None]
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n" + "".join(lines) if lines else ""


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}" if labels else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
