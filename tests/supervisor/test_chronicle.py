"""What happens is written down, and who writes it sleeps while nothing happens."""

from __future__ import annotations

from pathlib import Path

import anyio

from orchestra.places import Home
from orchestra.supervisor.book import empty_page
from orchestra.supervisor.chronicle import Chronicle
from orchestra.supervisor.journal import Journal
from orchestra.supervisor.world import World

PATIENCE = 10.0


class Late(Chronicle):
    """One more thing happens just when it begins to write."""

    def __init__(self, world: World) -> None:
        super().__init__(world, list)
        self.wrote = anyio.Event()

    async def settle(self) -> None:
        self._journal.tell("notice", "and this")
        await super().settle()
        self.wrote.set()


def test_who_wrote_what_happened_meanwhile_sleeps_until_the_next(tmp_path: Path) -> None:
    places = Home(f"{tmp_path}/run", f"{tmp_path}/data").stack("store")
    Path(places.data).mkdir(parents=True)

    async def check() -> None:
        journal = Journal()
        chronicle = Late(World(places, empty_page(places), journal))
        await chronicle.open()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chronicle.run)
            for text in ("this", "and that"):
                chronicle.wrote = anyio.Event()
                journal.tell("notice", text)
                with anyio.fail_after(PATIENCE):
                    await chronicle.wrote.wait()
                    await anyio.wait_all_tasks_blocked()
                assert not journal.unwritten
            tasks.cancel_scope.cancel()
        await chronicle.finish(forget=True)

    anyio.run(check)
