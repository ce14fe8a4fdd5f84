"""Requests that look at containers from close by: their processes, and everything about one."""

from __future__ import annotations

import time
from typing import Any

import anyio.to_thread

from ..errors import OrchestraError
from ..plan import apply
from ..runtime import cgroups
from ..state.ranges import RANGE
from ..wire.api import ProcessRow
from ..wire.frames import Message
from .api import Caller, Handler
from .world import World

Reply = dict[str, Any]


class Looking:
    def __init__(self, world: World) -> None:
        self._world = world

    def handlers(self) -> dict[str, Handler]:
        return {"top": self.top, "inspect": self.inspect}

    async def top(self, message: Message, _: list[int], __: Caller) -> Reply:
        world = self._world
        names = apply.names_of(world.wanted, world.seen, message.get("services"))
        alive = sorted(name for name in names if name in world.seen and world.seen[name].alive)
        return {"containers": await anyio.to_thread.run_sync(self._top, alive)}

    def _top(self, names: list[str]) -> dict[str, list[ProcessRow]]:
        from ..runtime.processes import processes  # most supervisors are never asked

        world, driver = self._world, cgroups.driver()
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return {
            name: [
                {
                    "pid": one.pid,
                    "inside": one.inside,
                    "parent": one.parent,
                    "user": one.user,
                    "cpu": one.cpu,
                    "started": booted + one.started,
                    "memory": one.memory,
                    "terminal": one.terminal,
                    "command": one.command,
                }
                for one in processes(driver.processes(world.places.cgroup(name)), world.page.bases[name], RANGE)
            ]
            for name in names
        }

    async def inspect(self, message: Message, _: list[int], __: Caller) -> Reply:
        world = self._world
        rows = {row["name"]: row for row in world.rows() if "owner" not in row}
        chosen = []
        for asked in message.get("names") or rows:
            found = [name for name, row in rows.items() if asked in (name, row["service"])]
            if not found:
                known = ", ".join(sorted({*rows, *(row["service"] for row in rows.values())}))
                hint = f"there are {known}" if known else "orchestra up makes them"
                raise OrchestraError(f"no such service or container: {asked}", hint)
            chosen += [name for name in found if name not in chosen]
        from .document import document

        with_values = bool(message.get("environment"))
        documents = [
            await anyio.to_thread.run_sync(document, world, rows[name], with_values) for name in sorted(chosen)
        ]
        return {"containers": documents}
