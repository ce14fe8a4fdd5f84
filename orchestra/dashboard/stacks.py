"""Finds the stacks of a home, keeps a connection to each of them, and tells the board what they say."""

from __future__ import annotations

import os
import time
from typing import Any

import anyio

from ..errors import OrchestraError
from ..places import Home, Places
from ..stack.model import Stack
from ..wire.codec import decode
from ..wire.frames import Message
from ..wire.terminal import line
from .board import Board
from .upstream import Gone, Upstream

LOOK = 0.2
"""Seconds between two looks for new stacks: one listing of a directory each."""
FOREIGN = 5.0
"""Seconds between two questions to a supervisor whose words are not understood."""
EARLIER = 3600.0
"""Seconds of events that are asked for at first."""


CHECK = 10.0
"""Seconds after which a supervisor is asked whether it still answers."""
PATIENCE = 5.0
"""Seconds that it may take to."""
SETTLING = 0.5
"""Seconds at least between two questions about what a stack consists of."""
ABOUT = ("directory", "files", "networks", "notices", "supervisor", "keeper", "uses", "used_by", "lent")
PAUSE = 0.05
"""Seconds at least between two questions about causes."""
OTHER_VERSION = "run by another version of orchestra than this dashboard, so not all of it can be shown"
INTRODUCE_AGAIN = ("asked", "create", "destroy", "notice")


class Bell:
    """Says *look again*; rung twice before somebody looks is rung once."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self) -> None:
        await self._rung.wait()
        self._rung = anyio.Event()


class Stacks:
    def __init__(self, home: Home, board: Board) -> None:
        self._home = home
        self._board = board
        self._followed: set[str] = set()
        self._open: dict[str, Upstream] = {}
        self._foreign: set[str] = set()

    async def watch(self) -> None:
        """Until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                for name in self._on_disk() - self._followed:
                    self._followed.add(name)
                    tasks.start_soon(self._follow, name)
                await anyio.sleep(LOOK)

    def reach(self, name: str) -> Upstream:
        """The way to the supervisor of a stack. Raises OrchestraError where there is none."""
        if name not in self._open:
            raise OrchestraError(f"stack {name} is not running", "orchestra ls shows what is")
        return self._open[name]

    def reached(self) -> list[Upstream]:
        return list(self._open.values())

    def places(self, name: str) -> Places:
        """Raises OrchestraError for a stack that is not on the board: nothing else is made into a path."""
        self.reach(name)
        return self._home.stack(name)

    def _on_disk(self) -> set[str]:
        try:
            names = os.listdir(self._home.run)
        except OSError:
            return set()
        return {name for name in names if self._may_answer(name)}

    def _may_answer(self, name: str) -> bool:
        return os.path.exists(self._home.stack(name).api_socket)

    async def _follow(self, name: str) -> None:
        """A stack from its first answer until it is gone: with keeper and supervisor dead its containers run on."""
        try:
            while self._may_answer(name):
                await self._converse(name)
                self._board.lose(name)
                await anyio.sleep(LOOK)
        finally:
            self._board.vanish(name)
            self._followed.discard(name)

    async def _converse(self, name: str) -> None:
        """One connection, to its end, where somebody answers."""
        try:
            upstream = Upstream(self._home.stack(name))
        except OSError:
            return
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._take, name, upstream, tasks.cancel_scope)
                await upstream.listen()
                tasks.cancel_scope.cancel()
        finally:
            self._open.pop(name, None)
            upstream.close()

    async def _take(self, name: str, upstream: Upstream, scope: anyio.CancelScope) -> None:
        try:
            await self._introduce(name, upstream)
            self._open[name] = upstream
            changes, rows = Bell(), Bell()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._take_rows, name, upstream, rows)
                tasks.start_soon(self._take_causes, name, upstream, rows)
                tasks.start_soon(self._take_events, name, upstream, changes)
                while True:
                    with anyio.move_on_after(CHECK):
                        await changes.wait()
                    with anyio.move_on_after(PATIENCE) as patience:
                        await self._introduce(name, upstream)
                    if patience.cancelled_caught:
                        self._board.lose(name)  # it is there, and says nothing
                    await anyio.sleep(SETTLING)
        except* (Gone, OrchestraError):
            scope.cancel()

    async def _introduce(self, name: str, upstream: Upstream) -> None:
        status = await upstream.call({"do": "status"})
        answer = await upstream.call({"do": "stack"})
        try:
            rows, raw = status["rows"], answer["stack"]
        except KeyError:
            await self._pass_over(name)
            raise OrchestraError(f"stack {name} is run by another version of orchestra") from None
        known = about(status)
        try:
            model = decode(Stack, raw)
        except ValueError:  # what of it is told in plain values is shown nevertheless
            model = Stack(name, str(known["directory"]), tuple(known["files"]), {})
            known["notices"] = [*known["notices"], OTHER_VERSION]
        self._board.introduce(name, known, model)
        self._board.replace(name, rows)

    async def _pass_over(self, name: str) -> None:
        """Say once that its words are not understood, and do not ask again for a while."""
        if name not in self._foreign:
            self._foreign.add(name)
            foreign = f"stack {line(name)} is run by another version of orchestra and is not shown"
            print(f"dashboard: {foreign}", flush=True)
        await anyio.sleep(FOREIGN)

    async def _take_rows(self, name: str, upstream: Upstream, changes: Bell) -> None:
        async for answer in upstream.answers({"do": "watch"}):
            self._board.change(name, answer.get("rows", ()))
            changes.ring()

    async def _take_causes(self, name: str, upstream: Upstream, changes: Bell) -> None:
        while True:
            await changes.wait()
            answer = await upstream.call({"do": "why"})
            self._board.explain(name, answer["causes"])
            await anyio.sleep(PAUSE)

    async def _take_events(self, name: str, upstream: Upstream, changes: Bell) -> None:
        last = self._board.heard(name)
        since = time.time() - EARLIER if last is None else None
        request = {"do": "events", "since": since, "after": last, "until": None, "services": None, "follow": True}
        async for answer in upstream.answers(request):
            if event := answer.get("event"):
                self._board.happened(name, event)
                if event["action"] in INTRODUCE_AGAIN:
                    changes.ring()


def about(status: Message) -> dict[str, Any]:
    return {key: status.get(key, []) for key in ABOUT}
