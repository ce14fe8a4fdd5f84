"""`orchestra stats`: what containers use, as docker shows it; live on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from orchestra.errors import OrchestraError

from ..wire import compact
from .console import data, echo_lines, raw
from .nothing import fine_when_nothing_runs
from .options import Asked, project_options, services_argument
from .project import find, need_services
from .reach import at_owner, connect
from .table import table
from .waiting import answers

HEADERS = ("NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS")
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
UNKNOWN = "--"


@click.command()
@services_argument
@click.option("-a", "--all", "every", is_flag=True, help="Also those that do not run.")
@click.option("--no-stream", is_flag=True, help="Once, not again and again.")
@click.option("--format", "shape", default="table", metavar="table|json", help="json: one object a line.")
@click.option("--no-trunc", is_flag=True, hidden=True)
@project_options()
@click.pass_obj
@fine_when_nothing_runs
def command(
    asked: Asked, services: tuple[str, ...], every: bool, no_stream: bool, shape: str, no_trunc: bool
) -> None:
    """Show what containers use: processor, memory, network, disks, processes; until interrupted."""
    if shape not in ("table", "json"):
        raise OrchestraError(f"--format {shape}: not supported", "use table or json")
    connection, chosen = at_owner(connect(find(asked)), asked.home(), services)
    with connection:
        rows = connection.call({"do": "status"})["rows"]
        if chosen:
            need_services(asked, chosen, rows)
        idle = [row["name"] for row in rows if every and (not chosen or row["service"] in chosen)]
        request = {"do": "usage", "services": list(chosen) or None}
        if no_stream:
            show(connection.call(request)["usage"], idle, shape)
            return
        live = shape == "table" and sys.stdout.isatty()
        try:
            if live:
                raw(HIDE + HOME + CLEAR_BELOW)
            # The first answer has no rates where the supervisor has not looked before: soon there are.
            for answer in answers(connection, connection.send({**request, "follow": True})):
                show(answer["usage"], idle, shape, live)
        finally:
            if live:
                raw(SHOW)


def show(usages: Iterable[dict[str, Any]], idle: Iterable[str], shape: str, live: bool = False) -> None:
    records = [record(usage) for usage in sorted(usages, key=lambda usage: str(usage["container"]))]
    records += [nothing(name) for name in sorted(set(idle) - {each["Name"] for each in records})]
    if shape == "json":
        data("".join(compact.dumps(each) + "\n" for each in records))
        return
    keys = ("Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
    text = table(HEADERS, [[each[key] for key in keys] for each in records])
    if live:
        lines = text.split("\n")[: max(2, os.get_terminal_size().lines - 1)]
        raw(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_BELOW)
    else:
        echo_lines(text)


def record(usage: dict[str, Any]) -> dict[str, str]:
    """The keys of `docker stats --format json`, then the throttling that it does not tell."""
    rates = usage.get("rates") or {}
    used, most = usage["working_set"], usage["memory_limit"] or machine_memory()
    received, sent = (sum(each[f"{way}_bytes"] for each in usage["networks"]) for way in ("received", "sent"))
    name = usage["container"]
    return {
        "BlockIO": f"{decimal(usage['read'])} / {decimal(usage['written'])}",
        "CPUPerc": percent(rates.get("cpu")),
        "Container": name,
        "ID": name,
        "MemPerc": percent(None if used is None else used / most),
        "MemUsage": f"{binary(used)} / {binary(most)}",
        "Name": name,
        "NetIO": f"{decimal(received)} / {decimal(sent)}",
        "PIDs": UNKNOWN if usage["pids"] is None else str(usage["pids"]),
        "Service": usage["service"],
        "Throttled": percent(rates.get("throttled")),
    }


def nothing(name: str) -> dict[str, str]:
    """One that does not run."""
    sizes = f"{binary(0)} / {binary(0)}"
    known = {"Container": name, "ID": name, "Name": name}
    return {
        "BlockIO": sizes,
        "CPUPerc": "0.00%",
        **known,
        "MemPerc": "0.00%",
        "MemUsage": sizes,
        "NetIO": sizes,
        "PIDs": "0",
    }


def machine_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share * 100:.2f}%"


def binary(size: float | None) -> str:
    """`2.504MiB`: four digits, units of 1024 (docker/go-units, BytesSize)."""
    return _shown(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), 4)


def decimal(size: float | None) -> str:
    """`1.09kB`: three digits, units of 1000 (docker/go-units, HumanSizeWithPrecision)."""
    return _shown(size, 1000, ("B", "kB", "MB", "GB", "TB", "PB"), 3)


def _shown(size: float | None, step: int, units: tuple[str, ...], digits: int) -> str:
    if size is None:
        return UNKNOWN
    at = 0
    while size >= step and at < len(units) - 1:
        size, at = size / step, at + 1
    text = f"{size:.{digits}g}"
    return f"{size:.0f}{units[at]}" if "e" in text else text + units[at]
