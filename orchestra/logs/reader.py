"""Reads a container's log: from the end, from a time, and on and on while it grows."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

from .. import ours
from .layout import DROPPED, INDEX, LOG, LONGEST_LINE, RECORD, STDERR, STDOUT, file_name, segments

OUTPUT = frozenset((STDOUT, STDERR))
SHOWN = OUTPUT | {DROPPED}
"""What a person wants to see: output, and where some is missing."""
FOREVER = 1 << 63
CHUNK = 1 << 14
"""Records that are read at a time."""
LARGEST = 1 << 20
"""Bytes per block handed out; neighbours of one stream are joined up to this where times do not matter."""


Record = tuple[int, int, int, int, int]
"""offset, time, extra, run, kind"""


class Block(NamedTuple):
    """Lines of one stream, the last one perhaps not finished, or a note (no data) of the other kinds of `layout`."""

    time: int  # nanoseconds since the epoch, when the keeper read it
    kind: int
    run: int
    data: bytes
    extra: int = 0


class Segment:
    """One pair of open files; stays readable when rotation removes the names."""

    def __init__(self, directory: str, number: int) -> None:
        self.number = number
        self._index = ours.to_read(f"{directory}/{file_name(number, INDEX)}")
        try:
            self._log = ours.to_read(f"{directory}/{file_name(number, LOG)}")
        except FileNotFoundError:
            os.close(self._index)
            raise

    def close(self) -> None:
        os.close(self._index)
        os.close(self._log)

    @property
    def removed(self) -> bool:
        return os.fstat(self._index).st_nlink == 0

    def count(self) -> int:
        return os.fstat(self._index).st_size // RECORD.size

    def size(self) -> int:
        return os.fstat(self._log).st_size

    def records(self, first: int, last: int) -> list[Record]:
        """Records `first` up to, not including, `last`."""
        size = RECORD.size
        data = os.pread(self._index, (last - first) * size, first * size)
        return list(RECORD.iter_unpack(data[: len(data) // size * size]))

    def read(self, start: int, end: int) -> bytes:
        return os.pread(self._log, end - start, start)

    def first_at(self, since: int) -> int:
        """The number of the first record that is not older; binary search."""
        low, high = 0, self.count()
        while low < high:
            middle = (low + high) // 2
            if self.records(middle, middle + 1)[0][1] < since:
                low = middle + 1
            else:
                high = middle
        return low


class Cursor:
    """A place in a log that moves on: `pull` hands out what came since.

    It survives rotation (the rest of a removed segment is still read) and a log that is removed and begun anew.
    """

    def __init__(
        self, directory: str, since: int = 0, tail: int | None = None, kinds: Collection[int] = OUTPUT
    ) -> None:
        """Stand before the last `tail` lines (None: all of them) of what is not older than `since` nanoseconds."""
        self.directory = directory
        self._kinds = kinds
        self._segment: Segment | None = None
        self._record = 0  # number of the first record that has not been seen
        self._current: Record | None = None  # the one before it, whose block may still grow
        self._at = 0  # bytes of the log that were handed out or passed over
        if tail is not None:
            self._stand_before_last(tail, since)
        elif since:
            self._stand_at(since)

    def close(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def pull(self, joined: bool = False) -> Iterator[Block]:
        """What is there now, to be taken to its end. `joined`: neighbours become one, with the time of the first.

        A line that was written in pieces comes in one, as far as it is there and nothing else stands between.
        """
        pieces: list[Block] = []
        size = 0
        for block in self._blocks(joined):
            if pieces and (block[1:3] != pieces[0][1:3] or size >= LARGEST):
                yield _as_one(pieces)
                pieces, size = [], 0
            if not pieces and (not block.data or block.data.endswith(b"\n")):
                yield block
                continue
            pieces.append(block)
            size += len(block.data)
            if block.data.endswith(b"\n"):
                yield _as_one(pieces)
                pieces, size = [], 0
        if pieces:
            yield _as_one(pieces)

    def _blocks(self, joined: bool) -> Iterator[Block]:
        while self._segment is not None or self._open_first():
            # Looked at before reading: once another segment is there, this one grows no more.
            following = self._following()
            yield from self._rest(joined)
            if following is None or not self._open(following):
                return

    def _rest(self, joined: bool) -> Iterator[Block]:
        segment = self._segment
        assert segment is not None
        # In this order: a record is written before its bytes, so every byte up to `size` has its record.
        size = segment.size()
        count = segment.count()
        while self._record < count:
            for record in segment.records(self._record, min(count, self._record + CHUNK)):
                self._record += 1
                current = self._current
                alike = joined and current is not None and current[3:] == record[3:]
                if alike and record[0] - self._at < LARGEST:
                    continue
                yield from self._up_to(min(record[0], size))  # what lies beyond is of an index that was spoiled
                self._current = record
                if record[4] not in OUTPUT and record[4] in self._kinds:
                    yield Block(record[1], record[4], record[3], b"", record[2])
        yield from self._up_to(size)

    def _up_to(self, end: int) -> Iterator[Block]:
        start, current = self._at, self._current
        if end <= start:
            return
        self._at = end
        assert self._segment is not None
        if current is not None and current[4] in self._kinds:
            yield Block(current[1], current[4], current[3], self._segment.read(start, end))

    def _following(self) -> int | None:
        """The segment to go on with. Where ours was removed that is the lowest: by rotation those between are
        gone as well, and a log begun anew counts from the start."""
        assert self._segment is not None
        removed, own = self._segment.removed, self._segment.number
        return next((number for number in segments(self.directory) if removed or number > own), None)

    def _open_first(self) -> bool:
        existing = segments(self.directory)
        return bool(existing) and self._open(existing[0])

    def _open(self, number: int) -> bool:
        try:
            segment = Segment(self.directory, number)
        except FileNotFoundError:
            return False  # removed in this moment, or half made: the next pull sees clearer
        self.close()
        self._segment, self._record, self._current, self._at = segment, 0, None, 0
        return True

    def _stand_at(self, since: int) -> None:
        for number in reversed(segments(self.directory)):
            if not self._open(number):
                continue
            assert self._segment is not None
            self._record = self._segment.first_at(since)
            if self._record:
                at = self._segment.records(self._record, self._record + 1)
                self._at = at[0][0] if at else self._segment.size()
                return

    def _stand_before_last(self, tail: int, since: int) -> None:
        way = _WayBack(tail, since)
        for number in reversed(segments(self.directory)):
            if self._open(number) and self._back(way):
                return

    def _back(self, way: _WayBack) -> bool:
        """Go back from the end of this segment; whether the place is in it."""
        assert self._segment is not None
        segment, end = self._segment, self._segment.size()
        self._at, self._record = end, segment.count()
        while True:
            number = self._record - 1
            before = segment.records(number, number + 1)[0] if number >= 0 else None
            self._current = before
            if before is None:
                return False
            start = min(before[0], end)
            if before[1] < way.since:
                return True
            if before[4] in OUTPUT and before[4] in self._kinds:
                found = way.over(before, segment.read(start, end))
                if found is not None:
                    self._at = start + found
                    return True
            self._at = end = start
            self._record = number


class _WayBack:
    """Counts the lines over which one goes back, block by block, until `missing` of them begin behind one."""

    def __init__(self, missing: int, since: int) -> None:
        self.since = since
        self._missing = missing
        self._passed = 0  # bytes of the line in which we stand, as far as one went back over it
        self._line: tuple[int, int] | None = None
        """Run and stream of the line with which the last block began: a block before it may hold the line's head."""

    def over(self, record: Record, data: bytes) -> int | None:
        """Where in this block the lines begin that were to be found, if it is there."""
        if not data:
            return None
        source = (record[3], record[4])
        if self._line is not None and (data.endswith(b"\n") or source != self._line):
            self._missing -= 1
            self._line, self._passed = None, 0
        if self._missing <= 0:
            return len(data)
        begun = data.count(b"\n", 0, len(data) - 1)
        if begun >= self._missing:
            return _start_of_last(data, self._missing)
        if begun:
            self._missing, self._passed = self._missing - begun, 0
        length = self._passed + (data.find(b"\n") + 1 if begun else len(data))
        pieces, self._passed = divmod(length, LONGEST_LINE)
        if pieces >= self._missing:
            return length - self._missing * LONGEST_LINE
        self._missing -= pieces
        self._line = source if self._passed else None
        return None


def _as_one(pieces: list[Block]) -> Block:
    return pieces[0]._replace(data=b"".join(piece.data for piece in pieces))


def _start_of_last(data: bytes, lines: int) -> int:
    """Where the last `lines` lines begin, of those that begin within the data but not with it."""
    at = len(data) - 1
    for _ in range(lines):
        at = data.rfind(b"\n", 0, at)
    return at + 1


def read(
    directory: str,
    since: int = 0,
    until: int = FOREVER,
    tail: int | None = None,
    kinds: Collection[int] = OUTPUT,
    joined: bool = False,
) -> Iterator[Block]:
    """A log as it is now, oldest first; times are nanoseconds since the epoch.

    `tail` lines are counted from the end of what `since` leaves. `joined` gives few large blocks where the time
    of each line does not matter.
    """
    cursor = Cursor(directory, since, tail, kinds)
    try:
        for block in cursor.pull(joined and until == FOREVER):
            if block.time > until:
                return
            yield block
    finally:
        cursor.close()
