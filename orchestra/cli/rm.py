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
    if not force:
        # Nobody else has to wait for the answer of a person.
        with connect(places, changes=True) as connection:
            names, _ = _concerned(asked, connection, services, stop)
        if names:
            echo(f"Going to remove {', '.join(sorted(names))}", sys.stderr)
            if not click.confirm("Are you sure?", err=True):
                return 0
    with turn(places, "rm") as held, connect(places, changes=True) as connection:
        names, owned = _concerned(asked, connection, services, stop)
        if not names and not owned:
            echo("No stopped containers", sys.stderr)
            return 0
        request = {"do": "rm", "services": list(services) or None, "stop": stop, "force": force}
        listen(connection, connection.send(request), progress(asked.progress, "rm", "removed", len(names)), held)
    return 0


def _concerned(
    asked: Asked, connection: Connection, services: tuple[str, ...], stop: bool
) -> tuple[list[str], list[str]]:
    """The containers that go, and those of these services that another stack owns."""
    rows = connection.call({"do": "status"})["rows"]
    need_services(asked, services, rows)
    chosen = [row for row in rows if not services or row["service"] in services]
    names = [row["name"] for row in chosen if (stop or row["state"] in IDLE) and "owner" not in row]
    return names, [row["name"] for row in chosen if "owner" in row and services]
