"""Starting many containers: few processes do it, one after the other, and none waits for one that hangs."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from orchestra.keeper import starters

from .conftest import Client, House, PlainEngine, until

MANY = 24


class Slow(PlainEngine):
    """Notes who starts what; "hang" in a container's name waits for a file, "die" kills its starter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def launch(self, spec: Any, stdio: list[int]) -> tuple[dict[str, Any], list[int]]:
        name = spec["linux"]["cgroupsPath"].rpartition("/")[2]
        (self.folder / name).write_text(str(os.getpid()))
        end = time.monotonic() + 30
        while "hang" in name and not (self.folder / "go").exists() and time.monotonic() < end:
            time.sleep(0.005)
        if "die" in name:
            os._exit(1)
        return super().launch(spec, stdio)


@pytest.fixture
def client(house: House, tmp_path: Path) -> Client:
    (tmp_path / "notes").mkdir()
    house.start(engine=Slow(tmp_path / "notes"))
    client = house.connect()
    client.children()  # from here on it hears of ends
    return client


def ask(client: Client, *names: str, script: str = "exec sleep 600") -> list[int]:
    return [client.send("launch", **client.launching(name, script)) for name in names]


def test_many_starts_share_few_processes(client: Client, tmp_path: Path) -> None:
    """Every one of them runs, with its own pid, and its end is told."""
    numbers = ask(client, *(f"c{n}" for n in range(MANY)))
    pids = {client.wait(number)["pid"] for number in numbers}
    assert len(pids) == MANY
    by = {path.read_text() for path in (tmp_path / "notes").iterdir()}
    assert len(by) < MANY
    for n in range(MANY):
        client.call("signal", name=f"c{n}", signal=9, everyone=False)
        assert client.exited(f"c{n}")["signal"] == 9


def test_one_that_hangs_holds_up_nobody(client: Client, tmp_path: Path) -> None:
    """However many hang: more than there are starters at a time."""
    hanging = ask(client, *(f"hang{n}" for n in range(starters.MOST + 1)))
    until(lambda: len(list((tmp_path / "notes").iterdir())) >= starters.MOST, "starters that hang")
    others = ask(client, "one", "two", "three")
    assert all(client.wait(number)["pid"] for number in others)
    (tmp_path / "notes/go").write_text("")
    assert all(client.wait(number)["pid"] for number in hanging)


def test_a_starter_that_dies_takes_one_start_along(client: Client) -> None:
    """Those that wait behind it are started by others."""
    numbers = ask(client, "a", "die", "b", "c", "d")
    answers = [client.wait(number) for number in numbers]
    assert "error" in answers[1]
    assert [bool(answer.get("pid")) for answer in answers] == [True, False, True, True, True]
    assert client.launch("e", "exec sleep 600")["pid"]


def test_a_start_that_fails_fails_alone(client: Client) -> None:
    """The others of the same starter are none the worse."""
    numbers = [*ask(client, "a", "b"), *ask(client, "bad", script="refuse"), *ask(client, "c")]
    answers = [client.wait(number) for number in numbers]
    assert ["error" in answer for answer in answers] == [False, False, True, False]


def test_a_starter_leaves_nothing_open(client: Client) -> None:
    """No container has a descriptor of another one."""
    numbers = ask(client, *(f"c{n}" for n in range(MANY)))
    for n, number in enumerate(numbers):
        pid = client.wait(number)["pid"]
        until(lambda pid=pid, n=n: open_fifos(pid) == {f"c{n}"}, "nothing but its own")


def open_fifos(pid: int) -> set[str]:
    """The names of the containers to which the FIFOs belong that a process has open."""
    paths = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            paths.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return {path.rpartition("/")[2].partition(".")[0] for path in paths if path.endswith((".out", ".err"))}
