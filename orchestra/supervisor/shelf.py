"""Sockets that must outlive this supervisor: the keeper has copies, the next supervisor gets them back.

While nobody serves them they stay open all the same: a question to the resolver waits a moment instead of being
refused, a published port stays taken and its connections queue.
"""

from __future__ import annotations

import contextlib
import os
import socket

from .link import KeeperGone, Link

TERMINAL = "terminal:"
"""Under this and a container's name the keeper stores the master of its terminal."""
MARK = "#"
"""Between the name of a thing and the number of one of its sockets."""


class Shelf:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._kept: dict[str, list[socket.socket]] = {}
        self._terminals: dict[str, int] = {}

    async def fetch(self) -> dict[str, list[socket.socket]]:
        """What an earlier supervisor put there."""
        reply, descriptors = await self._link.request({"do": "fetch"})
        found: dict[str, list[tuple[int, socket.socket]]] = {}
        for name, descriptor in zip(reply["names"], descriptors, strict=True):
            if name.startswith(TERMINAL):
                self.hold_terminal(name.removeprefix(TERMINAL), descriptor)
                continue
            thing, _, number = str(name).rpartition(MARK)
            found.setdefault(thing, []).append((int(number), socket.socket(fileno=descriptor)))
        self._kept = {thing: [one for _, one in sorted(its, key=_number)] for thing, its in found.items()}
        return dict(self._kept)

    async def keep(self, thing: str, sockets: list[socket.socket]) -> None:
        """Idempotent. Without a keeper it is done by `keep_all`, once there is one again. A socket that is closed
        meanwhile is left out: what it belonged to is over, and dropped when its owner looks."""
        if self._kept.get(thing) == sockets:
            return
        self._kept[thing] = sockets
        with contextlib.suppress(KeeperGone):
            for number, one in enumerate(sockets):
                if one.fileno() < 0:
                    continue
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
        for container, master in list(self._terminals.items()):
            await self._link.request({"do": "store", "name": TERMINAL + container}, [master])

    def hold_terminal(self, container: str, master: int) -> None:
        """The master of a container's own terminal, ours from here on. The keeper reads it and keeps it as well; what
        is typed goes through this one, and a keeper's successor gets it from here."""
        self.let_go_of_terminal(container)
        self._terminals[container] = master

    def let_go_of_terminal(self, container: str) -> None:
        if (master := self._terminals.pop(container, None)) is not None:
            os.close(master)

    def terminal_of(self, container: str) -> int | None:
        return self._terminals.get(container)

    def things(self) -> list[str]:
        return list(self._kept)


def _number(entry: tuple[int, socket.socket]) -> int:
    return entry[0]
