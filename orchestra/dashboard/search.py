"""Search in stored logs. Runs in a process of its own: a pattern may take for ever, and then it is killed.

Whole blocks are looked through first, and only those with a hit are taken apart; a loop over all lines would take ten
times as long.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import OrchestraError
from ..logs.layout import RUN_ENDED, RUN_STARTED, STDERR, STDOUT
from ..logs.reader import FOREVER, Block, read
from .lines import level_of, told

KINDS = frozenset((STDOUT, STDERR, RUN_STARTED, RUN_ENDED))
LOOK_AT_THE_CLOCK = 64
"""Blocks between two looks at the clock."""

Line = list[Any]


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for; times in microseconds since the epoch."""

    text: str = ""
    regex: bool = False
    case: bool = False
    levels: frozenset[str] = frozenset()
    since: int = 0
    until: int = FOREVER // 1000
    limit: int = 500
    newest: bool = True  # the last lines of the time asked for, otherwise the first
    patience: float = 4.0  # seconds

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "levels": sorted(self.levels)}

    def pattern(self) -> re.Pattern[str] | None:
        """Raises OrchestraError for a pattern that is none."""
        if not self.text:
            return None
        try:
            flags = re.MULTILINE if self.case else re.MULTILINE | re.IGNORECASE
            return re.compile(self.text if self.regex else re.escape(self.text), flags)
        except re.error as error:
            raise OrchestraError(f"{self.text!r} is no pattern: {error}", "turn patterns off to find text") from None


@dataclass(slots=True)
class Found:
    lines: list[Line] = field(default_factory=list)
    more: bool = False  # there are others than these
    partly: bool = False  # patience ran out before everything was looked through
    looked_at: int = 0  # bytes


def search(directories: Sequence[str], query: Query) -> Found:
    """Lines of these logs, in order of time; a line names its log by the number in `directories`."""
    pattern = query.pattern()
    end = time.monotonic() + query.patience
    found = Found()
    each: list[Line] = []
    for source, directory in enumerate(directories):
        if time.monotonic() > end:
            found.partly = True
            break
        each += _in_one(source, directory, query, pattern, end, found)
    each.sort(key=lambda line: line[0])
    if len(each) > query.limit:
        found.more = True
        each = each[-query.limit :] if query.newest else each[: query.limit]
    found.lines = each
    return found


def _in_one(
    source: int, directory: str, query: Query, pattern: re.Pattern[str] | None, end: float, found: Found
) -> Collection[Line]:
    kept: deque[Line] = deque(maxlen=query.limit) if query.newest else deque()
    taken = 0
    for number, block in enumerate(read(directory, query.since * 1000, query.until * 1000 + 999, kinds=KINDS)):
        if number % LOOK_AT_THE_CLOCK == 0 and time.monotonic() > end:
            found.partly = True
            break
        found.looked_at += len(block.data)
        for line in _hits(source, block, query, pattern):
            kept.append(line)
            taken += 1
        if not query.newest and taken > query.limit:
            break
    found.more |= taken > query.limit
    return kept


def _hits(source: int, block: Block, query: Query, pattern: re.Pattern[str] | None) -> Iterator[Line]:
    coloured = b"\x1b" in block.data  # a word may have a colour in its middle
    if pattern is not None and not coloured and not pattern.search(block.data.decode("utf-8", "replace")):
        return
    for line in told(source, block):
        if pattern is not None and not pattern.search(line[4]):
            continue
        if query.levels and level_of(line[4]) not in query.levels:
            continue
        yield line


def _asked(question: Any) -> dict[str, Any]:
    directories, query = question
    return asdict(search(directories, Query(**{**query, "levels": frozenset(query["levels"])})))


if __name__ == "__main__":
    json.dump(_asked(json.load(sys.stdin)), sys.stdout, separators=(",", ":"))
