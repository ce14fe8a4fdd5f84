"""What a row means for the progress of a command: a word, whether it is done, and a remark."""

from __future__ import annotations

from .words import cause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    Goal = Literal["created", "running", "healthy", "stopped", "removed", "killed"]
    Mark = Literal["working", "done", "failed"]

MADE = ("it is being made", "is not there yet", "has just been started")
"""What a plan says of a container that is just being made, or the ground for it."""

STARTED = "it is being started"
"""And of one that is made."""

STUCK = "could not be removed"
"""What a plan says of one whose removal failed; it is tried again."""


class Step:
    """How far a container is: what is printed of it."""

    __slots__ = ("mark", "remark", "word")

    def __init__(self, word: str, mark: Mark, remark: str = "") -> None:
        self.word = word
        self.mark = mark
        self.remark = remark


def step(row: dict[str, Any], goal: Goal) -> Step:
    """How far a container is on its way to the goal of the command."""
    if row.get("gone"):
        return Step("Left" if "owner" in row else "Removed", "done")
    if goal in ("stopped", "removed", "killed"):
        return _downwards(row, goal)
    return _upwards(row, goal)


def _downwards(row: dict[str, Any], goal: Goal) -> Step:
    if row["state"] in ("running", "paused", "stopping", "restarting"):
        return Step("Killing" if goal == "killed" else "Stopping", "working", cause(row))
    if goal == "removed":
        why = cause(row)
        return Step("Stopped", "failed", why) if why.startswith(STUCK) else Step("Stopped", "working")
    return Step("Killed" if goal == "killed" else "Stopped", "done")


def _upwards(row: dict[str, Any], goal: Goal) -> Step:
    state, health = row["state"], row["health"]
    if state == "exited" and row["why"].startswith("going"):
        return Step("Removing", "working")
    if state == "created":
        return Step("Created", "done" if goal == "created" else "working")
    if state == "waiting":
        return _waiting(row)
    if state == "stopping":
        return Step("Stopping", "working", cause(row))
    if state == "restarting":
        return Step("Restarting", "failed", cause(row).removeprefix("restarting "))
    if state in ("exited", "dead"):
        well = row["exit_code"] == 0
        return Step("Exited" if well else "Failed", "done" if well else "failed", "" if well else row["last_exit"])
    if state == "paused":
        return Step("Paused", "done")
    if health == "unhealthy":
        return Step("Unhealthy", "failed", row.get("health_text", ""))
    if health == "healthy":
        return Step("Healthy", "done")
    if health == "starting" and goal == "healthy":
        return Step("Starting", "working", "not healthy yet")
    return Step("Started", "done")


def _waiting(row: dict[str, Any]) -> Step:
    """It waits for others, or is just being made or started."""
    why = cause(row)
    if not why or why.endswith(MADE):
        return Step("Creating", "working")
    if why == STARTED or not row["why"].startswith("waiting: "):
        return Step("Starting", "working")
    return Step("Waiting", "working", why)
