"""The values of secrets, known so that none of them gets into what is told or kept about a stack: what a health check
or a last word quotes of a container's output may well have one in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from ..stack.model import FileSource

SHORTEST = 4
"""Characters; what is shorter is no secret, and would be found everywhere."""
LARGEST = 1 << 16
MASK = "********"


class Secrecy:
    def __init__(self) -> None:
        self._values: tuple[str, ...] = ()

    def learn(self, files: Mapping[str, FileSource]) -> None:
        """`files`: "secret/NAME" and "config/NAME" -> where its bytes come from. A file is read as it is now."""
        found = {line for key, source in files.items() if key.startswith("secret/") for line in _lines(source)}
        self._values = tuple(sorted(found, key=len, reverse=True))  # one may be a part of another

    def hide(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, MASK)
        return text


def _lines(source: FileSource) -> list[str]:
    """Each line by itself: a key in several lines is rarely quoted as a whole."""
    content = source.content if source.file is None else _read(source.file)
    return [line for each in (content or "").splitlines() if len(line := each.strip()) >= SHORTEST]


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, LARGEST).decode(errors="replace") if stat.S_ISREG(os.fstat(fd).st_mode) else ""
    except OSError:
        return ""
    finally:
        os.close(fd)
