"""`orchestra ls`: the stacks of this home. Every run directory is looked at, every supervisor asked at once."""

from __future__ import annotations

import os
import select
import time
from collections import Counter
from typing import Any

import click

from orchestra.client import Connection
from orchestra.errors import OrchestraError
from orchestra.places import Home
from orchestra.wire.frames import BadFrame

from ..wire import compact
from .console import data, echo, echo_lines
from .options import Asked, project_options
from .reach import lost, orphaned
from .table import table

PATIENCE = 1.0  # seconds; a supervisor that is silent for longer is shown as such


@click.command()
@click.option("-a", "--all", "every", is_flag=True, help="Also stacks of which nothing runs.")
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@click.option("--filter", "filters", multiple=True, metavar="name=TEXT", help="Only names that contain TEXT.")
@click.option("--format", "shape", type=click.Choice(["table", "json"]), default="table")
@project_options()
@click.pass_obj
def command(asked: Asked, every: bool, quiet: bool, filters: tuple[str, ...], shape: str) -> None:
    """List stacks."""
    wanted = [each.partition("=")[2] for each in filters if each.startswith("name=")]
    if len(wanted) != len(filters):
        raise OrchestraError("--filter takes name=TEXT only", "leave other filters out")
    stacks = [each for each in survey(asked.home(), every) if all(word in each["Name"] for word in wanted)]
    if quiet:
        data("".join(f"{each['Name']}\n" for each in stacks))
    elif shape == "json":
        echo(compact.dumps(stacks))
    else:
        echo_lines(listing(stacks))


def listing(stacks: list[dict[str, str]]) -> str:
    """Who uses whom is shown where anybody does."""
    columns = {"NAME": "Name", "STATUS": "Status", "USES": "Uses", "USED BY": "UsedBy", "CONFIG FILES": "ConfigFiles"}
    shown = {head: key for head, key in columns.items() if "Use" not in key or any(each[key] for each in stacks)}
    return table(list(shown), [[each[key] for key in shown.values()] for each in stacks])


def survey(home: Home, every: bool) -> list[dict[str, str]]:
    found = answers(home)
    if every:
        for name in _folders(home.stacks):
            if name not in found and os.path.exists(home.stack(name).wanted):
                found[name] = {"rows": [], "files": [], "uses": [], "used_by": []}
    stacks = [_line(name, answer) for name, answer in sorted(found.items())]
    return [
        each
        for each in stacks
        if every or any(word in each["Status"] for word in ("running", "paused", "restarting", "?"))
    ]


def _line(name: str, answer: dict[str, Any] | None) -> dict[str, str]:
    told = answer or {"files": [], "uses": [], "used_by": []}
    return {
        "Name": name,
        "Status": status(answer),
        "ConfigFiles": ",".join(told["files"]),
        "Uses": ", ".join(sorted({f"{use['owned']} of {use['owner']}" for use in told["uses"]})),
        "UsedBy": ", ".join(sorted({user["stack"] for user in told["used_by"]})),
    }


def status(answer: dict[str, Any] | None) -> str:
    """`exited(1), running(3)`, as docker compose puts it."""
    if answer is None:
        return "? (its supervisor does not answer)"
    counts = Counter(row["state"] for row in answer["rows"] if "owner" not in row)
    return ", ".join(f"{state}({number})" for state, number in sorted(counts.items())) or "exited(0)"


def answers(home: Home) -> dict[str, dict[str, Any] | None]:
    """What each supervisor tells about its stack; None of those that say nothing in time."""
    waiting: dict[Connection, str] = {}
    found: dict[str, dict[str, Any] | None] = {}
    for name in sorted({*_folders(home.run), *_folders(home.stacks)}):
        try:
            connection = Connection(home.stack(name))
            connection.send({"do": "status"})
        except (OrchestraError, OSError):
            if orphaned(home.stack(name)) or lost(home.stack(name)):
                found[name] = None
            continue
        waiting[connection] = name
        found[name] = None
    end = time.monotonic() + PATIENCE
    while waiting and (left := end - time.monotonic()) > 0:
        for connection in select.select(list(waiting), [], [], left)[0]:
            try:
                told = connection.receive()
            except (EOFError, OSError, BadFrame):
                del found[waiting.pop(connection)]
                continue
            for answer in told:
                if answer.get("done"):
                    found[waiting.pop(connection)] = answer
    return found


def _folders(path: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(path) if not name.startswith("."))
    except OSError:
        return []
