"""Writes a container's log: large blocks of whole lines, one write each, never an exception for a full disk."""

from __future__ import annotations

import contextlib
import os
import time

from .. import ours
from .layout import DROPPED, INDEX, LOG, RECORD, RUN_ENDED, RUN_STARTED, STDERR, STDOUT, file_name, segments

LONGEST_LINE = 64 * 1024
"""A line that is longer comes out in pieces: memory of the keeper is bounded."""

SMALLEST_INDEX = 64 * 1024
"""An index may grow to this before it begins a new segment, and to `max_size` where that is more."""


class Log:
    """One container's log. `write` takes whatever was read; what does not end in a newline yet is held back, until
    it does, or somebody lets it go: half a line that stays one is a prompt.

    With `whole_lines` off (a terminal: one stream, nothing to tear) bytes go out as they come.
    """

    __slots__ = (
        "_directory", "_index", "_index_size", "_log", "_lost", "_max_files", "_max_size", "_number", "_run", "_size",
        "_tails", "whole_lines",
    )  # fmt: skip

    def __init__(self, directory: str, max_size: int, max_files: int, whole_lines: bool = True) -> None:
        self._directory = directory
        self._max_size = max(max_size, 1)
        self._max_files = max(max_files, 1)
        self.whole_lines = whole_lines
        self._log = self._index = -1
        self._number = self._size = self._index_size = self._lost = self._run = 0
        self._tails: dict[int, bytes] = {STDOUT: b"", STDERR: b""}

    def begin(self, run: int) -> None:
        """A run of the container starts: its number stands in every record from here on."""
        self._run = run
        self._put(RUN_STARTED, b"")

    def resume(self, run: int) -> None:
        """Go on with a run that another writer began."""
        self._run = run

    def end(self, code: int) -> None:
        """A run ended: what was held back goes out. `code` is the exit code, or 128 plus the signal."""
        self.flush()
        self._put(RUN_ENDED, b"", code)

    def tail(self, stream: int) -> bytes:
        """What is held back of a stream, so that somebody else can keep it safe."""
        return self._tails[stream]

    def hold(self, stream: int, tail: bytes) -> None:
        """Take over what the writer before held back."""
        self._tails[stream] = tail

    def write(self, stream: int, block: bytes | memoryview) -> None:
        tail = self._tails[stream]
        data = tail + block if tail else bytes(block)
        if not self.whole_lines:
            self._tails[stream] = b""
            self._out(stream, data)
            return
        cut = data.rfind(b"\n") + 1
        if len(data) - cut >= LONGEST_LINE:
            cut += (len(data) - cut) // LONGEST_LINE * LONGEST_LINE
        self._tails[stream] = data[cut:] if cut else data
        if cut:
            self._out(stream, data[:cut] if cut < len(data) else data)

    def let_go(self, stream: int) -> None:
        """Write what is held back of a stream; what completes the line later is a block of its own."""
        tail = self._tails[stream]
        if tail:
            self._tails[stream] = b""
            self._out(stream, tail)

    def flush(self) -> None:
        for stream in self._tails:
            self.let_go(stream)

    def close(self) -> None:
        self.flush()
        self._close_segment()

    def _out(self, stream: int, data: bytes) -> None:
        """Write whole lines, beginning a new segment wherever one is full."""
        start = 0
        while start < len(data):
            room = self._max_size - self._size
            if self._index_size >= max(self._max_size, SMALLEST_INDEX):
                room = 0
            if len(data) - start <= room:
                self._put(stream, data[start:] if start else data)
                return
            cut = data.rfind(b"\n", start, start + room) + 1 if room > 0 else 0
            if not cut and self._size:
                if not self._next_segment():
                    self._lost += len(data) - start
                    return
                continue
            # A line that alone is longer than a segment may be: it gets one for itself.
            cut = cut or (data.find(b"\n", start) + 1) or len(data)
            self._put(stream, data[start:cut])
            start = cut

    def _put(self, kind: int, data: bytes, extra: int = 0) -> None:
        if not self._directory:
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
            self._lost = lost + len(data)
            self._index_size = before
            self._cut_back()
            return
        if data:
            self._append(data)

    def _record(self, kind: int, extra: int) -> None:
        record = RECORD.pack(self._size, time.time_ns(), extra, self._run, kind)
        if os.write(self._index, record) != len(record):
            raise OSError("short write")
        self._index_size += len(record)

    def _append(self, data: bytes) -> None:
        """All of it or nothing: half a line would be taken for a line."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._log, rest) :]
            self._size += len(data)
        except OSError:
            self._lost += len(data)
            self._index_size -= RECORD.size
            self._cut_back()

    def _cut_back(self) -> None:
        """Take back what a failed write left behind; if even that fails, the files are opened anew next time."""
        try:
            if self._log >= 0:
                os.ftruncate(self._index, self._index_size)
                os.ftruncate(self._log, self._size)
        except OSError:
            self._close_segment()

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
            log = ours.to_append(where + LOG)
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

    def _close_segment(self) -> None:
        for descriptor in (self._index, self._log):
            if descriptor >= 0:
                os.close(descriptor)
        self._index = self._log = -1
