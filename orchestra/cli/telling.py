"""Errors and warnings, as a person gets them."""

from __future__ import annotations

import sys

from ..wire.terminal import line, lines
from .colours import painted
from .console import raw


def tell(what: str, hint: str | None = None, status: int = 1) -> int:
    """Show an error; returns the exit status, for the caller to end with."""
    raw(f"{painted('error:', 'red', sys.stderr)} {lines(what)}\n", sys.stderr)
    if hint:
        raw(f"{painted('try:', 'bold', sys.stderr)} {lines(hint)}\n", sys.stderr)
    return status


def warn(what: str) -> None:
    raw(f"{painted('warning:', 'yellow', sys.stderr)} {line(what)}\n", sys.stderr)
