"""What nobody can look at for want of descriptors is not known: neither unhealthy, nor damaged, nor over."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path
from typing import Any, ClassVar, cast

import anyio
import anyio.to_thread
import pytest
from scarce import free_descriptors

from orchestra.errors import OrchestraError, is_exhausted
from orchestra.places import Home
from orchestra.plan.facts import Run, Seen
from orchestra.plan.launch import Ground
from orchestra.plan.wiring import Router
from orchestra.stack.model import (
    ExecProbe,
    Healthcheck,
    HostRoot,
    HttpProbe,
    Join,
    Limits,
    Network,
    Probe,
    Service,
    TcpProbe,
)
from orchestra.supervisor import care, doors, draining
from orchestra.supervisor.book import empty_page
from orchestra.supervisor.borrowing import Borrowing
from orchestra.supervisor.care import Care
from orchestra.supervisor.doors import Doors
from orchestra.supervisor.execs import Execs
from orchestra.supervisor.journal import Journal
from orchestra.supervisor.link import Link, Refused
from orchestra.supervisor.perform import Performer
from orchestra.supervisor.ports import HeldPorts
from orchestra.supervisor.probing import Probing
from orchestra.supervisor.shelf import Shelf
from orchestra.supervisor.world import World
from orchestra.values import replace

PATIENCE = 20.0
NONE_LEFT = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
ROUTER = Router("0123456789", "store_default", "/nowhere", "10.0.0.0/24", "10.0.0.1", None)


class FullKeeper:
    """In place of `Execs`: the keeper has no descriptor left for the pipes of a process."""

    async def probe(self, *_: object) -> None:
        raise Refused({"step": "exec", "errno": errno.EMFILE, "what": "cannot start: Too many open files"})

    def forget(self, _: str) -> None:
        """Nothing was begun."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    places = Home(f"{tmp_path}/run", f"{tmp_path}/data").stack("store")
    world = World(places, empty_page(places), Journal())
    service = Service("web", HostRoot(), "hash", limits=Limits(ingress=1000), networks=(Join("default"),))
    world.seen["web"] = Seen(service, 1, made=True, run=Run(1, "hash", 1, 0.0))
    world.change(routers={"default": ROUTER}, addresses={"default": {"web": "10.0.0.2"}})
    return world


def told(world: World) -> list[str]:
    return [event["text"] for event in world.journal.unwritten]


@pytest.mark.parametrize("probe", [HttpProbe("", 80, "/"), TcpProbe("", 80), ExecProbe(("true",))])
@pytest.mark.parametrize("lacking", [True, False], ids=["us", "keeper"])
def test_a_probe_that_cannot_be_made_has_no_outcome(probe: Probe, lacking: bool) -> None:
    """With descriptors there is one, but where the keeper lacks them."""
    ground = Ground((), (), "/bin", "", "", "", "", "", "", "", 0, {}, "box")
    probing = Probing("web", Service("web", HostRoot(), "hash"), ground, cast(Execs, FullKeeper()))

    async def probed() -> tuple[bool, str]:
        if not lacking:
            return await probing.probe(Healthcheck(probe))
        with free_descriptors(0):
            return await probing.probe(Healthcheck(probe))

    if lacking or isinstance(probe, ExecProbe):
        with pytest.raises((OSError, OrchestraError)) as refusal:
            anyio.run(probed)
        assert is_exhausted(refusal.value)
    else:
        assert anyio.run(probed) == (False, "connection refused")


def test_connections_that_cannot_be_counted_are_as_many_as_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing is known of them there may be one; of a network that is gone there is none."""
    outcomes = iter([NONE_LEFT, 3, NONE_LEFT, OrchestraError("it is gone")])
    found: list[int | None] = []
    enough = threading.Event()

    def incoming(_: str) -> int:
        found.append(world.connections.get("web"))
        if len(found) == 5:
            enough.set()
        outcome = next(outcomes, 0)
        if isinstance(outcome, int):
            return outcome
        raise outcome

    async def count() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(draining.count, world)
            assert await anyio.to_thread.run_sync(enough.wait, PATIENCE)
            tasks.cancel_scope.cancel()

    monkeypatch.setattr(draining, "PAUSE", 0.0)
    monkeypatch.setattr(draining, "incoming", incoming)
    world.change(wanted=replace(world.wanted, draining={"web": None}))
    anyio.run(count)
    assert found[:5] == [None, 1, 3, 3, 0]


class Nobody:
    async def check(self) -> None:
        """Nothing is borrowed."""


def test_bandwidth_that_cannot_be_looked_at_is_not_called_unlimited(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_shaped(_: object) -> bool:
        raise OrchestraError("cannot enter the network namespace") from NONE_LEFT

    monkeypatch.setattr(care, "PAUSE", 0.0)
    monkeypatch.setattr(care, "is_pinned", lambda _: True)
    monkeypatch.setattr(care, "all_shaped", all_shaped)

    async def looked_after() -> None:
        with anyio.fail_after(PATIENCE):
            await Care(world, cast(Performer, None), cast(Borrowing, Nobody())).run()

    with pytest.raises(OrchestraError, match="cannot enter"):
        anyio.run(looked_after)
    assert told(world) == []


class Answering:
    """In place of the resolver: remembers for which networks one began."""

    begun: ClassVar[list[str]] = []

    def __init__(self, _: World, key: str, *__: socket.socket) -> None:
        self._key = key

    async def serve(self) -> None:
        self.begun.append(self._key)
        await anyio.sleep_forever()


class Shelved:
    """A keeper that takes everything."""

    async def request(self, *_: object) -> tuple[dict[str, Any], list[int]]:
        return {}, []


def test_a_resolver_that_could_not_be_opened_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once why nobody answers names."""
    failures = [NONE_LEFT, NONE_LEFT]

    def dns_sockets(_: Router) -> tuple[socket.socket, socket.socket]:
        if failures:
            raise failures.pop()
        return socket.socket(), socket.socket()

    async def follow() -> None:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Doors(world, HeldPorts(), Shelf(cast(Link, Shelved())), tasks).follow)
                while not Answering.begun:
                    await anyio.sleep(0.01)
                    world.pulse()
                tasks.cancel_scope.cancel()

    world.networks["default"] = Network("default", "store_default")
    monkeypatch.setattr(doors, "RETRY", 0.0)
    monkeypatch.setattr(doors, "dns_sockets", dns_sockets)
    monkeypatch.setattr(doors, "Resolver", Answering)
    anyio.run(follow)
    assert Answering.begun == ["default"]
    assert told(world) == [f"no name service in network default: {NONE_LEFT}"]
