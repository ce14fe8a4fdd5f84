"""The end of a stack: `down` is over when keeper and supervisor have ended too, and nothing of them is left."""

from __future__ import annotations

import os
import select
from _socket import SO_PEERCRED, SOL_SOCKET
from struct import calcsize, unpack

from orchestra.client import dial
from orchestra.places import Places

PATIENCE = 5.0
"""Seconds that a keeper may take to end after its stack is gone; it takes milliseconds."""


def keeper_of(places: Places) -> int | None:
    """A pidfd of the keeper, by who listens on its socket (SO_PEERCRED, unix(7)); None without one."""
    try:
        connection = dial(places.run, "keeper.sock")
    except OSError:
        return None
    try:
        credentials = connection.getsockopt(SOL_SOCKET, SO_PEERCRED, calcsize("3i"))
        return os.pidfd_open(unpack("3i", credentials)[0])
    except OSError:
        return None
    finally:
        connection.close()


def wait_for_end(keeper: int | None) -> None:
    """Whoever starts the stack anew from now on meets no keeper that is about to leave."""
    if keeper is None:
        return
    try:
        waiting = select.poll()
        waiting.register(keeper, select.POLLIN)
        waiting.poll(PATIENCE * 1000)
    finally:
        os.close(keeper)
