"""Makes a log fit to be looked at: a name before every line, times, nothing that could command a terminal.

Works on whole blocks; a loop over lines would take ten times as long.
"""

from __future__ import annotations

import re
import time

from ..wire.terminal import DIRECTIONS, SEPARATORS
from .layout import DROPPED
from .reader import Block

RESET = b"\x1b[0m"
CONTROL = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\n")
_COMMAND = re.compile(
    rb"(\x1b\[[0-9;:]*m)"  # colours and weights: the one kind of command that may pass
    rb"|\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: cursor, screen, modes (ECMA-48, 5.4)
    rb"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC: titles, clipboards, links
    rb"|\x1b[ -/]*[0-~]?"  # other escapes
    rb"|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]"
    rb"|\xc2[\x80-\x9f]|"  # C1 controls in UTF-8
    + b"|".join(chr(code).encode() for code in (*DIRECTIONS, *SEPARATORS))
    # The beginning of such a one at the end of a block: the rest would join it.
    + rb"|[\xc2\xd8\xe2](?![\x80-\xbf])|\xe2[\x80\x81](?![\x80-\xbf])"
)
_BEGINNINGS = (b"\xc2", b"\xd8", b"\xe2")
"""First bytes, in UTF-8, of what is taken out and no ASCII."""

_COLOUR = re.compile(rb"\x1b\[[0-9;:]*m")


def neutral(data: bytes) -> bytes:
    """Text without commands for a terminal, but for colours. Carriage returns stay, except before a newline."""
    if len(data.translate(None, CONTROL)) == len(data) and not any(each in data for each in _BEGINNINGS):
        return data
    return _COMMAND.sub(_colour_only, data.replace(b"\r\n", b"\n"))


def _colour_only(found: re.Match[bytes]) -> bytes:
    return found[1] or b""


def plain(data: bytes) -> list[str]:
    """The lines of a block, without commands for a terminal and without colours."""
    data = neutral(data)
    if b"\x1b" in data:
        data = _COLOUR.sub(b"", data)
    lines = data.decode("utf-8", "replace").split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def stamp(nanoseconds: int) -> bytes:
    """RFC 3339 in UTC with nanoseconds, as `docker logs --timestamps`."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % rest


def note(block: Block) -> bytes:
    """What orchestra itself has to say in a log; nothing for the beginning and end of a run."""
    if block.kind == DROPPED:
        return b"orchestra: %d bytes of output could not be kept, the disk was full\n" % block.extra
    return block.data


class Renderer:
    """Turns blocks into bytes for a screen, a pipe or a file.

    It remembers which line is unfinished, so that the pieces of a long line get one prefix, and nobody else's line
    is glued to it.
    """

    def __init__(self, terminal: bool, timestamps: bool = False) -> None:
        """`terminal`: the output is one, so control characters are taken out."""
        self._terminal = terminal
        self._timestamps = timestamps
        self._unfinished: tuple[str, int] | None = None

    def render(self, name: str, block: Block, prefix: bytes = b"") -> bytes:
        """A block of the log `name`, each of its lines with `prefix` (coloured by who calls, or empty)."""
        data = note(block)
        if not data:
            return b""
        if self._terminal and not (data := neutral(data)):
            return b""
        head = prefix + stamp(block.time) + b" " if self._timestamps else prefix
        whole = data.endswith(b"\n")
        data = _prefixed(data, head, self._terminal)
        source = (name, block.kind)
        if self._unfinished == source:
            data = data[len(head) :]
        elif self._unfinished is not None:
            data = b"\n" + data
        self._unfinished = None if whole else source
        return data

    def finish(self) -> bytes:
        """Ends the last line where its writer did not."""
        unfinished, self._unfinished = self._unfinished, None
        return b"\n" if unfinished is not None else b""


def _prefixed(data: bytes, head: bytes, terminal: bool) -> bytes:
    if terminal and b"\x1b" in data:
        # A colour ends with its line, or it would run into the next name.
        data = data.replace(b"\n", RESET + b"\n")
    if not head:
        return data
    if terminal and b"\r" in data:
        # A line that overwrites itself must not overwrite the name.
        data = data.replace(b"\r", b"\r" + head)
    whole = data.endswith(b"\n")
    body = data[:-1] if whole else data
    return head + body.replace(b"\n", b"\n" + head) + (b"\n" if whole else b"")
