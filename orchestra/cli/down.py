"""`orchestra down`: stop and remove what belongs to a stack."""

from __future__ import annotations

import os
import sys

import click

from orchestra.errors import OrchestraError
from orchestra.places import Places

from .console import echo
from .dry import say
from .options import IMAGES, Asked, not_yet, project_options, services_argument, timeout_option
from .project import find, load
from .queue import clear_away, turn
from .taking import down_request, nothing_there, take_away


@click.command()
@services_argument
@click.option("-v", "--volumes", is_flag=True, help="Remove the stack's named and anonymous volumes as well.")
@click.option("--remove-orphans", is_flag=True, help="Remove containers of services that the file has no more.")
@click.option("--force", is_flag=True, help="Also when other stacks use services of this one.")
@not_yet("--rmi", because=IMAGES, takes_value=True)
@timeout_option
@project_options()
@click.pass_obj
def command(
    asked: Asked,
    services: tuple[str, ...],
    volumes: bool,
    remove_orphans: bool,
    force: bool,
    timeout: float | None,
) -> int:
    """Stop and remove containers, networks and, if asked, volumes."""
    if asked.dry_run:
        return say(asked, "stop and remove", services)
    places = find(asked)
    request = down_request(services, volumes, remove_orphans, timeout, force)
    if not take_away(asked, places, request):
        everything = volumes and not services
        forgotten = everything and forget_history(places)
        if not (everything and remove_volumes(asked, places)) and not forgotten:
            nothing_there(places)
    return 0


def forget_history(places: Places) -> bool:
    """What a stack that does not run has left of its past. Whether there was any."""
    if not os.path.lexists(places.history):
        return False
    from orchestra.state.archive import Archive, Unwritable

    try:
        Archive(places.history).remove()
    except Unwritable as error:
        raise OrchestraError(f"cannot remove the history: {error}", "leave --volumes out") from None
    echo(" History  Removed", sys.stderr)
    return True


def remove_volumes(asked: Asked, places: Places) -> bool:
    """Remove the volumes of a stack that does not run; only its file still knows them. Whether there were any."""
    from orchestra.state.volumes import discard

    asked.profiles.append("*")
    try:
        stack = load(asked).stack
    except OrchestraError:
        return False
    owned = [volume.name for volume in stack.volumes.values() if not volume.external]
    found = [name for name in owned if os.path.isdir(os.path.dirname(places.home.volume(name)))]
    if stack.name != places.name or not found:
        return False
    with turn(places, "down"):
        for name in found:
            discard(places.home, name)
            echo(f" Volume {name}  Removed", sys.stderr)
        clear_away(places)
    return True
