"""Colour, where it is wanted: --ansi, NO_COLOR (no-color.org), FORCE_COLOR, TERM=dumb, and whether it is a terminal.

Each stream is judged for itself: `orchestra logs | less` has a plain stdout beside a coloured stderr.
"""

from __future__ import annotations

import os
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

CODES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36",
}  # fmt: skip
# docker compose's order of prefix colours: cyan, yellow, green, magenta, blue, then the bright ones.
PREFIXES = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")

_wish = "auto"


def choose(ansi: str) -> None:
    """Take the word of --ansi: auto, never or always. It holds for the whole command."""
    global _wish
    _wish = ansi


def coloured(stream: TextIO) -> bool:
    if _wish != "auto":
        return _wish == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE"):
        return True
    return moves(stream)


def moves(stream: TextIO) -> bool:
    """Whether the cursor can be moved about: a terminal that is not dumb."""
    return _wish != "never" and os.environ.get("TERM", "") != "dumb" and stream.isatty()


def painted(text: str, colour: str, stream: TextIO) -> str:
    return f"\x1b[{CODES[colour]}m{text}\x1b[0m" if coloured(stream) else text


def prefix_colours(names: Iterable[str]) -> dict[str, str]:
    """An escape sequence for each name: the same one as long as the names are the same, and no two alike while
    there are enough."""
    taken: dict[str, int] = {}
    for name in sorted(set(names)):
        at = crc32(name.encode()) % len(PREFIXES)
        for step in range(len(PREFIXES)):
            if (at + step) % len(PREFIXES) not in taken.values():
                at = (at + step) % len(PREFIXES)
                break
        taken[name] = at
    return {name: f"\x1b[{PREFIXES[at]}m" for name, at in taken.items()}
