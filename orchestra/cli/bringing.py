"""`up` in the background: what is asked of the supervisor, and how it is waited for."""

from __future__ import annotations

from orchestra.errors import OrchestraError

from .listen import listen
from .origin import settle
from .progress import progress
from .queue import turn
from .reach import start
from .remarks import remark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from orchestra.places import Places

    from .asked import Asked
    from .steps import Goal

YES = ("1", "true", "yes")


def apply_request(
    asked: Asked,
    stack: Any,
    services: Sequence[str] = (),
    *,
    recreate: str = "diverged",
    no_deps: bool = False,
    no_start: bool = False,
    remove_orphans: bool = False,
    timeout: float | None = None,
    until: str = "running",
) -> dict[str, Any]:
    """wire.api.ApplyRequest; `stack` is encoded already."""
    return {
        "do": "apply",
        "stack": stack,
        "services": list(services) or None,
        "recreate": recreate,
        "no_deps": no_deps,
        "no_start": no_start,
        "remove_orphans": remove_orphans or asked.environ.get("COMPOSE_REMOVE_ORPHANS", "").lower() in YES,
        "timeout": timeout,
        "until": until,
    }


def bring_up(
    asked: Asked,
    places: Places,
    request: dict[str, Any],
    scales: Mapping[str, int],
    known: Collection[str],
    patience: float | None = None,
    take_over: bool = False,
) -> int:
    """Ask for it and return when it is so. `scales`: how many containers of each service; `known`: every service
    of the file; `patience` in seconds; `take_over` also from another file. Raises OrchestraError."""
    with turn(places, "up") as held, start(places) as connection:
        settle(connection, asked, held, request["stack"], take_over)
        show = progress(asked.progress, "up", goal_of(request), sum(scales.values()))
        try:
            listen(connection, connection.send(request), show, held, patience)
        except TimeoutError:
            late = [name for name, step in show.steps.items() if step.mark != "done"]
            who = ", ".join(sorted(late)) or "the stack"
            raise OrchestraError(
                f"{who} not ready after {patience:g} s", "orchestra why SERVICE tells the cause"
            ) from None
        remark(connection, known, asked.environ)
    return 0


def goal_of(request: dict[str, Any]) -> Goal:
    return "created" if request["no_start"] else "healthy" if request["until"] == "healthy" else "running"
