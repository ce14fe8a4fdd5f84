"""The last line of a log: often the reason."""

from __future__ import annotations

from .reader import read
from .render import plain

LONGEST = 200


def last_words(directory: str, run: int | None = None) -> str:
    """The last line with something in it, cut to 200 characters, without colours or commands for a terminal; "" for
    none, or none of that run."""
    try:
        written = b"".join(block.data for block in read(directory, tail=5) if run in (None, block.run))
    except OSError:
        return ""
    lines = [line.strip() for whole in plain(written) for line in whole.splitlines() if line.strip()]
    return lines[-1][:LONGEST] if lines else ""
