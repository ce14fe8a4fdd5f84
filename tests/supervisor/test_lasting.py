"""What is refused to the tasks of the supervisor, or gone when they look, ends none of them; a fault of ours does."""

from __future__ import annotations

import errno

import anyio
import pytest

from orchestra.network.inside import inside
from orchestra.supervisor import lasting


class Looking:
    """Looks into a network that is taken away when it comes to it, then into a file that may not be opened."""

    def __init__(self) -> None:
        self.begun = 0

    async def run(self) -> None:
        self.begun += 1
        if self.begun in (1, 2):
            inside("/nowhere/one.router", lambda: None)
        async with anyio.create_task_group():
            if self.begun == 3:
                raise OSError(errno.EMFILE, "Too many open files", "/proc")


def test_what_is_gone_or_refused_is_said_once_and_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lasting, "PAUSE", 0.0)
    looking = Looking()
    anyio.run(lasting.lasting, looking.run)
    assert looking.begun == 4
    assert capfd.readouterr().err.splitlines() == [
        "supervisor: cannot enter the network namespace /nowhere/one.router: No such file or directory",
        "supervisor: Too many open files: /proc",
    ]


def test_a_library_that_cannot_be_opened_now_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where descriptors are lacking, dlopen(3) fails, which Python tells as an ImportError."""
    monkeypatch.setattr(lasting, "PAUSE", 0.0)
    begun = []

    async def importing() -> None:
        begun.append(True)
        if len(begun) < 3:
            raise ImportError("_sqlite3.so: cannot open shared object file: Too many open files")

    anyio.run(lasting.lasting, importing)
    assert len(begun) == 3
    said = "supervisor: _sqlite3.so: cannot open shared object file: Too many open files\n"
    assert capfd.readouterr().err == said


def test_a_fault_of_ours_is_no_matter_of_trying_again() -> None:
    async def wrong() -> None:
        raise KeyError("one")

    with pytest.raises(KeyError):
        anyio.run(lasting.lasting, wrong)
