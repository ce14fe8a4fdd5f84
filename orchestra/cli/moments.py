"""--since and --until: RFC 3339, seconds since the epoch, or an age such as 42m (docker logs --since)."""

from __future__ import annotations

import math
import time
from datetime import datetime

from orchestra.errors import OrchestraError


def moment(text: str | None, option: str, now: float | None = None) -> float | None:
    """Epoch seconds, or None when nothing was given. Times without a zone are local, as docker takes them."""
    if text is None:
        return None
    try:
        if math.isfinite(seconds := float(text)):
            return seconds
    except ValueError:
        pass
    from orchestra.stack.units import duration

    if (age := duration(text)) is not None:
        return (time.time() if now is None else now) - age / 1e9
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise OrchestraError(
            f"{option} {text}: not a time", "write 10m, 2026-11-23T22:47:59Z or seconds since the epoch"
        ) from None


def spelled(seconds: float) -> str:
    """`2026-11-23T22:47:59.123456+00:00`, in local time."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="microseconds")
