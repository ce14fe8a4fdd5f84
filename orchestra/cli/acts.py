"""What start, stop, restart and kill have in common: name services, ask the supervisor, show how they get there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestra.client import NotRunning
from orchestra.errors import OrchestraError

from .dry import say
from .listen import listen
from .options import Asked
from .origin import concerned
from .progress import progress
from .project import find, with_containers
from .queue import turn
from .reach import connect, known
from .steps import Step
from .telling import warn

if TYPE_CHECKING:
    from .steps import Goal

ALIVE = ("running", "paused", "restarting", "waiting", "stopping")
CONCERNED = {"stop": ALIVE, "kill": ("running", "paused", "stopping"), "start": ("created", "exited", "dead")}


def act(asked: Asked, services: tuple[str, ...], goal: Goal, request: dict[str, Any]) -> int:
    """Have the supervisor do `request` to the services (all if none is named) and wait until it is true."""
    if asked.dry_run:
        return say(asked, request["do"], services, CONCERNED.get(request["do"], ()))
    places = find(asked)
    if not known(places):
        raise NotRunning(places.name)
    with turn(places, request["do"]) as held, connect(places, changes=True) as connection:
        chosen = None if services else concerned(connection, asked, request["do"], held)
        if services:
            chosen = with_containers(asked, services, connection.call({"do": "status"})["rows"])
            if len(chosen) < len(services) and request["do"] == "start":
                raise OrchestraError("nothing was started", f"orchestra up -d {' '.join(services)}")
        if chosen == []:
            return 0
        number = connection.send({**request, "services": chosen})
        show = progress(asked.progress, request["do"], goal)
        killed = listen(connection, number, show, held).get("killed")
        for name in killed or ():
            show.changed(name, Step("Killed", "done"))
        if killed == []:
            warn(f"nobody was sent a signal: {', '.join(chosen) + ' does not run' if chosen else 'nothing runs'}")
    return 0
