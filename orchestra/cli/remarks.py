"""What `up` has to say besides: what the supervisor noticed, and containers that the file knows nothing of."""

from __future__ import annotations

from .telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from orchestra.client import Connection

YES = ("1", "true", "yes")


def remark(connection: Connection, known: Collection[str], environ: Mapping[str, str]) -> None:
    """Warn on stderr. Profiles that are off do not make orphans (docker compose, create.go)."""
    status = connection.call({"do": "status"})
    for notice in status["notices"]:
        warn(notice)
    if environ.get("COMPOSE_IGNORE_ORPHANS", "").lower() in YES:
        return
    if found := orphans(status["rows"], known):
        warn(f"{', '.join(found)}: of no service in the stack file any more; --remove-orphans removes them")


def orphans(rows: list[dict[str, Any]], services: Collection[str]) -> list[str]:
    return sorted(row["name"] for row in rows if not (row["service"] in services or row["oneoff"] or "owner" in row))
