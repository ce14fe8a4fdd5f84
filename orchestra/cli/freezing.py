"""What pause and unpause have in common."""

from __future__ import annotations

from typing import Literal

from .dry import say
from .options import Asked
from .origin import concerned
from .progress import progress
from .project import find, with_containers
from .queue import turn
from .reach import connect
from .steps import Step


def freeze(asked: Asked, services: tuple[str, ...], act: Literal["pause", "unpause"]) -> int:
    if asked.dry_run:
        return say(asked, act, services, ("running",) if act == "pause" else ("paused",))
    places = find(asked)
    with turn(places, act) as held, connect(places) as connection:
        rows = connection.call({"do": "status"})["rows"] if services else []
        chosen = with_containers(asked, services, rows) if services else concerned(connection, asked, act, held)
        if chosen == []:
            return 0
        show = progress(asked.progress, act, "running")
        try:
            changed = connection.call({"do": act, "services": chosen})["changed"]
            state = "paused" if act == "pause" else "running"
            already = [row["name"] for row in rows if row["service"] in services and row["state"] == state]
            for name in dict.fromkeys([*already, *changed]):
                show.changed(name, Step(f"{act.title()}d", "done"))
        finally:
            show.close()
    return 0
