"""What `up` has to say besides: what the supervisor noticed, and containers that the file knows nothing of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from orchestra.client import Connection
from orchestra.stack.model import Stack

from .guard import warn

YES = ("1", "true", "yes")


def remark(connection: Connection, stack: Stack, environ: Mapping[str, str]) -> None:
    """Warn on stderr. Profiles that are off do not make orphans (docker compose, create.go)."""
    status = connection.call({"do": "status"})
    for notice in status["notices"]:
        warn(notice)
    if environ.get("COMPOSE_IGNORE_ORPHANS", "").lower() in YES:
        return
    if found := orphans(status["rows"], {*stack.services, *stack.disabled}):
        warn(f"{', '.join(found)}: of no service in the stack file any more; --remove-orphans removes them")


def orphans(rows: list[dict[str, Any]], services: Collection[str]) -> list[str]:
    return sorted(row["name"] for row in rows if row["service"] not in services and not row["oneoff"])
