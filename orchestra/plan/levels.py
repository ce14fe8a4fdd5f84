"""How urgent a container's state is to somebody who looks at many: for colours, order, and other monitors."""

from __future__ import annotations

from typing import Literal

from ..wire.api import Row

Level = Literal["bad", "pending", "off", "good"]
"""`bad`: somebody should look; `pending`: on its way; `off`: not running, and that is meant; `good`."""


def level_of(row: Row) -> Level:
    state, health = row["state"], row["health"]
    if state in ("dead", "restarting") or health == "unhealthy":
        return "bad"
    if state == "exited":
        by_itself = row["exit_code"] not in (0, None) and row["why"] != "stopped by hand"
        return "bad" if by_itself else "off"
    if state == "waiting":
        return "bad" if "could not" in row["why"] else "pending"
    if state in ("created", "paused"):
        return "off"
    return "pending" if state == "stopping" or health == "starting" else "good"
