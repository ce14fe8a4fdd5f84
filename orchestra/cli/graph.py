"""`orchestra graph`: who depends on whom, with the state of what runs."""

from __future__ import annotations

import re
import time
from typing import Any

import click

from orchestra.client import NotRunning
from orchestra.places import Places
from orchestra.stack import graph
from orchestra.stack.model import Stack
from orchestra.wire.terminal import line as fit

from . import words
from .console import echo, echo_lines
from .options import Asked, project_options, services_argument
from .project import load
from .reach import connect

NAME = re.compile(r"^[│├└─ ]*(?P<name>[^ ]+)")
COLOURS = {"running": "green", "healthy": "green", "unhealthy": "red", "dead": "red", "restarting": "orange"}


@click.command()
@services_argument
@click.option("--dot", is_flag=True, help="In Graphviz' language.")
@project_options()
@click.pass_obj
def command(asked: Asked, services: tuple[str, ...], dot: bool) -> None:
    """Draw who depends on whom, and how each of them is if the stack runs."""
    if asked.project_name and not asked.files:
        asked.files = files_of(asked.home().stack(asked.project_name))
    stack = load(asked, services).stack
    told = status(asked.home().stack(stack.name))
    live = by_service(told["rows"])
    if dot:
        echo_lines(drawing(stack, live))
        return
    echo_lines(tree(stack, live, time.time()))
    for user in told["used_by"]:
        echo(f"{user['service']} is used by stack {user['stack']} (as {user['name']})")


def files_of(places: Places) -> list[str]:
    """The files that a running stack was started from: with -p alone it is that one that is meant."""
    return list(status(places)["files"])


def status(places: Places) -> dict[str, Any]:
    """What the supervisor tells; next to nothing of a stack that does not run."""
    try:
        with connect(places) as connection:
            return connection.call({"do": "status"})
    except NotRunning:
        return {"files": [], "rows": [], "used_by": []}


def by_service(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if not row["oneoff"]:
            found.setdefault(row["service"], []).append(row)
    return found


def tree(stack: Stack, live: dict[str, list[dict[str, Any]]], now: float) -> str:
    """The stack's tree with the state of each service beside it."""
    lines = graph.tree(stack).splitlines()
    if not live:
        return "\n".join(lines)
    width = max(map(len, lines), default=0) + 3
    return "\n".join(f"{line.ljust(width)}{fit(state(line, live, now))}".rstrip() for line in lines)


def state(line: str, live: dict[str, list[dict[str, Any]]], now: float) -> str:
    match = NAME.match(line)
    rows = live.get(match["name"], []) if match else []
    return ", ".join(dict.fromkeys(words.status(row, now) for row in rows)) or "not created"


def drawing(stack: Stack, live: dict[str, list[dict[str, Any]]]) -> str:
    """The stack for Graphviz, services coloured by their worst replica."""
    text = graph.dot(stack)
    for name, rows in live.items():
        states = [row["health"] if row["health"] in COLOURS else row["state"] for row in rows]
        colours = [COLOURS.get(state, "gray") for state in states]
        colour = next((each for each in ("red", "orange", "gray") if each in colours), "green")
        text = text.replace(f'  "{name}";', f'  "{name}" [color={colour}, tooltip="{", ".join(states)}"];')
    return text
