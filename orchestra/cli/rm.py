"""`orchestra rm`: remove containers that do not run."""

from __future__ import annotations

import sys

import click

from orchestra.client import Connection, NotRunning

from .console import echo
from .dry import say
from .listen import listen
from .nothing import fine_when_nothing_runs
from .options import Asked, project_options, services_argument
from .origin import concerned
from .progress import progress
from .project import find, need_services
from .queue import turn
from .reach import connect, known

IDLE = ("exited", "dead", "created")


@click.command()
@services_argument
@click.option("-f", "--force", is_flag=True, help="Do not ask, nor care whether other stacks use them.")
@click.option("-s", "--stop", is_flag=True, help="Stop them first.")
@click.option("-v", "--volumes", is_flag=True, help="Remove anonymous volumes as well (they always are).")
@project_options("-f")
@click.pass_obj
@fine_when_nothing_runs
def command(asked: Asked, services: tuple[str, ...], force: bool, stop: bool, volumes: bool) -> int:
    """Remove stopped containers."""
    if asked.dry_run:
        return say(asked, "remove", services, () if stop else IDLE)
    places = find(asked)
    if not known(places):
        raise NotRunning(places.name)
    # Nobody else has to wait for the answer of a person.
    with connect(places, changes=True) as connection:
        chosen = list(services) or concerned(connection, asked, "rm")
        names = [] if force else _concerned(asked, connection, services, chosen, stop)[0]
    if names:
        echo(f"Going to remove {', '.join(sorted(names))}", sys.stderr)
        if not click.confirm("Are you sure?", err=True):
            return 0
    with turn(places, "rm") as held, connect(places, changes=True) as connection:
        names, owned = _concerned(asked, connection, services, chosen, stop)
        if not names and not owned:
            echo("No stopped containers", sys.stderr)
            return 0
        request = {"do": "rm", "services": chosen, "stop": stop, "force": force}
        listen(connection, connection.send(request), progress(asked.progress, "rm", "removed", len(names)), held)
    return 0


def _concerned(
    asked: Asked, connection: Connection, named: tuple[str, ...], chosen: list[str] | None, stop: bool
) -> tuple[list[str], list[str]]:
    """The containers that go, and those of the named services that another stack owns."""
    rows = connection.call({"do": "status"})["rows"]
    need_services(asked, named, rows)
    ours = [row for row in rows if "owner" not in row and (chosen is None or row["service"] in chosen)]
    names = [row["name"] for row in ours if stop or row["state"] in IDLE]
    return names, [row["name"] for row in rows if "owner" in row and row["service"] in named]
