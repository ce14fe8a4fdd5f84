"""The keeper's socket: lets in its owner and root, and lives through a full descriptor table."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable

from .. import ours
from .connection import peer_uid
from .loop import Loop


class Listener:
    """`on_client` gets each connected socket that was let in."""

    def __init__(self, loop: Loop, directory: str, name: str, on_client: Callable[[socket.socket], None]) -> None:
        self._loop = loop
        self._path = f"{directory}/{name}"
        self._on_client = on_client
        # Kept for the moment when there is none left: a client that cannot be accepted would wake us forever.
        self._spare = _spare()
        self._socket = bind(directory, name)
        self._place = os.lstat(self._path)
        loop.watch(self._socket.fileno(), self._ready)

    def close(self) -> None:
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        os.close(self._spare)
        if self.is_there():
            os.unlink(self._path)

    def is_there(self) -> bool:
        """Whether who looks for the socket finds this one."""
        try:
            return os.path.samestat(os.lstat(self._path), self._place)
        except OSError:
            return False

    def _ready(self, _: int) -> None:
        try:
            client, _address = self._socket.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._turn_away()
            return
        if peer_uid(client) in (0, os.geteuid()):
            self._on_client(client)
        else:
            client.close()

    def _turn_away(self) -> None:
        sys.stderr.write("keeper: out of descriptors, a client was turned away\n")
        os.close(self._spare)
        with contextlib.suppress(OSError):  # it may go away by itself
            self._socket.accept()[0].close()
        self._spare = _spare()


def bind(directory: str, name: str) -> socket.socket:
    """Listen on a path that may be longer than sun_path's 108 bytes (unix(7)); mode 0600."""
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = f"/proc/self/fd/{folder}/{name}"
        ours.clear(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.setblocking(False)
        listening.bind(path)
        os.chmod(path, 0o600)
        listening.listen(64)
        return listening
    finally:
        os.close(folder)


def _spare() -> int:
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
