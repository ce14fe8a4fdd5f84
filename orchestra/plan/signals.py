"""Signals by name and number (signal(7))."""

from __future__ import annotations

import signal

from ..errors import OrchestraError


def signal_name(number: int) -> str:
    """SIGKILL for 9; a plain number for what has no name, such as most real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def number_of(name: str) -> int:
    """From "SIGHUP", "hup" or "1". Raises OrchestraError for what is no signal."""
    if name.isdecimal() and 0 < int(name) < signal.NSIG:
        return int(name)
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    try:
        return signal.Signals[full].value
    except KeyError:
        raise OrchestraError(f"{name!r} is no signal", "write it like SIGTERM, HUP or 15") from None
