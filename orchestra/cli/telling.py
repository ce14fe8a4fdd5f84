"""Errors and warnings, as a person gets them."""

from __future__ import annotations

import sys

from .colours import painted


def tell(what: str, hint: str | None = None, status: int = 1) -> int:
    """Show an error; returns the exit status, for the caller to end with."""
    print(f"{painted('error:', 'red', sys.stderr)} {what}", file=sys.stderr)
    if hint:
        print(f"{painted('try:', 'bold', sys.stderr)} {hint}", file=sys.stderr)
    return status


def warn(what: str) -> None:
    print(f"{painted('warning:', 'yellow', sys.stderr)} {what}", file=sys.stderr)
