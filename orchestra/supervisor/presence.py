"""Being found in the run directory: where somebody has removed it, or something in it, it is made again."""

from __future__ import annotations

import os

import anyio

from ..keeper.start import sign
from .api import Api
from .link import KeeperGone, Link, Refused
from .world import World

PAUSE = 5.0


class Presence:
    def __init__(self, world: World, link: Link, api: Api) -> None:
        self._world = world
        self._link = link
        self._api = api

        self._called = anyio.Event()

    async def run(self) -> None:
        while True:
            with anyio.move_on_after(PAUSE):
                await self._called.wait()
            self._called = anyio.Event()
            if not self._world.leaving and not self._is_whole():
                await self._restore()

    def called(self) -> None:
        """Somebody does not find us."""
        self._called.set()

    async def _restore(self) -> None:
        try:
            reply, _ = await self._link.request({"do": "appear"})
            lacked = bool(reply["lacked"])
        except KeeperGone:
            return  # its successor makes what is missing
        except Refused:  # of a version before this one
            lacked = False
        lacked |= self.restore_socket()
        if lacked:
            self._world.journal.tell("notice", "the run directory was taken away and is made again")

    def restore_socket(self) -> bool:
        """Whether it was not where clients look for it."""
        if self._world.leaving or self._api.is_there():
            return False
        sign(self._world.places)
        self._api.listen_anew()
        return True

    def _is_whole(self) -> bool:
        places = self._world.places
        records = {f"{name}.json" for name in self._world.pids}
        others = (places.boot, places.keeper_socket, places.fifos, f"{places.run}/keeper.lock")
        try:
            return (
                self._api.is_there()
                and all(map(os.path.lexists, others))
                and records <= set(os.listdir(places.children))
            )
        except OSError:
            return False
