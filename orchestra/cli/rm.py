"""`orchestra rm`: remove containers that do not run."""

from __future__ import annotations

import sys

import click

from orchestra.client import NotRunning

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
    with turn(places, "rm"), connect(places, changes=True) as connection:
        rows = connection.call({"do": "status"})["rows"]
        need_services(asked, services, rows)
        chosen = list(services) or concerned(connection, asked, "rm")
        names = [
            row["name"]
            for row in rows
            if (chosen is None or row["service"] in chosen) and (stop or row["state"] in IDLE) and "owner" not in row
        ]
        owned = [row for row in rows if "owner" in row and row["service"] in services]
        if not names and not owned:
            print("No stopped containers", file=sys.stderr)
            return 0
        if not force:
            print(f"Going to remove {', '.join(sorted(names))}", file=sys.stderr)
            if not click.confirm("Are you sure?", err=True):
                return 0
        request = {"do": "rm", "services": chosen, "stop": stop, "force": force}
        listen(connection, connection.send(request), progress(asked.progress, "rm", "removed", len(names)))
    return 0
