"""`orchestra top`: the processes of each container, numbered as the host counts and as the container does."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from orchestra.errors import OrchestraError

from .console import echo, echo_lines
from .nothing import fine_when_nothing_runs
from .options import Asked, project_options, services_argument
from .project import find, need_services
from .reach import at_owner, connect
from .table import table

HEADERS = ("SERVICE", "#", "UID", "PID", "INSIDE", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
A_DAY = 86400


@click.command()
@services_argument
@click.option("--format", "shape", default="table", metavar="table|json", help="json: one object a line.")
@project_options()
@click.pass_obj
@fine_when_nothing_runs
def command(asked: Asked, services: tuple[str, ...], shape: str) -> None:
    """Show the processes of services: PID is the host's number, INSIDE the container's own."""
    if shape not in ("table", "json"):
        raise OrchestraError(f"--format {shape}: not supported", "use table or json")
    connection, chosen = at_owner(connect(find(asked)), asked.home(), services)
    with connection:
        rows = connection.call({"do": "status"})["rows"]
        if chosen:
            need_services(asked, chosen, rows)
        found = connection.call({"do": "top", "services": list(chosen) or None})["containers"]
    of = {row["name"]: row for row in rows}
    names = sorted(
        (name for name in found if name in of), key=lambda name: (of[name]["service"], of[name]["replica"])
    )
    if shape == "json":
        for name in names:
            for one in found[name]:
                echo(json.dumps({"Container": name, "Service": of[name]["service"], **record(one)}))
        return
    now = time.time()
    cells = [
        [of[name]["service"], str(of[name]["replica"]), *columns(one, now)] for name in names for one in found[name]
    ]
    echo_lines(table(HEADERS, cells))


def columns(one: dict[str, Any], now: float) -> list[str]:
    """As ps -ef has them (ps(1)), with the inner number beside the outer."""
    running = max(1.0, now - one["started"])
    return [
        one["user"],
        str(one["pid"]),
        str(one["inside"]),
        str(one["parent"]),
        str(min(99, int(one["cpu"] * 100 / running))),
        time.strftime("%H:%M" if running < A_DAY else "%b%d", time.localtime(one["started"])),
        one["terminal"],
        time.strftime("%H:%M:%S", time.gmtime(one["cpu"])),
        one["command"],
    ]


def record(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "User": one["user"],
        "Pid": one["pid"],
        "PidInside": one["inside"],
        "Ppid": one["parent"],
        "CpuSeconds": one["cpu"],
        "Memory": one["memory"],
        "StartedAt": one["started"],
        "Tty": one["terminal"],
        "Command": one["command"],
    }
