"""A container as the keeper holds it: its record, its pidfd, its output."""

from __future__ import annotations

import os
import signal
import sys
import time

from .. import ours
from ..logs.layout import STDERR, STDOUT
from ..logs.writer import Log
from ..places import Places
from . import records
from .loop import Loop
from .process import code_and_signal, open_pidfd, start_time
from .streams import Stream, make_fifo, open_container_side, open_reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..wire.keeping import LogPolicy

    Record = dict[str, Any]

OWN_KEYS = ("log", "terminal")
"""What a record on disk has beyond `wire.keeping.Child`."""


class Container:
    """`record` is a `wire.keeping.Child` and our own keys; pid 0 while the start is under way."""

    def __init__(self, loop: Loop, places: Places, record: Record) -> None:
        self._loop = loop
        self._places = places
        self.record = record
        self.pidfd = -1
        self.log: Log | None = None
        self.streams: list[Stream] = []

    @property
    def name(self) -> str:
        return str(self.record["name"])

    @property
    def starting(self) -> bool:
        return self.record["pid"] == 0 and self.record["ended"] is None

    @property
    def running(self) -> bool:
        return self.record["pid"] != 0 and self.record["ended"] is None

    @property
    def lost_its_terminal(self) -> bool:
        """The master went with the keeper before."""
        return self.running and self.record["terminal"] and not self.streams

    @property
    def recorded(self) -> bool:
        """Whether another keeper would find it."""
        return os.path.isfile(f"{self._places.children}/{self.name}.json")

    def child(self) -> Record:
        """The record as the wire has it."""
        return {key: value for key, value in self.record.items() if key not in OWN_KEYS}

    def open_log(self) -> Log:
        policy: LogPolicy = self.record["log"]
        whole_lines = not self.record["terminal"]
        self.log = Log(policy["directory"], policy["max_size"], policy["max_files"], whole_lines)
        return self.log

    def make_stdio(self, with_stdin: bool) -> list[int]:
        """Fresh FIFOs, our ends watched; returns the container's ends of stdin, stdout and stderr."""
        assert self.log is not None
        ours: list[int] = []
        try:
            if with_stdin:
                make_fifo(self._fifo("in"), 0o644)
                ours.append(open_container_side(self._fifo("in")))
            else:
                ours.append(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
            for ending in ("out", "err"):
                make_fifo(self._fifo(ending), 0o622)
                ours.append(open_container_side(self._fifo(ending)))
            self.read_fifos()
        except OSError:
            for descriptor in ours:
                os.close(descriptor)
            raise
        return ours

    def read_fifos(self) -> None:
        for ending, kind in (("out", STDOUT), ("err", STDERR)):
            self.read(open_reader(self._fifo(ending)), kind, ending)

    def read(self, descriptor: int, kind: int = STDOUT, ending: str = "out") -> None:
        """Log from a descriptor, which is ours from here on."""
        assert self.log is not None
        self.streams.append(Stream(self._loop, descriptor, kind, self.log, self._fifo(ending + ".tail")))

    def started(self, pid: int) -> None:
        """The start succeeded; the process may have ended since, as long as nobody has reaped it."""
        self.record["pid"] = pid
        self.record["start_time"] = start_time(pid) or 0
        try:
            self.pidfd = os.pidfd_open(pid)
        except OSError:
            self.pidfd = -1  # ended and reaped already; the status is on its way
        self.save()

    def adopt(self) -> bool:
        """Find the process of a record again. False: it is no more."""
        found = open_pidfd(self.record["pid"], self.record["start_time"]) if self.record["pid"] else None
        if found is not None:
            self.pidfd = found
        log = self.open_log()
        log.resume(self.record["run"])
        if not self.record["terminal"]:
            try:
                self.read_fifos()
            except OSError as error:
                sys.stderr.write(f"keeper: {self.name} goes on without its output: {error}\n")
        return found is not None

    def ended(self, status: int | None) -> None:
        """Everything it wrote is in the log before anybody hears of the end."""
        code, by_signal = code_and_signal(status)
        self.close_streams()
        if self.log is not None:
            self.log.end(128 + by_signal if by_signal else code or 0)
            self.log.close()
            self.log = None
        self.record.update(ended=time.monotonic(), ended_wall=time.time(), code=code, signal=by_signal)
        self.close()
        self.save()

    def failed(self, before: Container | None) -> None:
        """The start came to nothing: what was known of the run before stays known."""
        self.close_streams()
        if self.log is not None:
            self.log.end(125)
        self.close()
        if before is not None:
            before.save()
        else:
            self.erase()

    def kill(self, number: int) -> None:
        signal.pidfd_send_signal(self.pidfd, number)

    def save(self) -> None:
        try:
            records.save(self._places.children, self.name, self.record)
        except OSError as error:
            sys.stderr.write(f"keeper: the record of {self.name} could not be written: {error}\n")

    def close_streams(self) -> None:
        for stream in self.streams:
            stream.finish()
        self.streams.clear()
        self._remove("out.tail", "err.tail")

    def close(self) -> None:
        self.close_streams()
        if self.log is not None:
            self.log.close()
            self.log = None
        if self.pidfd >= 0:
            self._loop.forget(self.pidfd)
            os.close(self.pidfd)
            self.pidfd = -1

    def erase(self) -> None:
        """Nothing of it stays in the run directory."""
        self.close()
        records.remove(self._places.children, self.name)
        self._remove("in", "out", "err")

    def _remove(self, *endings: str) -> None:
        for ending in endings:
            ours.clear(self._fifo(ending))

    def _fifo(self, ending: str) -> str:
        return f"{self._places.fifos}/{self.name}.{ending}"
