"""`orchestra rm`: remove containers that do not run."""

from __future__ import annotations

import sys

import click

from orchestra.client import NotRunning

from .dry import say
from .listen import listen
from .options import Asked, project_options, services_argument
from .progress import progress
from .project import find, known, need_services
from .queue import turn
from .reach import connect

IDLE = ("exited", "dead", "created")


@click.command()
@services_argument
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-s", "--stop", is_flag=True, help="Stop them first.")
@click.option("-v", "--volumes", is_flag=True, help="Remove anonymous volumes as well (they always are).")
@project_options("-f")
@click.pass_obj
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
        names = [
            row["name"]
            for row in rows
            if (not services or row["service"] in services) and (stop or row["state"] in IDLE)
        ]
        if not names:
            print("No stopped containers", file=sys.stderr)
            return 0
        if not force:
            print(f"Going to remove {', '.join(sorted(names))}", file=sys.stderr)
            if not click.confirm("Are you sure?", err=True):
                return 0
        request = {"do": "rm", "services": list(services) or None, "stop": stop}
        listen(connection, connection.send(request), progress(asked.progress, "rm", "removed", len(names)))
    return 0
