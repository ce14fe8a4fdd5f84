"""Held ports may be released at any await: what serves and stores their sockets meanwhile goes on."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from orchestra.errors import OrchestraError
from orchestra.places import Home
from orchestra.plan.facts import Target
from orchestra.plan.portranges import PortRange
from orchestra.plan.wiring import Publication
from orchestra.stack.model import HostRoot, Port, Service
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
            Relay(held, lambda key: [], tasks, print).look()
            await anyio.wait_all_tasks_blocked()
            await held.release([FIRST])
            successor = listening()  # it gets the number of the one just closed
            with socket.create_connection(successor.getsockname()):
                await anyio.wait_readable(successor)
            tasks.cancel_scope.cancel()
            successor.close()
            await held.release([SECOND])

    anyio.run(serve)


def chosen(held: HeldPorts, leased: Mapping[str, Sequence[PortRange]], **services: list[Port]) -> dict[str, Any]:
    """What containers of these services publish; of one called x2 there are two."""
    targets = {
        f"t-{name}-{number}": Target(Service(name, HostRoot(), "hash", ports=tuple(ports)), number)
        for name, ports in services.items()
        for number in ((1, 2) if name.endswith("x2") else (1,))
    }
    ways = dict.fromkeys(targets, ("0123456789", "10.213.0.2"))
    return {name: list(its) for name, its in held.choose(targets, {}, ways, leased).items()}


LONG = Port(10000, (10000, 19999), "127.0.0.1", count=10000)


def test_a_long_range_needs_no_socket_and_replicas_share_it() -> None:
    held = HeldPorts()
    found = chosen(held, {}, x2=[LONG])
    assert [(one.host_port, one.port, one.count) for its in found.values() for one in its] == [
        (10000, 10000, 10000)
    ] * 2
    assert held.taken() == set()


@pytest.mark.parametrize(("running", "stopped"), [(True, False), (False, True), (False, False)])
def test_who_takes_a_port_of_a_long_range_later_is_in_the_way_of_its_next_start_only(
    running: bool, stopped: bool
) -> None:
    """Not of an `up` that leaves the container as it is."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        first = port - 200
        service = Service("a", HostRoot(), "hash", ports=(Port(first, (first, first + 700), "127.0.0.1", count=701),))
        targets = {"t-a-1": Target(service, 1, stopped=stopped)}
        way = "0123456789", "10.213.0.2"
        before = {"t-a-1": (Publication("a (t-a-1)", "127.0.0.1", first, "tcp", *way, first, 701),)}
        ask = partial(HeldPorts().choose, targets, before, {"t-a-1": way}, {})
        if running or stopped:
            assert ask({"t-a-1"} if running else ()) == before
        else:
            with pytest.raises(OrchestraError, match=f"cannot start a .*: cannot publish host port {port}/tcp"):
                ask()


@pytest.mark.parametrize(
    "other",
    [
        Port(80, (15000, 15000), "127.0.0.1"),
        Port(80, (19999, 19999), ""),
        Port(80, (9000, 10000), "0.0.0.0", count=1001),
        Port(5, (19999, 20200), "127.0.0.1", count=202),
    ],
)
def test_who_meets_a_long_range_is_told_whose_it_is(other: Port) -> None:
    """Another stack's; nothing is held then."""
    lease = {"shop": [PortRange("127.0.0.1", 10000, 19999, "tcp")]}
    held = HeldPorts()
    with pytest.raises(OrchestraError, match=r"stack shop, which has 10000-19999/tcp on 127\.0\.0\.1"):
        chosen(held, lease, a=[other])
    assert held.taken() == set()


def test_alternatives_may_have_a_long_range_in_common() -> None:
    """One of them runs: plan/clashes sees to that."""
    held = HeldPorts()
    found = chosen(held, {}, a=[LONG], b=[LONG], c=[Port(80, (15000, 15000), "127.0.0.1")])
    assert [(one.host_port, one.count) for its in found.values() for one in its] == [
        (10000, 10000),
        (10000, 10000),
        (15000, 1),
    ]
    anyio.run(held.release, held.taken())


def test_any_free_port_is_none_of_a_long_range() -> None:
    held = HeldPorts()
    lease = {"shop": [PortRange("", 32768, 60998, "tcp")]}
    ((one,),) = chosen(held, lease, a=[Port(80, None, "127.0.0.1")]).values()
    assert one.host_port == 60999
    anyio.run(held.release, held.taken())


def test_too_many_single_ports_are_refused_before_one_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is held by sockets; the error says how many there may be, and the way out."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (800, 800))
    held = HeldPorts()
    with pytest.raises(OrchestraError, match="cannot publish 101 ports: a stack has 100 at the most") as refusal:
        chosen(held, {}, a=[Port(port, (port, port), "127.0.0.1") for port in range(20000, 20101)])
    assert "one range of more than 100 ports" in str(refusal.value.hint)
    assert held.taken() == set()
