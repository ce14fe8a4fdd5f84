"""Counts the connections of containers that another one has taken over from; see plan/replacing."""

from __future__ import annotations

import anyio
import anyio.to_thread

from ..errors import OrchestraError, is_exhausted
from ..network.incoming import incoming
from .world import World

PAUSE = 0.1
"""Seconds between two looks."""


async def count(world: World) -> None:
    """As long as something drains, look; a look costs the reading of two small tables."""
    while True:
        pulses = world.pulses
        draining = [name for name in world.wanted.draining if (seen := world.seen.get(name)) and seen.alive]
        found: dict[str, int] = {}
        for name in draining:
            try:
                found[name] = await anyio.to_thread.run_sync(incoming, world.places.net_pin(name))
            except (OrchestraError, OSError) as error:
                if is_exhausted(error):
                    found[name] = world.connections.get(name, 1)  # not known: as it was
                else:
                    found[name] = 0  # its network is gone, and with it whoever was connected
        if found != world.connections:
            world.connections = found
            world.ring()
        if draining:
            await anyio.sleep(PAUSE)
        else:
            await world.changed_since(pulses)
