"""`orchestra down`: stop and remove what belongs to a stack."""

from __future__ import annotations

import click

from orchestra.client import NotRunning
from orchestra.errors import OrchestraError

from .guard import warn
from .listen import listen
from .options import Asked, project_options, services_argument, timeout_option
from .progress import progress
from .project import find, known
from .queue import clear_away, turn
from .reach import connect


@click.command()
@services_argument
@click.option("-v", "--volumes", is_flag=True, help="Remove the stack's named and anonymous volumes as well.")
@click.option("--remove-orphans", is_flag=True, help="Remove containers of services that the file has no more.")
@click.option("--rmi", hidden=True)
@timeout_option
@project_options()
@click.pass_obj
def command(
    asked: Asked,
    services: tuple[str, ...],
    volumes: bool,
    remove_orphans: bool,
    rmi: str | None,
    timeout: float | None,
) -> int:
    """Stop and remove containers, networks and, if asked, volumes."""
    if rmi:
        raise OrchestraError("--rmi: images are not supported yet", "leave it out")
    places = find(asked)
    request = {
        "do": "down",
        "services": list(services) or None,
        "volumes": volumes,
        "remove_orphans": remove_orphans,
        "timeout": timeout,
    }
    try:
        if not known(places):
            raise NotRunning(places.name)
        with turn(places, "down"), connect(places, changes=True) as connection:
            listen(connection, connection.send(request), progress(asked.progress, "down", "removed"))
            clear_away(places)
    except NotRunning:
        warn(f"no resource found to remove for stack {places.name}")
    return 0
