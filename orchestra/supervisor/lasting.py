"""Tasks that last as long as the supervisor: want of descriptors, memory or disk ends none of them for good, nor what
somebody takes away while it is looked at."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

import anyio

from ..errors import OrchestraError

PAUSE = 1.0
Refusal = OSError | OrchestraError | ImportError
"""ImportError: so Python tells that dlopen(3) found no descriptor or no memory."""


async def lasting(work: Callable[[], Awaitable[None]]) -> None:
    """Do `work`; where something is refused or gone, say so, once a cause, and begin it anew a second later.

    For work that looks at what is so each time it begins; a fault of ours is still an end with its traceback.
    """
    told: set[str] = set()
    while True:
        try:
            await work()
            return
        except* (OSError, OrchestraError, ImportError) as troubles:
            for trouble in _leaves(troubles):
                if (text := _said(trouble)) not in told:
                    told.add(text)
                    sys.stderr.write(f"supervisor: {text}\n")
        await anyio.sleep(PAUSE)


def _said(trouble: Refusal) -> str:
    if isinstance(trouble, OSError):
        return f"{trouble.strerror}: {trouble.filename}"
    return trouble.what if isinstance(trouble, OrchestraError) else str(trouble)


def _leaves(group: BaseExceptionGroup[Refusal]) -> list[Refusal]:
    found: list[Refusal] = []
    for one in group.exceptions:
        found += _leaves(one) if isinstance(one, BaseExceptionGroup) else [one]
    return found
