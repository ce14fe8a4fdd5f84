"""Copying between the caller and a process in a container until that process has ended.

Note [Why a run's terminal is read from its log]: the keeper reads the terminal of a container, so whoever else reads
the same master gets only what falls from the table. The processes of `exec` have no log; their master is ours alone.

Note [Why the way in has a buffer]: a process that does not read its input must not keep us from reading its output,
so what it has not taken yet waits here and only then is more read from the caller.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from orchestra.client import Connection
from orchestra.logs.follow import Follower
from orchestra.logs.reader import Cursor

from .listen import receive, trouble
from .progress import Progress
from .queue import turn
from .terminal import follow_size, raw, write_all

BLOCK = 1 << 16
LAST_WORDS = 0.2  # seconds within which what a process wrote before it ended is there
MOST_LAST_WORDS = 1 << 20  # bytes of it, more than a pipe usually holds
SILENT = Progress("run", "running")
Started = Callable[[dict[str, Any]], None]


class Relay:
    """One process: its request is sent, then `run` copies and returns the exit code."""

    def __init__(
        self,
        connection: Connection,
        request: dict[str, Any],
        stdin: bool,
        started: Started | None = None,
        show: Progress = SILENT,
        logs: Callable[[str], str] | None = None,
        held: turn | None = None,
    ) -> None:
        """`logs` gives the log's directory of the container that a `run` starts; `held`: see `listen`."""
        self._connection = connection
        self._outputs: dict[int, int] = {}  # from the container -> ours
        self._input: int | None = None  # into the container
        self._source: int | None = sys.stdin.fileno() if stdin else None
        self._pending = b""
        self._started = started
        self._show = show
        self._logs = logs
        self._held = held
        self._log: Follower | None = None
        self._tty = bool(request["tty"])
        if self._tty:
            self._number = connection.send(request)
        else:
            self._number = self._send_pipes(request)

    def run(self) -> int:
        with ExitStack() as undo:
            try:
                code = self._copy(undo)
            finally:
                self._drain()
        return code

    def _send_pipes(self, request: dict[str, Any]) -> int:
        inner_in, self._input = os.pipe()
        outer_out, inner_out = os.pipe()
        outer_err, inner_err = os.pipe()
        # Root inside is somebody else: without this nobody could open /dev/stdout again, as servers do to log.
        os.fchmod(inner_in, 0o644)
        for written in (inner_out, inner_err):
            os.fchmod(written, 0o622)
        number = self._connection.send(request, (inner_in, inner_out, inner_err))
        for given in (inner_in, inner_out, inner_err):
            os.close(given)
        self._outputs = {outer_out: sys.stdout.fileno(), outer_err: sys.stderr.fileno()}
        os.set_blocking(self._input, False)
        if self._source is None:
            self._close_input()
        return number

    def _take_terminal(self, answer: dict[str, Any], undo: ExitStack) -> None:
        """The container's terminal has arrived: join it with the caller's."""
        master = self._connection.descriptors.pop()
        caller = sys.stdin.fileno()
        if self._logs is None:
            self._outputs = {master: sys.stdout.fileno()}
        else:
            self._log = undo.enter_context(Follower())
            self._log.add("", Cursor(self._logs(answer["name"])))
        self._input = master
        os.set_blocking(master, False)
        undo.enter_context(raw(caller))
        undo.enter_context(follow_size(sys.stdout.fileno(), master))

    def _copy(self, undo: ExitStack) -> int:
        while True:
            watched: list[Any] = [self._connection, *self._outputs]
            if self._source is not None and self._input is not None and not self._pending:
                watched.append(self._source)
            writable = [self._input] if self._pending and self._input is not None else []
            if self._log is not None:
                watched += [self._log] if self._log.fileno() >= 0 else []
                self._show_log(self._log)
            patience = self._log.patience() if self._log is not None else None
            ready, taking, _ = select.select(watched, writable, [], patience)
            for source in [each for each in self._outputs if each in ready]:
                self._carry(source)
            if self._source in ready:
                self._read_input()
            if taking:
                self._feed()
            if self._connection in ready:
                for answer in receive(self._connection):
                    if answer.get("re") != self._number:
                        continue
                    trouble(answer)
                    for row in answer.get("rows", ()):
                        self._show.row(row)
                    if answer.get("accepted") and self._held is not None:
                        self._held.let_go()
                    if "started" in answer:
                        self._begin(answer, undo)
                    if answer.get("done"):
                        return int(answer["code"]) if answer.get("code") is not None else 1

    def _begin(self, answer: dict[str, Any], undo: ExitStack) -> None:
        self._show = SILENT  # from here on the process has the word
        if self._tty:
            self._take_terminal(answer, undo)
        if self._started is not None:
            self._started(answer)

    def _carry(self, source: int) -> int:
        """Copy one block outwards, or note the end; how much it was."""
        try:
            data = os.read(source, BLOCK)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: the last process on the terminal is gone
            data = b""
        if not data:
            del self._outputs[source]
            if source != self._input:
                os.close(source)
            return 0
        write_all(self._outputs[source], data)
        return len(data)

    def _show_log(self, log: Follower) -> None:
        for _, block in log.pull():
            write_all(sys.stdout.fileno(), block.data)

    def _read_input(self) -> None:
        assert self._source is not None
        try:
            self._pending = os.read(self._source, BLOCK)
        except OSError:  # EIO: the terminal is gone, or belongs to another job by now
            self._pending = b""
        if not self._pending:
            self._source = None
            self._close_input()

    def _feed(self) -> None:
        assert self._input is not None
        try:
            self._pending = self._pending[os.write(self._input, self._pending) :]
        except BlockingIOError:
            return
        except OSError:  # nobody reads there any more
            self._pending = b""
            self._close_input()

    def _close_input(self) -> None:
        if self._input is not None and not self._tty:
            os.close(self._input)
            self._input = None

    def _drain(self) -> None:
        """What the process wrote before it ended may still be on its way; others may write for ever."""
        if self._log is not None:
            self._show_log(self._log)
        end, left = time.monotonic() + LAST_WORDS, MOST_LAST_WORDS
        while self._outputs and left > 0:
            ready = select.select(list(self._outputs), [], [], max(end - time.monotonic(), 0))[0]
            if not ready:
                return
            for source in ready:
                left -= self._carry(source)
