"""Hard thinking goes on in a process of its own: there a pattern that takes for ever can be killed, and the files of
a stack be read, while the pages are told what happens. Question and answer are JSON on its standard streams."""

from __future__ import annotations

import json
import sys
from typing import Any

import anyio

from ..errors import OrchestraError

_at_a_time = anyio.CapacityLimiter(2)


async def think_aside(module: str, question: Any, patience: float, what: str) -> Any:
    """Ask a module of this package. Raises OrchestraError after `patience` seconds."""
    command = [sys.executable, "-m", f"{__package__}.{module}"]
    with anyio.move_on_after(patience):
        async with _at_a_time:
            done = await anyio.run_process(command, input=json.dumps(question).encode(), check=False)
        if done.returncode:
            raise OrchestraError(f"{what} ended with {done.returncode}", done.stderr.decode()[-200:] or None)
        return json.loads(done.stdout)
    raise OrchestraError(f"{what} takes too long", "ask for less, or for a shorter time")
