"""Lines of logs as a page shows them: their level, and how a block of the log becomes lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from ..logs.layout import DROPPED, RUN_ENDED, RUN_STARTED, STDERR
from ..logs.reader import Block
from ..logs.render import note, plain

Level = Literal["error", "warn", "info", "debug", ""]
LEVELS: dict[str, Level] = {
    **dict.fromkeys(("error", "err", "fatal", "critical", "crit", "panic", "emerg", "alert", "severe"), "error"),
    **dict.fromkeys(("warn", "warning"), "warn"),
    **dict.fromkeys(("info", "notice", "information"), "info"),
    **dict.fromkeys(("debug", "trace", "verbose"), "debug"),
}
LOOKED_AT = 400
"""Characters at the head of a line in which its level is looked for."""
LONGEST = 8192
"""Characters of a line that a page gets."""
MARKS = {RUN_STARTED: "started", RUN_ENDED: "ended"}

_SAID = re.compile(
    r"""["']?\b(?:level|lvl|severity|levelname|log\.level)["']?\s*[:=]\s*["']?(?P<key>[A-Za-z]+)"""  # JSON, logfmt
    r"""|\b(?P<word>TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL|PANIC|ALERT|EMERG)\b"""
    r"""|^\W*(?P<head>(?i:trace|debug|info|notice|warn|warning|error|fatal|critical|panic))\b(?=[\]:)\s]*[:\])])"""
    r"""|(?P<trace>^Traceback \(most recent call last\))"""
)


def level_of(text: str) -> Level:
    """As the line itself says; "" where it does not."""
    found = _SAID.search(text, 0, LOOKED_AT)
    if found is None:
        return ""
    if found["trace"]:
        return "error"
    return LEVELS.get((found["key"] or found["word"] or found["head"]).lower(), "")


def told(source: int, block: Block) -> Iterator[list[Any]]:
    """`[microseconds since the epoch, source, kind, level, text]` for each line; kind is out, err, mark or note."""
    time = block.time // 1000
    if block.kind in MARKS:
        text = f"run {block.run} {MARKS[block.kind]}"
        yield [time, source, "mark", "", f"{text}, exit code {block.extra}" if block.kind == RUN_ENDED else text]
        return
    if block.kind == DROPPED:
        yield [time, source, "note", "warn", note(block).decode().rstrip()]
        return
    kind = "err" if block.kind == STDERR else "out"
    for line in plain(block.data):
        short = line if len(line) <= LONGEST else line[:LONGEST] + f" … {len(line) - LONGEST} more characters"
        yield [time, source, kind, level_of(line), short]
