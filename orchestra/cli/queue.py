"""One change at a time: commands that change a stack stand in line at its lock, and say for whom they wait."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from orchestra.places import Places


@contextmanager
def turn(places: Places, command: str) -> Iterator[None]:
    """Hold the stack's lock; `command` is what others read while they wait."""
    descriptor = _locked(places)
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"`orchestra {command}` (pid {os.getpid()})".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _locked(places: Places) -> int:
    told = False
    while True:
        os.makedirs(places.run, mode=0o700, exist_ok=True)
        try:
            descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # `down` removed the folder in between
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another command"
                print(f"waiting for {holder} …", file=sys.stderr, flush=True)
                told = True
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _current(descriptor, places.lock):
            return descriptor
        os.close(descriptor)


def _current(descriptor: int, path: str) -> bool:
    """Whether the lock that was taken is still the one that others will find: `down` removes the file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def clear_away(places: Places) -> None:
    """Remove the lock, which is held, and the directory if nothing else is left in it. Whoever waits in line
    notices that the file is another one and starts anew."""
    with suppress(OSError):
        os.unlink(places.lock)
        os.rmdir(places.run)
