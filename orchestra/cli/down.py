"""`orchestra down`: stop and remove what belongs to a stack."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from orchestra.client import NotRunning
from orchestra.errors import OrchestraError
from orchestra.places import Places

from .dry import say
from .ending import keeper_of, wait_for_end
from .guard import warn
from .listen import listen
from .options import IMAGES, Asked, not_yet, project_options, services_argument, timeout_option
from .progress import progress
from .project import find, known, load
from .queue import clear_away, turn
from .reach import connect


@click.command()
@services_argument
@click.option("-v", "--volumes", is_flag=True, help="Remove the stack's named and anonymous volumes as well.")
@click.option("--remove-orphans", is_flag=True, help="Remove containers of services that the file has no more.")
@not_yet("--rmi", because=IMAGES, takes_value=True)
@timeout_option
@project_options()
@click.pass_obj
def command(
    asked: Asked,
    services: tuple[str, ...],
    volumes: bool,
    remove_orphans: bool,
    timeout: float | None,
) -> int:
    """Stop and remove containers, networks and, if asked, volumes."""
    if asked.dry_run:
        return say(asked, "stop and remove", services)
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
        with turn(places, "down"):
            take_down(places, request, asked)
            clear_away(places)
    except NotRunning:
        if not (volumes and not services and remove_volumes(asked, places)):
            warn(f"no resource found to remove for stack {places.name}")
    return 0


def take_down(places: Places, request: dict[str, Any], asked: Asked) -> None:
    try:
        connection = connect(places, changes=True)
    except NotRunning:
        from orchestra.keeper.start import sweep

        sweep(places)
        clear_away(places)
        raise
    with connection:
        keeper = keeper_of(places)
        listen(connection, connection.send(request), progress(asked.progress, "down", "removed"))
        if not request["services"]:
            wait_for_end(keeper)


def remove_volumes(asked: Asked, places: Places) -> bool:
    """Remove the volumes of a stack that does not run; only its file still knows them. Whether there were any."""
    from shutil import rmtree

    asked.profiles.append("*")
    try:
        stack = load(asked).stack
    except OrchestraError:
        return False
    owned = [volume.name for volume in stack.volumes.values() if not volume.external]
    found = {name: folder for name in owned if os.path.isdir(folder := os.path.dirname(places.home.volume(name)))}
    if stack.name != places.name or not found:
        return False
    with turn(places, "down"):
        for name, folder in found.items():
            rmtree(folder)
            print(f" Volume {name}  Removed", file=sys.stderr)
        clear_away(places)
    return True
