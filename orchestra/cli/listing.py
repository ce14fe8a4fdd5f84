"""Containers as `ps` lists them: docker compose's columns and keys, with what it does not tell: restarts."""

from __future__ import annotations

import time

from orchestra.client import NotRunning

from ..wire import compact
from . import words
from .console import echo_lines
from .reach import connect
from .table import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from orchestra.places import Places

SHOWN = {"running", "paused", "waiting", "restarting", "stopping", "dead"}
"""Without -a: docker hides what does not run."""

WIDEST_COMMAND = 20


def rows_of(places: Places) -> list[dict[str, Any]]:
    """Every container of the stack, by name; none when it does not run."""
    try:
        with connect(places) as connection:
            rows: list[dict[str, Any]] = connection.call({"do": "status"})["rows"]
    except NotRunning:
        return []
    return sorted(rows, key=lambda row: (row["service"], row["replica"], row["name"]))


def chosen(rows: list[dict[str, Any]], states: Collection[str] = (), every: bool = False) -> list[dict[str, Any]]:
    if states:
        return [row for row in rows if row["state"] in states]
    return rows if every else [row for row in rows if row["state"] in SHOWN and not row["oneoff"]]


def show(
    stack: str,
    rows: list[dict[str, Any]],
    shape: str = "table",
    names: bool = False,
    services: bool = False,
    whole: bool = False,
) -> None:
    """`names` and `services`: those alone, one a line; `whole`: commands in full length."""
    if names:
        lines = [row["name"] for row in rows]
    elif services:
        lines = list(dict.fromkeys(row["service"] for row in rows))
    elif shape != "table":
        # As close as docker writes it: scripts look for '"State":"running"' without a parser.
        lines = [compact.dumps(record(stack, row, time.time())) for row in rows]
    else:
        lines = [listing(rows, time.time(), whole)]
    for line in lines:
        echo_lines(line)


def listing(rows: list[dict[str, Any]], now: float, whole: bool = False) -> str:
    headers = ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"]
    cells = [
        [
            row["name"],
            image(row),
            shortened(row["command"], whole),
            row["service"],
            words.ago(row["created"], now),
            words.status(row, now),
            words.ports(row),
        ]
        for row in rows
    ]
    if any("owner" in row for row in rows):
        headers.insert(4, "OWNER")
        for line, row in zip(cells, rows, strict=True):
            line.insert(4, row.get("owner", ""))
    if any(row["restarts"] for row in rows):
        headers.insert(-1, "RESTARTS")
        for line, row in zip(cells, rows, strict=True):
            line.insert(-1, words.restarts(row, now))
    return table(headers, cells)


def image(row: dict[str, Any]) -> str:
    return str(row.get("image") or "rootfs")


def shortened(text: str, whole: bool) -> str:
    if not whole and len(text) > WIDEST_COMMAND:
        text = text[: WIDEST_COMMAND - 1] + "…"
    return f'"{text}"'


def record(stack: str, row: dict[str, Any], now: float) -> dict[str, Any]:
    """The keys of `docker compose ps --format json`, then our own."""
    mounts = row.get("mounts", ())  # a supervisor of an older version tells neither these nor the networks' names
    return {
        "Command": shortened(row["command"], whole=False),
        "CreatedAt": stamp(row["created"]),
        "ExitCode": row["exit_code"] or 0,
        "Health": row["health"],
        "ID": row["name"],
        "Image": image(row),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(row["labels"].items())),
        "LocalVolumes": str(sum(not mount.startswith("/") for mount in mounts)),
        "Mounts": ",".join(mounts),
        "Name": row["name"],
        "Names": row["name"],
        "Networks": ",".join(row.get("networks", ())),
        "Ports": words.ports(row),
        "Project": stack,
        "Publishers": publishers(row),
        "RunningFor": words.ago(row["created"], now),
        "Service": row["service"],
        "Size": "0B",
        "State": row["state"],
        "Status": words.status(row, now),
        "Pid": row["pid"],
        "Replica": row["replica"],
        "Run": row["run"],
        "Restarts": row["restarts"],
        "LastExit": row["last_exit"],
        "StartedAt": stamp(row["started"]),
        "FinishedAt": stamp(row["ended"]),
        "Why": row["why"],
        "Owner": row.get("owner", ""),
        "Addresses": row["addresses"],
        "LogDirectory": row["logs"],
    }


def publishers(row: dict[str, Any]) -> list[dict[str, Any]]:
    """As docker compose lists them; a long range is one entry, with how many `Ports` it has."""
    return [
        {"URL": url, "TargetPort": port["port"], "PublishedPort": port["host_port"], "Protocol": port["protocol"]}
        | ({"Ports": words.how_many(port)} if words.how_many(port) > 1 else {})
        for port in words.published(row)
        for url in words.addresses(port)
    ]


def stamp(moment: float | None) -> str:
    """`2026-11-23 22:47:59 +0000 UTC`, as docker prints times in listings."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(moment)) if moment is not None else ""
