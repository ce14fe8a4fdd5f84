"""What of the run directory is the keeper's own: lock, socket, mark of the boot, folders; made again where they were
taken away."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from ..places import Places
from .claim import LOCK, claim, mark, own_folder
from .listener import Listener
from .loop import Loop


class Overtaken(Exception):
    """Another keeper has taken the place."""


class Presence:
    def __init__(self, loop: Loop, places: Places, lock: int, on_client: Callable[[socket.socket], None]) -> None:
        self._loop = loop
        self._places = places
        self._lock = lock
        self._on_client = on_client
        self._listener = self._listen()

    def restore(self) -> bool:
        """Whether anything had been taken away. Raises Overtaken, and OSError where there is no room."""
        if self._is_whole():
            return False
        mark(self._places)
        if not _is_at(f"{self._places.run}/{LOCK}", os.fstat(self._lock)):
            lock = claim(self._places)
            if lock is None:
                raise Overtaken
            os.close(self._lock)
            self._lock = lock
        for directory in self._folders():
            own_folder(directory)
        if not self._listener.is_there():
            self._listener.close()
            self._listener = self._listen()
        return True

    def close(self) -> None:
        self._listener.close()

    def _is_whole(self) -> bool:
        return (
            _is_at(f"{self._places.run}/{LOCK}", os.fstat(self._lock))
            and self._listener.is_there()
            and os.path.isfile(self._places.boot)
            and all(os.path.isdir(directory) for directory in self._folders())
        )

    def _folders(self) -> tuple[str, str]:
        return self._places.children, self._places.fifos

    def _listen(self) -> Listener:
        return Listener(self._loop, self._places.run, os.path.basename(self._places.keeper_socket), self._on_client)


def _is_at(path: str, state: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), state)
    except OSError:
        return False
