"""Several logs at once: merged by time while they are history, and followed while they grow."""

from __future__ import annotations

import ctypes
import heapq
import os
import select
import struct
from collections.abc import Iterable, Iterator, Mapping

from .reader import Block, Cursor

POLL = 0.05
"""Seconds between two looks where inotify cannot tell: no directory yet, or no inotify instance left."""
IN_MODIFY, IN_CREATE, IN_DELETE_SELF, IN_ONLYDIR = 0x2, 0x100, 0x400, 0x01000000
_EVENT = struct.Struct("iIII")

Named = tuple[str, Block]


def merge(logs: Mapping[str, Iterable[Block]]) -> Iterator[Named]:
    """Blocks of several logs in order of time, each with its log's name; a line that its log has in pieces is not
    interrupted by others."""
    heads: list[tuple[int, int, str, Block, Iterator[Block]]] = []
    for order, (name, blocks) in enumerate(logs.items()):
        rest = iter(blocks)
        if first := next(rest, None):
            heads.append((first.time, order, name, first, rest))
    heapq.heapify(heads)
    while heads:
        _, order, name, block, rest = heads[0]
        yield name, block
        if len(heads) == 1:
            for block in rest:
                yield name, block
            return
        following = next(rest, None)
        while following and _goes_on(block, following):
            block = following
            yield name, block
            following = next(rest, None)
        if following:
            heapq.heapreplace(heads, (following.time, order, name, following, rest))
        else:
            heapq.heappop(heads)


def _goes_on(block: Block, following: Block) -> bool:
    """Whether the first line of `following` was begun in `block`."""
    unfinished = block.data and not block.data.endswith(b"\n")
    return bool(unfinished) and (block.kind, block.run) == (following.kind, following.run)


class Follower:
    """Cursors of several logs; `fileno` is readable when one of them may have grown."""

    def __init__(self) -> None:
        self._cursors: dict[str, Cursor] = {}
        self._unwatched: set[str] = set()
        self._notify = _Notify()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        for cursor in self._cursors.values():
            cursor.close()
        self._notify.close()

    def add(self, name: str, cursor: Cursor) -> None:
        """Follow one more; its first `pull` brings what stands behind the cursor already."""
        self.remove(name)
        self._cursors[name] = cursor
        self._unwatched.add(name)

    def remove(self, name: str) -> None:
        if name in self._cursors:
            self._cursors.pop(name).close()
            self._unwatched.discard(name)

    def pull(self) -> Iterator[Named]:
        """What came since, in order of time; never waits. To be taken to its end."""
        self._notify.clear()
        self._watch()
        return merge({name: cursor.pull() for name, cursor in self._cursors.items()})

    def fileno(self) -> int:
        return self._notify.descriptor

    def patience(self) -> float:
        """The longest wait on `fileno` before the next pull, in seconds."""
        return POLL if self._unwatched or self._notify.broken else 1.0

    def wait(self, longest: float = 1.0) -> None:
        """Until a log may have grown."""
        select.select([self] if self.fileno() >= 0 else [], [], [], min(longest, self.patience()))

    def _watch(self) -> None:
        """Watch directories that have come to be, also in the place of one that was removed."""
        gone = self._notify.take_gone()
        for name, cursor in self._cursors.items():
            if (name in self._unwatched or cursor.directory in gone) and not self._notify.add(cursor.directory):
                self._unwatched.add(name)
            else:
                self._unwatched.discard(name)


def follow(cursors: Mapping[str, Cursor]) -> Iterator[Named]:
    """History and all that comes, for ever."""
    with Follower() as follower:
        for name, cursor in cursors.items():
            follower.add(name, cursor)
        while True:
            yield from follower.pull()
            follower.wait()


class _Notify:
    """inotify(7) on directories. Broken (then one has to poll) where the user's instances are used up."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.broken = self.descriptor < 0
        self._watches: dict[int, str] = {}
        self._gone: set[str] = set()

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def add(self, directory: str) -> bool:
        if self.broken:
            return False
        events = IN_MODIFY | IN_CREATE | IN_DELETE_SELF | IN_ONLYDIR
        watch = self._libc.inotify_add_watch(self.descriptor, os.fsencode(directory), events)
        if watch >= 0:
            self._watches[watch] = directory
        return bool(watch >= 0)

    def clear(self) -> None:
        """Read away what was told; remember which directories were removed."""
        while self.descriptor >= 0:
            try:
                data = os.read(self.descriptor, 65536)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, at)
                if mask & IN_DELETE_SELF and watch in self._watches:
                    self._gone.add(self._watches.pop(watch))
                at += _EVENT.size + length

    def take_gone(self) -> set[str]:
        gone, self._gone = self._gone, set()
        return gone
