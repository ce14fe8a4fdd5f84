"""One change at a time: a stack's lock, which tells those who wait who has it."""

from __future__ import annotations

import fcntl
import os

from .. import ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..places import Places


def try_turn(places: Places, who: str) -> int | None:
    """The lock's descriptor (closing it gives the turn away), or None while somebody else has it.

    `who` is what others read while they wait.
    """
    while True:
        os.makedirs(places.home.run, mode=0o700, exist_ok=True)
        try:
            ours.folder(places.run)
            descriptor = ours.lock_file(places.lock)
        except FileNotFoundError:  # `down` removed the folder in between
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _current(descriptor, places.lock):
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, who.encode(), 0)
            return descriptor
        os.close(descriptor)


def holder(places: Places) -> str:
    """Who has the turn, in the words of its holder."""
    try:
        text = ours.read(places.lock) or b""
    except OSError:
        text = b""
    return text[:200].decode(errors="replace") or "another command"


def locked(path: str) -> int:
    """The descriptor of a lock that is held; waits for it."""
    while True:
        descriptor = ours.lock_file(path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _current(descriptor, path):
            return descriptor
        os.close(descriptor)


def _current(descriptor: int, path: str) -> bool:
    """Whether the lock that was taken is still the one that others will find: `down` removes the file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
