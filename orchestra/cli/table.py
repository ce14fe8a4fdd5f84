"""Columns as docker's listings have them: padded by three, the last one ragged."""

from __future__ import annotations

from ..wire.terminal import line as fit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST = 10
PADDING = 3


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Each row is one line, whatever its cells hold."""
    lines = [list(headers), *([fit(cell) for cell in row] for row in rows)]
    widths = [max(LEAST, *(len(line[at]) + PADDING for line in lines)) for at in range(len(headers))]
    widths[-1] = 0
    return "\n".join("".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
