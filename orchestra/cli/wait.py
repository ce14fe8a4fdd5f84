"""`orchestra wait`: until services have ended; their exit code becomes this command's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from orchestra.client import SupervisorGone
from orchestra.errors import OrchestraError
from orchestra.places import Places

from .console import echo
from .options import Asked, project_options, services_argument
from .project import find, need_services
from .reach import connect
from .taking import down_request, take_away
from .waiting import answers

ENDED = ("exited", "dead")


@click.command()
@services_argument
@click.option("--down-project", is_flag=True, help="Take the whole stack down as soon as one has ended.")
@project_options()
@click.pass_obj
def command(asked: Asked, services: tuple[str, ...], down_project: bool) -> int:
    """Wait until services have ended and print their exit codes; ends with that of the last one."""
    if not services:
        raise OrchestraError("wait for whom?", "name the services, as in: orchestra wait migrate")
    places = find(asked)
    with connect(places) as connection:
        rows = connection.call({"do": "status"})["rows"]
        need_services(asked, services, rows)
    if nobody := sorted(set(services) - {row["service"] for row in rows}):
        raise OrchestraError(f"{', '.join(nobody)}: no container to wait for", f"orchestra up -d {' '.join(nobody)}")
    code = watch(places, set(services), first_is_enough=down_project)
    if down_project:
        take_away(asked, places, down_request((), False, False, None))
    return code


def watch(places: Places, services: set[str], first_is_enough: bool) -> int:
    """The exit code of the last one to end, or of the first where that is enough."""
    rows: dict[str, dict[str, Any]] = {}
    told: set[str] = set()
    code = 0
    for row in told_of(places):
        if row is not None and row["service"] in services and not row["oneoff"]:
            name = row["name"]
            rows[name] = row
            if name not in told and (row["state"] in ENDED or row.get("gone")):
                told.add(name)
                code = int(row["exit_code"] or 0)
                echo(f'container "{name}" exited with status code {code}')
        elif row is None and rows and (len(told) == len(rows) or (told and first_is_enough)):
            break
    return code


def told_of(places: Places) -> Iterator[dict[str, Any] | None]:
    """Every row that changes, None after each batch; a supervisor that goes away has a successor. Raises NotRunning
    when the stack is no more."""
    while True:
        with connect(places) as connection:
            try:
                number = connection.send({"do": "watch"})
                for answer in answers(connection, number):
                    yield from answer.get("rows", ())
                    yield None
            except SupervisorGone:
                continue
