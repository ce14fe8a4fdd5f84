"""The API socket: whatever one client sends, the others are answered."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestra.client import Connection, dial
from orchestra.dashboard.board import Board
from orchestra.dashboard.feed import Feed
from orchestra.dashboard.stacks import Stacks
from orchestra.dashboard.upstream import Gone, Upstream
from orchestra.errors import OrchestraError
from orchestra.places import Home, Places
from orchestra.supervisor.api import Api, Handler
from orchestra.wire.frames import LIMIT, encode


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Home.of({"ORCHESTRA_HOME": str(tmp_path)}, 0).stack("t")
    os.makedirs(found.run)
    return found


async def ping(*_: Any) -> dict[str, Any]:
    return {"pong": True}


def served(places: Places, handlers: dict[str, Handler], act: Callable[[], Awaitable[Any]]) -> Any:
    """What `act` returns while the API is served."""

    async def serve() -> Any:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Api(places, handlers).serve)
            result = await act()
            tasks.cancel_scope.cancel()
            return result

    return anyio.run(serve)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        (LIMIT + 1).to_bytes(4, "big"),
        b"\0\0\0\2[]",
        b"\0\0\0\1{",
        (100_000).to_bytes(4, "big") + b"[" * 100_000,
        encode({"id": 1, "do": "ping", "fds": 1}),
        encode({"id": 1, "do": "ping", "fds": -1}),
        encode({"id": 1, "do": "ping", "fds": "many"}),
    ],
)
def test_a_client_that_sends_garbage_is_dropped(places: Places, garbage: bytes) -> None:
    """Its connection is closed; others are answered as before."""

    def act() -> bool:
        hostile = dial(places.run, "api.sock")
        hostile.settimeout(10)
        hostile.sendall(garbage)
        assert hostile.recv(1) == b""
        hostile.close()
        with Connection(places) as client:
            return bool(client.call({"do": "ping"})["pong"])

    assert served(places, {"ping": ping}, lambda: anyio.to_thread.run_sync(act))


def test_who_waits_for_an_answer_hears_that_the_supervisor_went_away(places: Places) -> None:
    """The page's terminal says so, instead of waiting for an end that nobody will tell."""

    async def lose() -> None:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(places.api_socket)
        listening.listen()
        with listening:
            upstream = Upstream(places)
            connection, _ = listening.accept()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upstream.listen)

            async def ask() -> None:
                with pytest.raises(Gone), anyio.fail_after(10):
                    await upstream.call({"do": "exec"})

            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            connection.close()
        upstream.close()

    anyio.run(lose)


def test_the_dashboard_passes_over_a_stack_whose_words_it_does_not_know(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so, and shows the others."""

    async def status(*_: Any) -> dict[str, Any]:
        return {"of another age": True}

    async def stack(*_: Any) -> dict[str, Any]:
        return {}

    async def look() -> None:
        board = Board(Feed())
        stacks = Stacks(places.home, board)
        said = ""
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stacks.watch)
                while "stack t is run by another version of orchestra" not in said:
                    await anyio.sleep(0.02)
                    said += capsys.readouterr().out
                tasks.cancel_scope.cancel()
        with pytest.raises(OrchestraError):
            stacks.reach("t")

    served(places, {"status": status, "stack": stack}, look)
