"""--dry-run of what stops or removes: the containers that it would concern, on stdout like the plan of `up`."""

from __future__ import annotations

from collections.abc import Collection

from .console import echo_lines
from .listing import rows_of
from .options import Asked
from .project import find, need_services

Names = Collection[str]


def say(asked: Asked, verb: str, services: Names, states: Names = ()) -> int:
    """`would stop store-cart-1`, for each container of the services (all if none is named) that is in `states`."""
    rows = rows_of(find(asked))
    need_services(asked, services, rows)
    chosen = [row for row in rows if (not services or row["service"] in services) and "owner" not in row]
    names = [row["name"] for row in chosen if not states or row["state"] in states]
    echo_lines("\n".join(f"would {verb} {name}" for name in names) or "nothing to do")
    return 0
