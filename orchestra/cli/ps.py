"""`orchestra ps`: the containers of a stack, as docker compose lists them, with what it does not tell: restarts."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from orchestra.client import NotRunning
from orchestra.errors import OrchestraError
from orchestra.places import Places

from . import words
from .options import Asked, project_options, services_argument
from .project import find, need_services
from .reach import connect
from .table import table

STATES = ("created", "waiting", "running", "restarting", "stopping", "exited", "dead", "paused", "removing")
SHOWN = {"running", "waiting", "restarting", "stopping", "dead"}  # without -a; docker hides what does not run
WIDEST_COMMAND = 20


@click.command()
@services_argument
@click.option("-a", "--all", "every", is_flag=True, help="Also those that do not run, and one-off ones.")
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@click.option("--services", "only_services", is_flag=True, help="Names of services only.")
@click.option("--status", "states", multiple=True, type=click.Choice(STATES), help="Only in this state; repeat.")
@click.option("--filter", "filters", multiple=True, metavar="status=STATE", help="As --status.")
@click.option("--format", "shape", default="table", metavar="table|json", help="json: one object a line.")
@click.option("--no-trunc", is_flag=True, help="Commands in full length.")
@click.option("--orphans/--no-orphans", default=True, help="Include services that the file has no more.")
@project_options()
@click.pass_obj
def command(asked: Asked, /, services: tuple[str, ...], **options: Any) -> None:
    """List containers."""
    if options["shape"] not in ("table", "json", "jsonl"):
        raise OrchestraError(f"--format {options['shape']}: not supported", "use table or json")
    states = {*options["states"], *(state_of(each) for each in options["filters"])}
    places = find(asked)
    rows = rows_of(places)
    if services:
        need_services(asked, services, rows)
        rows = [row for row in rows if row["service"] in services]
    if not options["orphans"]:
        from .project import load

        declared = load(asked).stack.services
        rows = [row for row in rows if row["service"] in declared]
    rows = chosen(rows, states, options["every"])
    show(places.name, rows, options)


def state_of(pair: str) -> str:
    key, _, state = pair.partition("=")
    if key != "status" or state not in STATES:
        raise OrchestraError(f"--filter {pair}: not supported", f"use status=STATE with one of {', '.join(STATES)}")
    return state


def rows_of(places: Places) -> list[dict[str, Any]]:
    """Every container of the stack, by name; none when it does not run."""
    try:
        with connect(places) as connection:
            rows: list[dict[str, Any]] = connection.call({"do": "status"})["rows"]
    except NotRunning:
        return []
    return sorted(rows, key=lambda row: (row["service"], row["replica"], row["name"]))


def chosen(rows: list[dict[str, Any]], states: set[str], every: bool) -> list[dict[str, Any]]:
    if states:
        return [row for row in rows if row["state"] in states]
    return rows if every else [row for row in rows if row["state"] in SHOWN and not row["oneoff"]]


def show(stack: str, rows: list[dict[str, Any]], options: dict[str, Any]) -> None:
    if options["quiet"]:
        lines = [row["name"] for row in rows]
    elif options["only_services"]:
        lines = list(dict.fromkeys(row["service"] for row in rows))
    elif options["shape"] != "table":
        lines = [json.dumps(record(stack, row, time.time())) for row in rows]
    else:
        lines = [listing(rows, time.time(), options["no_trunc"])]
    for line in lines:
        click.echo(line)


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
    if any(row["restarts"] for row in rows):
        headers.insert(6, "RESTARTS")
        for line, row in zip(cells, rows, strict=True):
            line.insert(6, words.restarts(row, now))
    return table(headers, cells)


def image(row: dict[str, Any]) -> str:
    return str(row.get("image") or "rootfs")


def shortened(text: str, whole: bool) -> str:
    if not whole and len(text) > WIDEST_COMMAND:
        text = text[: WIDEST_COMMAND - 1] + "…"
    return f'"{text}"'


def record(stack: str, row: dict[str, Any], now: float) -> dict[str, Any]:
    """The keys of `docker compose ps --format json`, then our own."""
    return {
        "Command": shortened(row["command"], whole=False),
        "CreatedAt": stamp(row["created"]),
        "ExitCode": row["exit_code"] or 0,
        "Health": row["health"],
        "ID": row["name"],
        "Image": image(row),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(row["labels"].items())),
        "LocalVolumes": "0",
        "Mounts": "",
        "Name": row["name"],
        "Names": row["name"],
        "Networks": ",".join(f"{stack}_{key}" for key in row["addresses"]),
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
        "Addresses": row["addresses"],
        "LogDirectory": row["logs"],
    }


def publishers(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"URL": url, "TargetPort": port["port"], "PublishedPort": port["host_port"], "Protocol": port["protocol"]}
        for port in row["ports"]
        for url in ([port["host_ip"]] if port["host_ip"] else ["0.0.0.0", "::"])
    ]


def stamp(moment: float | None) -> str:
    """`2026-11-23 22:47:59 +0000 UTC`, as docker prints times in listings."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(moment)) if moment is not None else ""
