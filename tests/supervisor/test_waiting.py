"""Who waits for changes misses none, however long it would sleep."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import anyio

from orchestra.places import Home, Places
from orchestra.plan.facts import Target
from orchestra.stack.model import HostRoot, Service
from orchestra.supervisor.api import Caller
from orchestra.supervisor.book import empty_page
from orchestra.supervisor.booking import Booking
from orchestra.supervisor.departure import Departure
from orchestra.supervisor.execs import Execs
from orchestra.supervisor.journal import Journal
from orchestra.supervisor.lending import Lending
from orchestra.supervisor.oneoff import OneOffs
from orchestra.supervisor.perform import Performer
from orchestra.supervisor.ports import HeldPorts
from orchestra.supervisor.world import World
from orchestra.values import replace

PATIENCE = 30.0
LONG = 3600.0


def test_a_pulse_while_one_was_busy_is_not_missed(tmp_path: Path) -> None:
    """Who looked before it is told at once; who looked after it sleeps until the next one."""
    places = Home(f"{tmp_path}/run", f"{tmp_path}/data").stack("store")

    async def check() -> None:
        world = World(places, empty_page(places), Journal())
        looked = world.pulses
        world.pulse()
        with anyio.fail_after(PATIENCE):
            await world.changed_since(looked, longest=LONG)
        woken = anyio.Event()

        async def follow(pulses: int) -> None:
            await world.changed_since(pulses, longest=LONG)
            woken.set()

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow, world.pulses)
                await anyio.wait_all_tasks_blocked()
                assert not woken.is_set()
                world.pulse()
                await woken.wait()

    anyio.run(check)


class Counting(World):
    """Counts how often somebody began to wait."""

    def __init__(self, places: Places) -> None:
        super().__init__(places, empty_page(places), Journal())
        self.waits = 0

    async def changed(self, longest: float | None = LONG) -> None:
        self.waits += 1
        await super().changed(longest)


class Silent:
    async def send(self, _: object) -> None:
        pass


class NeverStarts:
    def expect_no_more(self, name: str) -> None:
        pass


def test_a_run_that_depends_on_nobody_waits_for_its_start_without_spinning(tmp_path: Path) -> None:
    async def nothing(*_: Any) -> None:
        pass

    async def check() -> None:
        world = Counting(Home(f"{tmp_path}/run", f"{tmp_path}/data").stack("store"))
        once = Target(Service("job", HostRoot(), ""), 1, oneoff=True)
        world.change(wanted=replace(world.wanted, targets={"once": once}))
        oneoffs = OneOffs(world, cast(Execs, nothing), cast(Performer, NeverStarts()))
        with anyio.move_on_after(0.3):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(oneoffs.run, "once", {"id": 1}, cast(Caller, Silent()), {})
                await anyio.wait_all_tasks_blocked()
                world.pulse()
        assert world.waits < 20

    anyio.run(check)


def test_a_stack_that_nobody_uses_any_more_says_so_once_and_takes_its_leave(tmp_path: Path) -> None:
    places = Home(f"{tmp_path}/run", f"{tmp_path}/data").stack("accounts")
    for folder in (places.run, places.data):
        Path(folder).mkdir(parents=True)

    async def check() -> None:
        world = Counting(places)
        lent = Target(Service("accounts", HostRoot(), ""), 1, lent=True)
        world.change(wanted=replace(world.wanted, targets={"accounts": lent}))
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                booking = Booking(world, HeldPorts())
                tasks.start_soon(Lending(world, booking, Departure(world, booking)).run)
                while not world.leaving:
                    await world.changed()
                pulses = world.pulses
                await anyio.wait_all_tasks_blocked()
                assert world.pulses == pulses
                tasks.cancel_scope.cancel()

    anyio.run(check)
