"""Writes a container's log: large blocks of whole lines, moved at once, never an exception for a full disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from .. import ours
from . import pipes
from .layout import DROPPED, INDEX, LOG, LONGEST_LINE, RECORD, RUN_ENDED, RUN_STARTED, file_name, segments

SMALLEST_INDEX = 64 * 1024
"""An index may grow to this before it begins a new segment, and to `max_size` where that is more."""


class Log:
    """One container's log. Output comes out of pipes (see `Inflow`).

    With `whole_lines` off (a terminal: one stream, nothing to tear) bytes go out as they come.
    """

    __slots__ = (
        "_directory", "_index", "_index_size", "_log", "_lost", "_max_files", "_max_size", "_number", "_run", "_size",
        "whole_lines",
    )  # fmt: skip

    def __init__(self, directory: str, max_size: int, max_files: int, whole_lines: bool = True) -> None:
        self._directory = directory
        self._max_size = max(max_size, 1)
        self._max_files = max(max_files, 1)
        self.whole_lines = whole_lines
        self._log = self._index = -1
        self._number = self._size = self._index_size = self._lost = self._run = 0

    def begin(self, run: int) -> None:
        """A run of the container starts: its number stands in every record from here on."""
        self._run = run
        self._put(RUN_STARTED)

    def resume(self, run: int) -> int:
        """Go on with a run that another writer began. Returns the stream that has to go on first: the writer before
        was killed within its line; 0 for none."""
        self._run = run
        try:
            return self._unfinished() if self._directory else 0
        except OSError:
            return 0

    def end(self, code: int) -> None:
        """A run ended. `code` is the exit code, or 128 plus the signal."""
        self._put(RUN_ENDED, extra=code)

    def close(self) -> None:
        self._close_segment()

    def _close_segment(self) -> None:
        for descriptor in (self._index, self._log):
            if descriptor >= 0:
                os.close(descriptor)
        self._index = self._log = -1

    def move(self, stream: int, pipe: int, data: bytearray, size: int) -> None:
        """Move the first `size` bytes of a pipe, which `data` begins with, beginning a new segment wherever one is
        full."""
        start = 0
        while start < size:
            room = self._max_size - self._size
            if self._index_size >= max(self._max_size, SMALLEST_INDEX):
                room = 0
            if size - start <= room or not self._directory:
                self._put(stream, pipe, size - start)
                return
            cut = data.rfind(b"\n", start, start + room) + 1 if room > 0 else 0
            if not cut and self._size:
                if not self._next_segment():
                    self._lose(pipe, size - start)
                    return
                continue
            # A line that alone is longer than a segment may be: it gets one for itself.
            cut = cut or (data.find(b"\n", start, size) + 1) or size
            self._put(stream, pipe, cut - start)
            start = cut

    def _put(self, kind: int, pipe: int = -1, amount: int = 0, extra: int = 0) -> None:
        if not self._directory:
            pipes.discard(pipe, amount)
            return
        lost = self._lost
        before = self._index_size
        try:
            if self._log < 0:
                self._open_last()
                before = self._index_size
            if lost:
                self._record(DROPPED, lost)
                self._lost = 0
            self._record(kind, extra)
        except OSError:
            self._lost = lost
            self._index_size = before
            self._cut_back()
            self._lose(pipe, amount)
            return
        if amount:
            self._append(pipe, amount)

    def _record(self, kind: int, extra: int) -> None:
        record = RECORD.pack(self._size, time.time_ns(), extra, self._run, kind)
        if os.write(self._index, record) != len(record):
            raise OSError("short write")
        self._index_size += len(record)

    def _append(self, pipe: int, amount: int) -> None:
        """All of it or nothing: half a line would be taken for a line."""
        moved = 0
        try:
            while moved < amount:
                moved += pipes.move(pipe, self._log, amount - moved, self._size + moved)
            self._size += amount
        except OSError:
            self._lost += moved
            self._index_size -= RECORD.size
            self._cut_back()
            self._lose(pipe, amount - moved)

    def _lose(self, pipe: int, amount: int) -> None:
        """There is no room: who writes is not to wait for it."""
        self._lost += amount
        pipes.discard(pipe, amount)

    def _cut_back(self) -> None:
        """Take back what a failed write left behind; if even that fails, the files are opened anew next time."""
        try:
            if self._log >= 0:
                os.ftruncate(self._index, self._index_size)
                os.ftruncate(self._log, self._size)
        except OSError:
            self._close_segment()

    def _unfinished(self) -> int:
        self._open_last()
        if not self._size or os.pread(self._log, 1, self._size - 1) == b"\n":
            return 0
        for at in range(self._index_size - RECORD.size, -1, -RECORD.size):
            offset, _, _, run, kind = RECORD.unpack(os.pread(self._index, RECORD.size, at))
            if offset < self._size:  # else its bytes never came
                return int(kind) if run == self._run else 0
        return 0

    def _open_last(self) -> None:
        ours.folder(self._directory)
        existing = segments(self._directory)
        self._open(existing[-1] if existing else 1)
        if self._size >= self._max_size:
            self._next_segment()

    def _open(self, number: int) -> None:
        where = f"{self._directory}/{file_name(number, '')}"
        index = ours.to_append(where + INDEX)
        try:
            log = ours.to_extend(where + LOG)
        except OSError:
            os.close(index)
            raise
        self._close_segment()
        self._index, self._log, self._number = index, log, number
        self._size = os.fstat(log).st_size
        whole = os.fstat(index).st_size // RECORD.size * RECORD.size
        os.ftruncate(index, whole)  # a record that a crash cut off
        self._index_size = whole

    def _next_segment(self) -> bool:
        try:
            self._open(self._number + 1)
            for number in segments(self._directory)[: -self._max_files]:
                for ending in (LOG, INDEX):  # a keeper that was killed in between has left the second one
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(f"{self._directory}/{file_name(number, ending)}")
        except OSError:
            return False
        return True


class Inflow:
    """One pipe into one stream of a log. Whole lines are moved; half a line stays in the pipe until it is whole, or
    somebody lets it go: half a line that stays one is a prompt."""

    __slots__ = ("_kind", "_log", "_longest", "_pipe", "pending")

    def __init__(self, pipe: int, kind: int, log: Log) -> None:
        self._pipe = pipe
        self._kind = kind
        self._log = log
        self._longest = min(LONGEST_LINE, fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) // 2)
        pipes.prepare()
        self.pending = 0  # bytes of half a line, which wait in the pipe

    def take(self) -> int | None:
        """How many bytes came; 0 at the end, None when there is nothing new."""
        try:
            data, size = pipes.peek(self._pipe)
        except BlockingIOError:
            return None
        except OSError:
            self.pending = 0
            return None
        came = size - self.pending
        if not size:
            return 0
        if not came:
            return None
        cut = size if not self._log.whole_lines else data.rfind(b"\n", self.pending, size) + 1
        if size - cut >= self._longest:
            cut += (size - cut) // self._longest * self._longest
        self._log.move(self._kind, self._pipe, data, cut)
        self.pending = size - cut
        return came

    def let_go(self) -> None:
        """Move half a line as well; what completes it later is a block of its own."""
        if self.pending:
            self.pending = 0
            with contextlib.suppress(OSError):
                data, size = pipes.peek(self._pipe)
                self._log.move(self._kind, self._pipe, data, size)
