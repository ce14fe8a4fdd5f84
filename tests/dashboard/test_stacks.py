"""What the dashboard makes of supervisors that are not as it expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketStream

from orchestra.dashboard.board import Board
from orchestra.dashboard.feed import Feed
from orchestra.dashboard.stacks import Stacks
from orchestra.places import Home
from orchestra.stack.model import HostRoot, Service, Stack
from orchestra.wire.codec import encode
from orchestra.wire.frames import Reader
from orchestra.wire.frames import encode as framed


def row(name: str) -> dict[str, Any]:
    return {"name": name, "service": "a", "state": "running", "health": "", "why": "", "command": "a", "logs": ""}


async def supervisor(home: Home, name: str, model: dict[str, Any]) -> None:
    """As much of one as is asked of it."""
    status = {"directory": "/", "files": ["/s.yml"], "networks": {}, "notices": [], "rows": [row(f"{name}-a-1")]}

    async def answer(stream: SocketStream) -> None:
        reader = Reader()
        async with stream:
            async for data in stream:
                for asked in reader.feed(data):
                    found = {"status": status, "stack": {"stack": model}}.get(asked["do"])
                    if found is not None:
                        await stream.send(framed({"re": asked["id"], "done": True, **found}))

    listener = await anyio.create_unix_listener(home.stack(name).api_socket)
    await listener.serve(answer)


def test_a_supervisor_of_another_version_is_shown_and_takes_nobody_along(tmp_path: Path) -> None:
    """It knows of something that the dashboard does not: its containers are shown, and the others as ever."""
    home, board = Home.of({"ORCHESTRA_HOME": str(tmp_path)}, 0), Board(Feed())
    known = encode(Stack("old", "/", (), {"a": Service("a", HostRoot(), "c1")}))
    newer = {**encode(Stack("new", "/", (), {"a": Service("a", HostRoot(), "c1")})), "unheard": 1}

    for name in ("old", "new"):
        Path(home.stack(name).run).mkdir(parents=True)

    async def look() -> dict[str, Any]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor, home, "old", known)
            tasks.start_soon(supervisor, home, "new", newer)
            tasks.start_soon(Stacks(home, board).watch)
            with anyio.fail_after(20):
                while len(found := board.snapshot()["stacks"]) < 2:  # noqa: ASYNC110 - a page would be told; a snapshot is asked for
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        return found

    found = anyio.run(look)
    assert found["old"]["notices"] == []
    assert "another version" in found["new"]["notices"][0]
    assert [one["name"] for one in found["new"]["rows"]] == ["new-a-1"]
    assert found["new"]["files"] == ["/s.yml"]
