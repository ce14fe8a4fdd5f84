"""Who waits for something hears which command has changed meanwhile what is wanted of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..plan.facts import Wanted
from ..wire.frames import Message

Changed = dict[str, str]
"""Container -> the command that was the last one to change what is wanted of it, in words."""


class Wishes:
    def __init__(self) -> None:
        self._followers: list[Changed] = []

    @contextmanager
    def follow(self) -> Iterator[Changed]:
        """What others change from now on."""
        changed: Changed = {}
        self._followers.append(changed)
        try:
            yield changed
        finally:
            # By identity: those who wait for the same have heard the same.
            self._followers = [other for other in self._followers if other is not changed]

    def tell(self, before: Wanted, after: Wanted, command: str) -> None:
        """A command has changed the one into the other."""
        names = before.targets.keys() | after.targets.keys()
        told = {name: command for name in names if before.targets.get(name) != after.targets.get(name)}
        for follower in self._followers:
            follower.update(told)


def words(what: str, message: Message) -> str:
    """A request as the command that asks for it, and who gave it, where that was not the command line."""
    command = f"`{' '.join(['orchestra', what, *(message.get('services') or ())])}`"
    return f"{message['by']} ({command})" if message.get("by") else command
