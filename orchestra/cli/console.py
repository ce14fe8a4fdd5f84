"""Everything that a command says to people, on its way out: whatever it holds commands no terminal (wire/terminal).

Only a container's own output takes other ways (`printer`, `relay`, `attach`), and what is redrawn in place.
"""

from __future__ import annotations

import sys

from ..wire import terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


def echo(line: str = "", out: TextIO | None = None) -> None:
    """One line; ends of lines in it are shown, not obeyed. `out`: stdout unless told otherwise."""
    raw(f"{terminal.line(line)}\n", out)


def echo_lines(text: str, out: TextIO | None = None) -> None:
    """Text whose line ends are its own, such as a table."""
    raw(f"{terminal.lines(text)}\n", out)


def data(text: str) -> None:
    """What programs read, without a newline at its end: a pipe or a file gets it as it is."""
    raw(terminal.lines(text) if sys.stdout.isatty() else text, None)


def raw(text: str, out: TextIO | None = None) -> None:
    """Our own text as it is: colours, cursor, screen."""
    out = out or sys.stdout
    out.write(text)
    out.flush()
