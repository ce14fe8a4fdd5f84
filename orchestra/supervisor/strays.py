"""What is there and in no book: left over when the state on disk was spoiled, or a record of the keeper. It cannot be
taken care of, so it has to go, before something of the same name is made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import anyio
import anyio.to_thread

from .. import ours
from ..errors import OrchestraError
from ..network.inside import unpin
from ..network.routers import remove_router
from ..plan.wiring import Router, Uplink
from ..runtime import cgroups
from ..wire.keeping import Child
from .link import Link, Refused
from .world import World

ROUTER = ".router"
DEFAULT = "default"
"""The network that services are in without saying so (Compose Specification, networks)."""


async def clear(world: World, link: Link, children: Collection[Child]) -> None:
    """Kill and forget containers that are in the keeper's book but not in ours, then what nobody knows at all."""
    for child in children:
        if child["name"] in world.seen:
            continue
        world.journal.tell("notice", f"{child['name']} is in no book and is removed", "", child["name"])
        if child["ended"] is None:
            await link.request({"do": "signal", "name": child["name"], "signal": 9, "everyone": True})
        await _forget(link, child["name"])
    alive = {child["name"] for child in children if child["ended"] is None}
    await anyio.to_thread.run_sync(_clear_kernel, world, alive)


async def _forget(link: Link, name: str) -> None:
    """Once it has ended, which takes a moment after it was killed."""
    for _ in range(500):
        try:
            await link.request({"do": "forget", "names": [name]})
        except Refused:
            await anyio.sleep(0.01)
        else:
            return


def _clear_kernel(world: World, alive: Collection[str]) -> None:
    places, driver = world.places, cgroups.driver()
    unknown = [name for name in driver.list_below(places.cgroups) if name not in alive]
    for name in unknown:
        driver.kill(f"{places.cgroups}/{name}")
        driver.remove(f"{places.cgroups}/{name}")
    if unknown and not world.page.routers:
        # The book is lost as well: the network that nearly every stack has can be told without it.
        _try(world, DEFAULT, partial(remove_router, _unknown_router(world, DEFAULT)))
    for key, router in world.page.routers.items():
        if key not in world.networks and not router.external:
            # Made by a supervisor that could not write it down any more, whole or in part: it is made anew.
            _try(world, router.label, partial(remove_router, router))
    for pin in ours.names_in(places.pins):
        name = pin.rpartition(".")[0]
        if pin.endswith(ROUTER) and name not in world.page.routers:
            _try(world, pin, partial(remove_router, _unknown_router(world, name)))
        elif not pin.endswith(ROUTER) and name not in world.seen:
            _try(world, pin, partial(unpin, f"{places.pins}/{pin}"))


def _try(world: World, what: str, remove: Callable[[], None]) -> None:
    try:
        remove()
    except (OrchestraError, OSError) as error:
        world.journal.tell("trouble", f"{what} is of nobody and could not be removed: {error}")


def _unknown_router(world: World, key: str) -> Router:
    """Enough of it to remove it: its names follow from the network's."""
    ident = world.places.network_id(key)
    uplink = Uplink(f"orc{ident}", "0.0.0.0", "0.0.0.0")
    return Router(ident, key, world.places.router_pin(key), "0.0.0.0/0", "0.0.0.0", uplink)
