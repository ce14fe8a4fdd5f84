"""Whoever asked the keeper for something may go away at any moment: nothing stays open, and nothing is waited for."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestra.places import Home, Places
from orchestra.plan.launch import Ground
from orchestra.stack.model import ExecProbe, Healthcheck, HostRoot, Service
from orchestra.supervisor.execs import Execs
from orchestra.supervisor.link import KeeperGone, Link
from orchestra.supervisor.probing import Probing
from orchestra.wire.frames import Reader, encode

GROUND = Ground((), (), "/bin", "", "", "", "", "", "", "", 0, {}, "box")


class Starts:
    """In place of the link: every process starts, and none ends."""

    async def request(
        self, message: dict[str, Any], descriptors: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        return {"pid": 1}, []


def probing(execs: Execs) -> tuple[Probing, Healthcheck]:
    check = Healthcheck(ExecProbe(("sleep", "1000")), timeout=0.01)
    service = Service("a", HostRoot(), "", healthcheck=check)
    return Probing("t-a-1", service, GROUND, execs), check


def test_a_check_whose_time_is_over_is_not_waited_for() -> None:
    """Its end comes later, or never; a health check that hangs must not cost memory each time."""
    execs = Execs(Starts())  # type: ignore[arg-type]
    prober, check = probing(execs)
    before = len(os.listdir("/proc/self/fd"))
    assert anyio.run(prober.probe, check) == (False, "no answer within 0.01 s")
    assert not execs._waiting
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_keeper_that_goes_says_nothing_about_health() -> None:
    """Nobody knows how the check would have ended: it is no failure of the service."""
    execs = Execs(Starts())  # type: ignore[arg-type]
    prober, check = probing(execs)
    patient = Healthcheck(check.probe, timeout=30)

    async def lose() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(prober.probe, patient)
            await anyio.wait_all_tasks_blocked()
            execs.lose_all()

    with pytest.raises(BaseExceptionGroup) as raised:
        anyio.run(lose)
    assert raised.group_contains(KeeperGone)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Home.of({"ORCHESTRA_HOME": str(tmp_path)}, 0).stack("t")
    os.makedirs(found.run)
    return found


@pytest.fixture
def keeper(places: Places) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Answers one request with a descriptor, once it is told to; asked, and told."""
    asked, told = threading.Event(), threading.Event()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(places.keeper_socket)
    listening.listen()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, open(os.devnull) as nothing:
            (message,) = Reader().feed(connection.recv(1 << 16))
            asked.set()
            told.wait(30)
            answer = encode({"re": message["id"], "ok": True, "fds": 1})
            socket.send_fds(connection, [answer], [nothing.fileno()])

    thread = threading.Thread(target=serve)
    with listening:
        thread.start()
        yield asked, told
        told.set()
        thread.join()


def test_a_descriptor_for_somebody_who_has_gone_is_closed(
    places: Places, keeper: tuple[threading.Event, threading.Event]
) -> None:
    """A terminal whose client was killed while it was being made."""
    asked, told = keeper

    async def ask() -> int:
        link = Link(places, lambda _: None)
        link.connect()
        before = len(os.listdir("/proc/self/fd"))
        async with anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()

            async def one() -> None:
                with scope:
                    await link.request({"do": "exec"})

            tasks.start_soon(one)
            await anyio.to_thread.run_sync(asked.wait, 30)
            scope.cancel()
            told.set()
            await link.serve()
        return len(os.listdir("/proc/self/fd")) - before

    # The link has closed its own socket, and the other side its end and what it gave.
    assert anyio.run(ask) < 0
