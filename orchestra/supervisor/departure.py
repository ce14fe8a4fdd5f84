"""The end of a stack of which nothing is wanted any more: in its own turn, or an `up` that is just coming would be
told to a supervisor that is about to go."""

from __future__ import annotations

import anyio

from ..state.turns import try_turn
from .booking import Booking
from .world import World

GLANCE = 0.01
"""Seconds between two tries to have the turn."""


class Departure:
    def __init__(self, world: World, booking: Booking) -> None:
        self._world = world
        self._booking = booking
        self._turn: int | None = None  # kept until this process ends: whoever comes now comes afterwards
        self.forget = False  # nothing of the stack is to be remembered

    async def depart(self, forget: bool = False) -> bool:
        """Returns True once nothing of the stack is left and supervisor and keeper are to end; False as soon as
        something is wanted again."""
        world = self._world
        while not world.leaving:
            await world.until_empty()
            async with self._booking.turn:
                if world.wanted.targets:
                    return False
                if not world.leaving and world.is_empty():
                    self._turn = try_turn(world.places, f"stack {world.places.name}, which is about to go")
                    if self._turn is not None:
                        self.forget = forget
                        world.leave()
            if not world.leaving:
                await anyio.sleep(GLANCE)
        return True
