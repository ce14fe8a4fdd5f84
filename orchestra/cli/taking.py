"""`down`: what is asked of the supervisor, and how the end of everything is waited for."""

from __future__ import annotations

from orchestra.client import NotRunning

from .ending import keeper_of, wait_for_end
from .listen import listen
from .origin import concerned
from .progress import progress
from .queue import clear_away, clear_away_after_all, turn
from .reach import connect, known
from .telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from orchestra.places import Places

    from .asked import Asked


def down_request(
    services: Sequence[str] = (),
    volumes: bool = False,
    remove_orphans: bool = False,
    timeout: float | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """wire.api.DownRequest."""
    return {
        "do": "down",
        "services": list(services) or None,
        "volumes": volumes,
        "remove_orphans": remove_orphans,
        "timeout": timeout,
        "force": force,
    }


def take_away(asked: Asked, places: Places, request: dict[str, Any]) -> bool:
    """Have it done and return when nothing is left. False: there was nothing. Raises OrchestraError."""
    if not known(places):
        return False
    try:
        with turn(places, "down") as held:
            _take_down(asked, places, request, held)
    except NotRunning:
        return False
    return True


def nothing_there(places: Places) -> None:
    warn(f"no resource found to remove for stack {places.name}")


def _take_down(asked: Asked, places: Places, request: dict[str, Any], held: turn) -> None:
    try:
        connection = connect(places, changes=True)
    except NotRunning:
        from orchestra.keeper.start import sweep

        sweep(places)
        clear_away(places)
        raise
    with connection:
        if services := request["services"]:
            from .project import with_containers

            chosen = with_containers(asked, services, connection.call({"do": "status"})["rows"])
            if not chosen:
                return
            request = {**request, "services": chosen}
        elif not request["remove_orphans"] and (mine := concerned(connection, asked, "down", held)) is not None:
            if not mine:
                return
            request = {**request, "services": mine}
        keeper = keeper_of(places)
        listen(connection, connection.send(request), progress(asked.progress, "down", "removed"), held)
    if not request["services"]:
        wait_for_end(keeper)
        clear_away_after_all(places)
