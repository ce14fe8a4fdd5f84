"""Sees to it that the stack has a supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

from ..places import Places
from . import records
from .connection import who_listens
from .detach import write_to
from .errand import CHILDREN_UMASK, become_plain
from .loop import Loop
from .process import open_pidfd, start_time

SHORTEST_DELAY = 0.1
LONGEST_DELAY = 10.0
GOOD_RUN = 10.0
"""Seconds after which a supervisor counts as having run well."""


class Caretaker:
    """Starts the supervisor, by forking into `function` or by executing `command`, and starts it again."""

    def __init__(
        self,
        loop: Loop,
        places: Places,
        command: Sequence[str],
        environment: dict[str, str],
        function: Callable[[], None] | None,
        first: int = 0,
    ) -> None:
        """`first`: the pid of one that was forked already."""
        self._loop = loop
        self._record = f"{places.run}/supervisor.json"
        self._run = places.run
        self._own_log = places.own_log
        self._command = list(command)
        self._environment = environment
        self._function = function
        self._delay = SHORTEST_DELAY
        self._since = 0.0
        self._pidfd = -1
        self._first = first
        self.pid = 0
        self.wanted = True
        self.on_gone: Callable[[], None] = lambda: None
        self.before_start: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Find the one that an earlier keeper started, or start one."""
        if self._first:
            self._since = time.monotonic()
            self.pid = self._first
            self.save()
            return
        pid, pidfd = self._left()
        if pidfd is None:
            self._spawn()
            return
        self.pid, self._pidfd = pid, pidfd
        self._since = time.monotonic()
        self._loop.watch(pidfd, lambda _: self.gone())

    def _left(self) -> tuple[int, int | None]:
        """The supervisor of an earlier keeper and its pidfd; where its record is lost, it is who listens."""
        if record := records.load(self._record, records.SUPERVISOR):
            return record["pid"], open_pidfd(record["pid"], record["start_time"])
        pid = who_listens(self._run, "api.sock")
        return pid, open_pidfd(pid, start_time(pid) or 0) if pid else None

    def end(self) -> None:
        """It is not ours to start any more, nor has the one that runs anything to do."""
        self.wanted = False
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def gone(self) -> None:
        """It ended."""
        if self._pidfd >= 0:
            self._loop.forget(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self.pid = 0
        if not self.wanted:
            self.on_gone()
            return
        if time.monotonic() - self._since >= GOOD_RUN:
            self._delay = SHORTEST_DELAY
        sys.stderr.write(f"keeper: the supervisor ended; next one in {self._delay:g} s\n")
        self._loop.later(self._delay, self._spawn)
        self._delay = min(self._delay * 2, LONGEST_DELAY)

    def _spawn(self) -> None:
        self.before_start()
        if not self.wanted:  # any more, where another keeper turns out to have taken over
            return
        self._since = time.monotonic()
        with contextlib.suppress(OSError):  # then it writes where the one before did
            write_to(self._own_log)
        try:
            self.pid = self._fork() if self._function else self._execute()
        except OSError as error:
            sys.stderr.write(f"keeper: the supervisor could not be started: {error}\n")
            self.gone()
            return
        self.save()

    def save(self) -> None:
        try:
            records.save(self._run, "supervisor", {"pid": self.pid, "start_time": start_time(self.pid)})
        except FileNotFoundError:
            pass  # it writes the same by itself, and did so between our two calls
        except OSError as error:
            sys.stderr.write(f"keeper: the supervisor's record could not be written: {error}\n")

    def _execute(self) -> int:
        ours = os.umask(CHILDREN_UMASK)
        try:
            return os.posix_spawn(
                self._command[0],
                self._command,
                self._environment,
                setsigdef=[signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ],
            )
        finally:
            os.umask(ours)

    def _fork(self) -> int:
        assert self._function is not None
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                become_plain(keep=())
                self._function()
                status = 0
            except BaseException:  # noqa: BLE001  it must not run on as a second keeper
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stderr.flush()
                os._exit(status)
        return pid
