"""What goes away while the supervisor is at work costs one step or one request, never the supervisor."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from orchestra.places import Home
from orchestra.plan.facts import Run, Seen, Target, Wanted
from orchestra.plan.launch import Ground
from orchestra.plan.spans import by_container
from orchestra.stack.model import Healthcheck, HostRoot, HttpProbe, Limits, Service
from orchestra.supervisor import limiting, recollect
from orchestra.supervisor.api import Caller
from orchestra.supervisor.book import empty_page
from orchestra.supervisor.booking import Booking
from orchestra.supervisor.borrowing import Borrowing
from orchestra.supervisor.care import Care
from orchestra.supervisor.chronicle import Chronicle
from orchestra.supervisor.departure import Departure
from orchestra.supervisor.doors import Doors
from orchestra.supervisor.execs import Execs
from orchestra.supervisor.health import HealthWatch
from orchestra.supervisor.journal import Journal
from orchestra.supervisor.lending import Lending
from orchestra.supervisor.link import Link
from orchestra.supervisor.loop import Loop
from orchestra.supervisor.oneoff import OneOffs
from orchestra.supervisor.perform import Performer
from orchestra.supervisor.ports import HeldPorts
from orchestra.supervisor.probing import Probing
from orchestra.supervisor.recollect import Recollect
from orchestra.supervisor.requests import Requests
from orchestra.supervisor.shelf import Shelf
from orchestra.supervisor.world import World

WEB = Service("web", HostRoot(), "c1")
GROUND = Ground((), (), "", "", "", "", "", "", "", "", 0, {}, "box")


@pytest.fixture
def world(tmp_path: Path) -> World:
    places = Home(f"{tmp_path}/run", f"{tmp_path}/data").stack("store")
    Path(places.data).mkdir(parents=True)
    return World(places, empty_page(places), Journal())


def test_who_follows_the_events_and_does_not_read_is_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tells of something goes on, however much there is to tell."""
    monkeypatch.setattr(recollect, "AHEAD", 1)

    class Deaf:
        async def send(self, _: object) -> None:
            await anyio.sleep_forever()

    async def check() -> None:
        chronicle = Chronicle(world, list)
        await chronicle.open()
        events = Recollect(world, chronicle).events
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(events, {"id": 1, "follow": True}, [], cast(Caller, Deaf()))
            await anyio.sleep(0.1)
            for number in range(5):
                world.journal.tell("notice", f"one more: {number}")
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        await chronicle.finish(forget=True)

    anyio.run(check)


@pytest.mark.parametrize("status", [b"2" * 5000, b"20", b"2000"])
def test_an_answer_to_a_probe_that_is_no_status_is_told_as_such(status: bytes) -> None:
    """However many digits it has."""

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(4096)
            client.sendall(b"HTTP/1.1 " + status[:4000])
            client.sendall(status[4000:] + b" \r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        check = Healthcheck(HttpProbe("", listener.getsockname()[1], "/"), timeout=5.0)
        probing = Probing("web-1", WEB, GROUND, cast(Execs, None))
        assert anyio.run(probing.probe, check) == (False, "the answer is not HTTP")
        server.join()


def test_who_is_brought_back_into_its_cgroups_stays_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it started again meanwhile; afterwards it is free for both."""
    world.seen["web-1"] = Seen(WEB, 1, made=True, run=Run(1, "c1", 1, 0.0))
    world.pids["web-1"] = 1
    busy: list[bool] = []

    def bring_back(*_: object) -> None:
        busy.append(world.seen["web-1"].busy)
        if len(busy) == 2:
            del world.seen["web-1"]  # the worst that could happen
            raise OSError("gone")

    monkeypatch.setattr(limiting, "escaped", lambda _, alive: list(alive))
    monkeypatch.setattr(limiting, "bring_back", bring_back)
    looking = Care(world, cast(Performer, None), cast(Borrowing, None))
    anyio.run(looking._cgroups)
    assert (busy, world.seen["web-1"].busy) == ([True], False)
    anyio.run(looking._cgroups)
    assert "web-1" not in world.seen


def test_limits_of_what_is_not_wanted_any_more_are_left_alone(world: World) -> None:
    """It was taken down after the change had been decided."""
    world.seen["web-1"] = Seen(WEB, 1, made=True, busy=True)
    anyio.run(limiting.adjust, world, "web-1", "other limits")
    assert world.seen["web-1"].service.limits == Limits()


def test_half_a_pair_of_sockets_is_opened_anew(world: World) -> None:
    """The supervisor before was killed between giving the keeper the one and the other."""

    class Half:
        async def fetch(self) -> dict[str, list[socket.socket]]:
            return {"dns whole": pair, "dns half": [one]}

    one, *pair = (socket.socket() for _ in range(3))
    doors = Doors(world, HeldPorts(), cast(Shelf, Half()), cast(Any, None))
    anyio.run(doors.take_back)
    assert world.resolvers == {"whole": pair}
    assert one.fileno() < 0
    for kept in pair:
        kept.close()


def test_a_fault_in_a_step_is_one_of_its_container(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """It is told in words, with the traceback in orchestra's own log, and the step is over."""

    class Wrong:
        async def make(self, names: Sequence[str]) -> None:
            if "bad-1" in names:
                raise KeyError("default")

    async def check() -> None:
        loop = Loop(world, cast(Performer, Wrong()), cast(Borrowing, None), cast(HealthWatch, None), cast(Any, None))
        await loop._batch(["good-1", "bad-1"], loop._performer.make)

    for name in ("good-1", "bad-1"):
        world.seen[name] = Seen(WEB, 1, busy=True)
    anyio.run(check)
    assert world.seen["good-1"] == Seen(WEB, 1)
    assert world.seen["bad-1"].trouble == "a fault in orchestra (KeyError('default'))"
    assert not world.seen["bad-1"].busy
    assert capfd.readouterr().err.endswith("KeyError: 'default'\n")


class Silent:
    async def send(self, _: object) -> None:
        pass


@pytest.mark.parametrize("alive", [True, False])
def test_a_step_that_fails_for_one_that_runs_is_no_outage(world: World, alive: bool) -> None:
    """Nothing would tell when it ends, since what runs goes on as it is."""

    async def fails() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    nothing = cast(Any, None)
    world.seen["web-1"] = Seen(WEB, 1, made=True, run=Run(1, "", 1, 0.0, ended=None if alive else 1.0), busy=True)
    anyio.run(Loop(world, nothing, nothing, nothing, nothing)._guard, ["web-1"], fails)
    (event,) = world.journal.unwritten
    spans = by_container([event], event["time"], event["time"] + 1.0)
    assert [span["verdict"] for span in spans.get("web-1", [])] == ([] if alive else ["restarting"])


def test_what_is_asked_for_while_another_change_is_written_is_not_lost(world: World) -> None:
    """`stop` during an `up`: the one comes after the other."""

    async def check() -> None:
        booking = Booking(world, HeldPorts())
        nothing = cast(Any, None)
        requests = Requests(
            world,
            cast(Link, nothing),
            booking,
            cast(OneOffs, nothing),
            cast(Performer, nothing),
            lambda: 0,
            cast(Borrowing, nothing),
            cast(Lending, nothing),
            Departure(world, booking),
        )
        target = Target(WEB, 1)
        world.seen["web-1"] = Seen(WEB, 1, made=True)
        async with anyio.create_task_group() as tasks:
            async with booking.turn:
                wanted = Wanted({"web-1": target})
                world.change(wanted=wanted)
                stop = {"id": 1, "do": "stop", "services": None, "force": True}
                tasks.start_soon(requests.stop, stop, [], cast(Caller, Silent()))
                await anyio.wait_all_tasks_blocked()
                world.change(wanted=wanted)  # what was worked out before `stop` came
            await anyio.wait_all_tasks_blocked()
            assert world.wanted.targets["web-1"].stopped
            tasks.cancel_scope.cancel()

    anyio.run(check)
