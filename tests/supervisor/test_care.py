"""Who looks after what others may take away does not undo what was asked for meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import anyio
import pytest

from orchestra.places import Home
from orchestra.plan.facts import Seen
from orchestra.plan.wiring import Plug, Router
from orchestra.stack.model import HostRoot, Join, Limits, Network, Service
from orchestra.supervisor import care
from orchestra.supervisor.book import empty_page
from orchestra.supervisor.borrowing import Borrowing
from orchestra.supervisor.care import Care
from orchestra.supervisor.journal import Journal
from orchestra.supervisor.perform import Performer
from orchestra.supervisor.world import World
from orchestra.values import replace

PATIENCE = 30.0
ROUTER = Router("0123456789", "store_default", "/nowhere", "10.0.0.0/24", "10.0.0.1", None)
NAMES = ("one", "two")


class Next:
    """What is looked at before the networks: at its second time, they have been, and so has what comes after them."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        self._looked = False

    async def check(self) -> None:
        if self._looked:
            self.over.set()
        self._looked = True


async def looked_after(world: World, performer: object = None) -> None:
    """Until everything has been looked at once."""
    following = Next()
    followed = Care(world, cast(Performer, performer), cast(Borrowing, following))
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(followed.run)
            await following.over.wait()
            tasks.cancel_scope.cancel()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(care, "PAUSE", 0.0)
    monkeypatch.setattr(care, "is_pinned", lambda _: True)
    places = Home(f"{tmp_path}/run", f"{tmp_path}/data").stack("store")
    world = World(places, empty_page(places), Journal())
    world.change(routers={"default": ROUTER})
    return world


class Healing:
    """Remembers for each network that it was to make whole whether that was kept from being taken away."""

    def __init__(self, world: World) -> None:
        self.kept: dict[str, bool] = {}
        self._world = world

    async def heal(self, key: str) -> None:
        self.kept[key] = key in self._world.busy_networks


@pytest.mark.parametrize("leaving", [True, False])
def test_a_network_is_made_whole_unless_it_is_just_taken_away(
    world: World, monkeypatch: pytest.MonkeyPatch, leaving: bool
) -> None:
    world.networks["default"] = Network("default", "store_default")
    healing = Healing(world)

    def damaged(_: Router) -> bool:
        if leaving:
            world.busy_networks.add("default")
        return False

    monkeypatch.setattr(care, "alive", damaged)
    anyio.run(looked_after, world, healing)
    assert healing.kept == ({} if leaving else {"default": True})
    assert bool(world.busy_networks) == leaving


class Renewing:
    """Remembers whose namespaces were to be made again."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def renew(self, name: str) -> None:
        self.names.append(name)


@pytest.mark.parametrize("leaving", ["", "busy", "gone"])
def test_namespaces_are_made_again_unless_their_container_is_just_taken_away(
    world: World, monkeypatch: pytest.MonkeyPatch, leaving: str
) -> None:
    renewing = Renewing()
    for name in NAMES:
        world.seen[name] = Seen(Service("web", HostRoot(), ""), 1, made=True)

    def gone(_: str) -> bool:
        for name in NAMES:
            if leaving == "busy":
                world.note(name, busy=True)
            elif leaving == "gone":
                world.seen.pop(name, None)
        return False

    monkeypatch.setattr(care, "is_pinned", gone)
    anyio.run(looked_after, world, renewing)
    assert renewing.names == ([] if leaving else [*NAMES] * 2)


def test_a_limit_that_is_lifted_while_others_are_looked_at_stays_lifted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = Service("web", HostRoot(), "", limits=Limits(egress=1_000_000), networks=(Join("default"),))
    world.change(addresses={"default": {name: f"10.0.0.{number}" for number, name in enumerate(NAMES, 2)}})
    for name in NAMES:
        world.seen[name] = Seen(limited, 1, made=True)
    looked: list[str] = []
    held: list[str] = []

    def lift_while_looking(plugs: Sequence[Plug]) -> bool:
        looked.append(plugs[0].container)
        for name in NAMES:
            world.note(name, service=replace(limited, limits=Limits()))
        return False

    monkeypatch.setattr(care, "all_shaped", lift_while_looking)
    monkeypatch.setattr(care, "ensure_shapes", lambda plugs: held.extend(plug.container for plug in plugs))
    anyio.run(looked_after, world)
    assert looked == [NAMES[0]]
    assert held == []
