"""Processes beside a container's own, for `exec` and health checks: the keeper forks them, here they are awaited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio

from ..wire.frames import Message
from ..wire.spec import Process
from .link import Link


class Ended:
    """How one ended: `code` None when nobody could tell, `timed_out` when it was killed for taking too long."""

    __slots__ = ("code", "timed_out")

    def __init__(self, code: int | None, timed_out: bool) -> None:
        self.code = code
        self.timed_out = timed_out


class Execs:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._last = 0
        self._waiting: dict[str, tuple[anyio.Event, list[Ended]]] = {}

    async def start(
        self, container: str, process: Process, seccomp: str, descriptors: Sequence[int]
    ) -> tuple[str, int, list[int]]:
        """Its name, its pid, and the terminal's master if it has one. Raises link.Refused."""
        wish = {"do": "exec", "process": process, "seccomp": seccomp, "timeout": 0.0}
        return await self._begin(container, wish, descriptors)

    async def probe(
        self, container: str, process: Process, seccomp: str, descriptors: Sequence[int], kill_after: float
    ) -> str:
        """One that leaves nothing behind. Its name, to wait for its end by. Raises link.Refused."""
        wish = {"do": "exec", "process": process, "seccomp": seccomp, "timeout": kill_after, "clean": True}
        name, _, _ = await self._begin(container, wish, descriptors)
        return name

    async def copy(self, container: str, wish: Mapping[str, object], descriptors: Sequence[int]) -> str:
        """`wish` is the rest of keeping.CopyRequest. Its name, to wait for its end by. Raises link.Refused."""
        name, _, _ = await self._begin(container, {"do": "copy", **wish}, descriptors)
        return name

    async def _begin(
        self, container: str, wish: dict[str, object], descriptors: Sequence[int]
    ) -> tuple[str, int, list[int]]:
        self._last += 1
        name = f"exec-{self._last}"
        self._waiting[name] = (anyio.Event(), [])
        request = {**wish, "name": container, "exec": name}
        try:
            reply, came = await self._link.request(request, descriptors)
        except BaseException:
            del self._waiting[name]
            raise
        return name, int(reply["pid"]), came

    async def ended(self, name: str) -> Ended:
        """Wait for the end of what `start` started; or else `forget` it."""
        event, result = self._waiting[name]
        try:
            await event.wait()
        finally:
            self._waiting.pop(name, None)
        return result[0]

    def forget(self, name: str) -> None:
        """Nobody waits for its end, any more or at all. Idempotent."""
        self._waiting.pop(name, None)

    def take(self, message: Message) -> None:
        """The keeper's `exec_exited`."""
        waiting = self._waiting.get(message["exec"])
        if waiting is None:
            return
        number = message.get("signal")
        code = 128 + number if number is not None else message.get("code")
        waiting[1].append(Ended(code, bool(message.get("timed_out"))))
        waiting[0].set()

    def lose_all(self) -> None:
        """The keeper is gone, and with it the knowledge of how they end."""
        for event, result in self._waiting.values():
            result.append(Ended(None, False))
            event.set()
