"""What start, stop, restart and kill have in common: name services, ask the supervisor, show how they get there."""

from __future__ import annotations

from typing import Any

from orchestra.client import NotRunning

from .dry import say
from .listen import listen
from .options import Asked
from .progress import progress
from .project import find, known, need_services
from .queue import turn
from .reach import connect
from .steps import Goal, Step

ALIVE = ("running", "restarting", "waiting", "stopping")
CONCERNED = {"stop": ALIVE, "kill": ("running", "stopping"), "start": ("created", "exited", "dead")}


def act(asked: Asked, services: tuple[str, ...], goal: Goal, request: dict[str, Any]) -> int:
    """Have the supervisor do `request` to the services (all if none is named) and wait until it is true."""
    if asked.dry_run:
        return say(asked, request["do"], services, CONCERNED.get(request["do"], ()))
    places = find(asked)
    if not known(places):
        raise NotRunning(places.name)
    with turn(places, request["do"]), connect(places, changes=True) as connection:
        if services:
            need_services(asked, services, connection.call({"do": "status"})["rows"])
        number = connection.send({**request, "services": list(services) or None})
        show = progress(asked.progress, request["do"], goal)
        for name in listen(connection, number, show).get("killed", ()):
            show.changed(name, Step("Killed", "done"))
    return 0
