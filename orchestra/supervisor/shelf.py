"""Sockets that must outlive this supervisor: the keeper has copies, the next supervisor gets them back.

While nobody serves them they stay open all the same: a question to the resolver waits a moment instead of being
refused, a published port stays taken and its connections queue.
"""

from __future__ import annotations

import contextlib
import socket

from .link import KeeperGone, Link

MARK = "#"
"""Between the name of a thing and the number of one of its sockets."""


class Shelf:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._kept: dict[str, list[socket.socket]] = {}

    async def fetch(self) -> dict[str, list[socket.socket]]:
        """What an earlier supervisor put there."""
        reply, descriptors = await self._link.request({"do": "fetch"})
        found: dict[str, list[tuple[int, socket.socket]]] = {}
        for name, descriptor in zip(reply["names"], descriptors, strict=True):
            thing, _, number = str(name).rpartition(MARK)
            found.setdefault(thing, []).append((int(number), socket.socket(fileno=descriptor)))
        self._kept = {thing: [one for _, one in sorted(its, key=_number)] for thing, its in found.items()}
        return dict(self._kept)

    async def keep(self, thing: str, sockets: list[socket.socket]) -> None:
        """Idempotent. Without a keeper it is done by `keep_all`, once there is one again."""
        if self._kept.get(thing) == sockets:
            return
        self._kept[thing] = sockets
        with contextlib.suppress(KeeperGone):
            for number, one in enumerate(sockets):
                await self._link.request({"do": "store", "name": f"{thing}{MARK}{number}"}, [one.fileno()])

    async def drop(self, thing: str) -> None:
        sockets = self._kept.pop(thing, [])
        names = [f"{thing}{MARK}{number}" for number in range(len(sockets))]
        with contextlib.suppress(KeeperGone):
            await self._link.request({"do": "drop", "names": names})

    async def keep_all(self) -> None:
        """Everything anew: the keeper is another one."""
        kept, self._kept = self._kept, {}
        for thing, sockets in kept.items():
            await self.keep(thing, sockets)

    def things(self) -> list[str]:
        return list(self._kept)


def _number(entry: tuple[int, socket.socket]) -> int:
    return entry[0]
