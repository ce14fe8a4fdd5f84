"""The past of a stack: from its supervisor, or from the file that it left when the stack does not run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from orchestra.client import Connection, NotRunning
from orchestra.places import Places

from .reach import connect
from .waiting import answers


def events(places: Places, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Stored ones, then, with `follow` while the stack runs, new ones. Raises NotRunning where nothing is known."""
    try:
        connection = connect(places)
    except NotRunning:
        _need_history(places)
        from orchestra.plan.sought import Sought
        from orchestra.state.recall import events as stored

        yield from stored(places.history, Sought.of(request))[0]  # type: ignore[misc]  # an Event is a dict
        return
    with connection:
        for answer in answers(connection, connection.send({"do": "events", **request})):
            if event := answer.get("event"):
                yield event


def health(places: Places, services: list[str] | None, start: float) -> dict[str, Any]:
    """`wire.history.HealthRequest`. Raises NotRunning where nothing is known."""
    try:
        connection: Connection = connect(places)
    except NotRunning:
        _need_history(places)
        from orchestra.plan.spans import TURNS
        from orchestra.plan.story import story
        from orchestra.state.recall import turns

        now = time.time()
        told, begin = turns(places.history, TURNS, start, now)
        return {**story(told, begin, now, services), "truncated": begin > start}
    with connection:
        return connection.call({"do": "health", "services": services, "start": start})


def _need_history(places: Places) -> None:
    if not os.path.exists(places.history):
        raise NotRunning(places.name) from None


def clock(moment: float) -> str:
    """With the day where it is not today's."""
    then, now = time.localtime(moment), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M:%S", then)
