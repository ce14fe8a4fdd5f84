"""A writer that is killed between any two of its system calls, or within one that moves bytes: nothing is lost,
nothing is written twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from orchestra.logs import pipes
from orchestra.logs.layout import LOG, STDERR, STDOUT
from orchestra.logs.reader import read
from orchestra.logs.writer import Inflow, Log

pytestmark = pytest.mark.kernel

LINES = 30
CALLS = ("open", "write", "splice", "ftruncate", "fstat", "pread", "unlink", "close")
"""Of the module `os`, which a writer makes; tee(2) is called another way."""
MOST = 1000


def said(stream: int) -> bytes:
    """The same line again and again, so that no content could tell what was written already; and a prompt."""
    return (b"y\n" if stream == STDOUT else b"n\n") * LINES + b"prompt"


def write(directory: str, ends: dict[int, int]) -> None:
    """What a keeper does from its start on, to the end of what is in the pipes."""
    log = Log(directory, 16, 1000)
    first = log.resume(1)
    inflows = [Inflow(ends[stream], stream, log) for stream in sorted(ends, key=lambda stream: stream != first)]
    for inflow in inflows:
        while inflow.take():
            pass
    for inflow in inflows:
        inflow.let_go()
    log.close()


def in_a_process(work: Callable[[], None]) -> int:
    """Its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def killed_at(number: int, within: bool) -> None:
    """This process is killed before its call of that number, or once that has moved half of its bytes."""
    calls = count()

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            if next(calls) == number:
                if within and call is splice and given[2] > 1:
                    splice(given[0], given[1], given[2] // 2 | 1, **named)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **named)

        return called

    splice = os.splice
    for name in CALLS:
        setattr(os, name, deadly(getattr(os, name)))
    pipes._libc.tee = deadly(pipes._libc.tee)  # type: ignore[method-assign]


@pytest.mark.parametrize("within", [False, True], ids=["between calls", "within a call"])
def test_a_kill_at_any_call_loses_nothing_and_doubles_nothing(tmp_path: Path, within: bool) -> None:
    """Each is killed at one call, and another one goes on with the same pipes."""
    for number in range(MOST):
        directory = str(tmp_path / f"{number}")
        ends = {stream: os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) for stream in (STDOUT, STDERR)}
        for stream, (_, into) in ends.items():
            os.write(into, said(stream))
        outs = {stream: out for stream, (out, _) in ends.items()}

        def dying(number: int = number, directory: str = directory, outs: dict[int, int] = outs) -> None:
            killed_at(number, within)
            write(directory, dict(reversed(outs.items())))

        status = in_a_process(dying)
        if status:
            assert os.WTERMSIG(status) == signal.SIGKILL
            assert in_a_process(lambda directory=directory, outs=outs: write(directory, outs)) == 0  # type: ignore[misc]
        for stream in ends:
            assert b"".join(block.data for block in read(directory, kinds=(stream,))) == said(stream), number
        raw = b"".join(path.read_bytes() for path in sorted(Path(directory).glob("*" + LOG)))
        assert set(raw.removesuffix(b"promptprompt").split(b"\n")) == {b"y", b"n", b""}, f"{number}: a torn line"
        for pair in ends.values():
            for end in pair:
                os.close(end)
        if not status:
            assert number > 50, "hardly anything was called"
            return
    pytest.fail("it makes more calls than were tried")
