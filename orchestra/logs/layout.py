"""How a log lies on disk.

A directory per container holds segments: `000001.log`, exactly the bytes that were written, and `000001.idx`, one
record per block that was read from the container. A record says where its block begins, when it was read, from
which stream and in which run; a block ends where the next one begins. The record is written before its bytes, so
that no byte is ever without one. Numbers of segments only grow; rotation removes the oldest.
"""

from __future__ import annotations

import os
import struct

STDOUT = 1
STDERR = 2
RUN_STARTED = 3
RUN_ENDED = 4
DROPPED = 5
"""Bytes that could not be written (a full disk); their number is the record's `extra`."""

LONGEST_LINE = 64 * 1024
"""A line that is longer comes out in pieces, as does one that takes up half of its pipe: the rest has to fit. Counted
back from the end, each piece is a line, so that what a reader looks at is bounded (docker's json-file: by 16 KiB)."""

RECORD = struct.Struct("<QQQIB3x")
"""offset, wall clock in nanoseconds, extra, run, kind."""

LOG = ".log"
INDEX = ".idx"


def segments(directory: str | int) -> list[int]:
    """The numbers of a log's segments, oldest first; none where there is no such directory."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name[:-4]) for name in names if name.endswith(INDEX) and name[:-4].isdigit())


def file_name(number: int, ending: str) -> str:
    return f"{number:06d}{ending}"
