"""Descriptors that outlive a supervisor, by name (systemd's file descriptor store in small)."""

from __future__ import annotations

import os


class Store:
    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def put(self, name: str, descriptor: int) -> None:
        """The descriptor is the store's from here on. Same name: replaced."""
        self.drop(name)
        self._held[name] = descriptor

    def drop(self, name: str) -> None:
        descriptor = self._held.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    def all(self) -> tuple[list[str], list[int]]:
        return list(self._held), list(self._held.values())
