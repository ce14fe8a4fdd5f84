"""Held ports may be released at any await: what serves and stores their sockets meanwhile goes on."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from orchestra.places import Home
from orchestra.supervisor.book import empty_page
from orchestra.supervisor.doors import Doors
from orchestra.supervisor.journal import Journal
from orchestra.supervisor.ports import HeldPorts, Key
from orchestra.supervisor.relay import Relay
from orchestra.supervisor.shelf import Shelf
from orchestra.supervisor.world import World

FIRST: Key = ("127.0.0.1", 1, "tcp")
SECOND: Key = ("127.0.0.1", 2, "tcp")


class KeeperThatWaits:
    """In place of the link: every request takes a while, in which something else happens."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.meanwhile: Callable[[], Awaitable[None]] = checkpoint

    async def request(
        self, message: dict[str, Any], descriptors: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        assert all(descriptor >= 0 for descriptor in descriptors)
        if message["do"] == "store":
            self.stored.append(message["name"])
        await self.meanwhile()
        return {}, []


def listening() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0))
    made.setblocking(False)
    return made


def holding(count: int = 1) -> HeldPorts:
    held = HeldPorts()
    for key in (FIRST, SECOND):
        held.adopt(key, [listening() for _ in range(count)])
    return held


@pytest.fixture
def world(tmp_path: Path) -> World:
    places = Home.of({"ORCHESTRA_HOME": str(tmp_path)}, 0).stack("t")
    return World(places, empty_page(places), Journal())


@pytest.mark.parametrize("count", [1, 2])
def test_ports_may_be_released_while_they_are_being_stored(world: World, count: int) -> None:
    """`down` releases them between two requests to the keeper; the supervisor does not fall over it."""
    held, keeper = holding(count), KeeperThatWaits()
    keeper.meanwhile = lambda: held.release([FIRST, SECOND])

    async def follow() -> None:
        async with anyio.create_task_group() as tasks:
            doors = Doors(world, held, Shelf(keeper), tasks)  # type: ignore[arg-type]
            with anyio.move_on_after(0.2):
                await doors.follow()
            tasks.cancel_scope.cancel()

    anyio.run(follow)
    assert len(keeper.stored) == 1


def test_a_socket_that_is_released_is_not_waited_at_any_longer() -> None:
    """Neither one that is being waited at, nor one whose task has not begun; its number may be another one's next."""
    held = holding()

    async def serve() -> None:
        async with anyio.create_task_group() as tasks:
            Relay(held, lambda key: [], tasks).look()
            await anyio.wait_all_tasks_blocked()
            await held.release([FIRST])
            successor = listening()  # it gets the number of the one just closed
            with socket.create_connection(successor.getsockname()):
                await anyio.wait_readable(successor)
            tasks.cancel_scope.cancel()
            successor.close()
            await held.release([SECOND])

    anyio.run(serve)
