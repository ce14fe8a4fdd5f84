"""Requests about networks: names and addresses as the resolver has them, and connections as the kernel has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio.to_thread

from ..network.talking import Talk, talks
from ..wire.api import Row
from ..wire.frames import Message
from ..wire.neighbours import NetworkRow, TalkRow
from .api import Caller, Handler
from .names import table_of
from .world import World


class Neighbours:
    def __init__(self, world: World) -> None:
        self._world = world

    def handlers(self) -> dict[str, Handler]:
        return {"networks": self.networks}

    async def networks(self, _: Message, __: list[int], ___: Caller) -> dict[str, Any]:
        world = self._world
        rows = world.rows()
        own = [row for row in rows if row["pid"] and "owner" not in row and row["addresses"]]
        pins = {row["name"]: world.places.net_pin(row["name"]) for row in own}
        found = await anyio.to_thread.run_sync(talks, pins)
        return {"networks": list(self._rows()), "talks": list(_told(own, found, rows))}

    def _rows(self) -> Iterator[NetworkRow]:
        world = self._world
        for key in world.networks:
            router = world.page.routers[key]
            yield {
                "key": key,
                "name": router.label,
                "subnet": router.subnet,
                "gateway": router.gateway,
                "internal": router.uplink is None,
                "names": table_of(world, key),
            }


def _told(own: list[Row], found: dict[str, list[Talk]], rows: list[Row]) -> Iterator[TalkRow]:
    at = {address: row for row in rows for address in row["addresses"].values()}
    for row in own:
        for talk in found.get(row["name"], ()):
            peer = at.get(talk.peer)
            yield {
                "container": row["name"],
                "service": row["service"],
                "peer": talk.peer,
                "peer_container": peer["name"] if peer else "",
                "peer_service": peer["service"] if peer else "",
                "port": talk.port,
                "inward": talk.inward,
                "open": talk.open,
                "recent": talk.recent,
            }
