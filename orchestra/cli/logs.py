"""`orchestra logs`: what containers have written, also those of a stack that does not run."""

from __future__ import annotations

import os
import select
import time
from typing import Any

import click

from orchestra.client import Connection, NotRunning
from orchestra.errors import OrchestraError
from orchestra.logs.follow import merge
from orchestra.logs.reader import FOREVER, SHOWN, read
from orchestra.places import Places

from . import words
from .listen import receive
from .listing import rows_of
from .moments import moment
from .options import Asked, project_options, services_argument
from .output import Output, say_who_is_silent
from .printer import Printer
from .project import find, need_services
from .reach import connect
from .waiting import ready

ENDED = ("exited", "dead", "created")
LAST_LOOK = 0.5  # seconds that everything has to be over for


@click.command()
@services_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until everything has ended.")
@click.option("-n", "--tail", default="all", metavar="N", help="The last N lines of each container.")
@click.option("--since", metavar="TIME", help="Not what is older: 10m, RFC 3339, epoch seconds.")
@click.option("--until", metavar="TIME", help="Not what is newer.")
@click.option("-t", "--timestamps", is_flag=True, help="The time in front of a line.")
@click.option("--no-log-prefix", is_flag=True, help="No name in front of a line.")
@click.option("--no-color", is_flag=True, help="No colours in front of a line.")
@click.option("--index", type=int, default=0, metavar="N", help="Of this replica only.")
@project_options("-f")
@click.pass_obj
def command(asked: Asked, /, services: tuple[str, ...], **options: Any) -> None:
    """Show what containers have written."""
    places = find(asked)
    rows = rows_of(places) or kept(places)
    need_services(asked, services, rows)
    rows = [
        row
        for row in rows
        if (row["service"] in services if services else "owner" not in row)
        and (not options["index"] or row["replica"] == options["index"])
    ]
    if options["index"] and not rows:
        which = f" of {' and '.join(services)}" if services else ""
        raise OrchestraError(f"there is no replica {options['index']}{which}", "orchestra ps -a shows them")
    say_who_is_silent(rows)
    printer = Printer(
        prefix=not options["no_log_prefix"], colour=not options["no_color"], timestamps=options["timestamps"]
    )
    since = nanoseconds(options["since"], "--since", 0)
    until = nanoseconds(options["until"], "--until", FOREVER)
    if options["follow"]:
        follow(places, rows, services, printer, since, until, lines(options["tail"]))
    else:
        show(places, rows, printer, since, until, lines(options["tail"]))


def nanoseconds(text: str | None, option: str, otherwise: int) -> int:
    when = moment(text, option)
    return otherwise if when is None else int(when * 1e9)


def lines(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit():
        raise OrchestraError(f"--tail {text}: not a number of lines", "write a number, or all")
    return int(text)


def kept(places: Places) -> list[dict[str, Any]]:
    """The logs that a stack left behind, in the shape of rows."""
    folder = os.path.dirname(places.logs("x"))
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    found = []
    for name in names:
        service, _, number = name.removeprefix(f"{places.name}-").rpartition("-")
        replica = int(number) if number.isdigit() else 1
        found.append({"name": name, "service": service or name, "replica": replica, "logs": places.logs(name)})
    return found


def show(
    places: Places, rows: list[dict[str, Any]], printer: Printer, since: int, until: int, tail: int | None
) -> None:
    names = {row["logs"]: words.label(places.name, row) for row in rows}
    printer.name(names.values())
    # Large blocks have one time for many lines: good enough for one log, wrong for merging several.
    alone = len(names) == 1 and not printer.timestamps
    logs = {folder: read(folder, since, until, tail, SHOWN, alone) for folder in names}
    for folder, block in merge(logs):
        printer.print(names[folder], block)
    printer.finish()


def follow(
    places: Places,
    rows: list[dict[str, Any]],
    services: tuple[str, ...],
    printer: Printer,
    since: int,
    until: int,
    tail: int | None,
) -> None:
    """Print until all containers have ended, the stack is gone, or the time is up."""
    states = {row["name"]: row.get("state", "exited") for row in rows}
    output = Output(places.name, services, printer)
    for row in rows:
        output.add(row, since, tail)
    connection = watching(places)
    over_since: float | None = None
    while True:
        output.show()
        over = not states or all(state in ENDED for state in states.values())
        over_since = (over_since or time.monotonic()) if over else None
        # A restart shows for a moment what looks like the end.
        past = over_since is not None and time.monotonic() - over_since >= LAST_LOOK
        if connection is None or not states or past or time.time_ns() > until:
            output.show()
            printer.finish()
            return
        sources: list[Any] = [connection, *output.sources()]
        ready(sources, LAST_LOOK if over else output.patience())
        connection = update(places, connection, output, states)


def watching(places: Places) -> Connection | None:
    """A connection that tells of every change; None when the stack does not run."""
    try:
        connection = connect(places)
    except NotRunning:
        return None
    connection.send({"do": "watch"})
    return connection


def update(places: Places, connection: Connection, output: Output, states: dict[str, str]) -> Connection | None:
    """Take in what changed; a new connection when the supervisor has been replaced."""
    if not select.select([connection], [], [], 0)[0]:
        return connection
    try:
        answers = receive(connection)
    except OrchestraError:
        return watching(places)
    for row in (row for answer in answers for row in answer.get("rows", ())):
        if row.get("gone"):
            states.pop(row["name"], None)
        elif output.wants(row) and ("owner" not in row or output.named):
            states[row["name"]] = row["state"]
            output.add(row, since=0)
    return connection
