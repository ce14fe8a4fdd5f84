"""Signals by name and number (signal(7))."""

from __future__ import annotations

import re
import signal

from ..errors import OrchestraError

_REAL_TIME = re.compile(r"SIGRT(?:MIN(\+\d{1,2})?|MAX(-\d{1,2})?)")


def signal_name(number: int) -> str:
    """SIGKILL for 9; a plain number for what has no name, such as most real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def number_of(name: str) -> int:
    """From "SIGHUP", "hup", "1" or "SIGRTMIN+3". Raises OrchestraError for what is no signal."""
    if name.isdecimal() and 0 < int(name) < signal.NSIG:
        return int(name)
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    if real_time := _REAL_TIME.fullmatch(full):
        up, down = real_time.groups()
        number = signal.SIGRTMAX + int(down or 0) if "MAX" in full else signal.SIGRTMIN + int(up or 0)
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    try:
        return signal.Signals[full].value
    except KeyError:
        raise OrchestraError(f"{name!r} is no signal", "write it like SIGTERM, HUP or 15") from None
