"""A container as the keeper holds it: its record, its pidfd, its output."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

from .. import ours
from ..logs.layout import STDERR, STDOUT
from ..logs.writer import Log
from ..places import Places
from . import records
from .holder import Holder
from .loop import Loop
from .process import code_and_signal, open_pidfd, start_time
from .streams import Stream, Terminal, make_fifo, open_ours, open_theirs, open_way_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..wire.keeping import LogPolicy

    Record = dict[str, Any]

OUTPUTS = (("out", STDOUT), ("err", STDERR))
"""What the FIFO of a stream has its name end with."""
OWN_KEYS = ("log", "terminal")
"""What a record on disk has beyond `wire.keeping.Child`."""


class Container:
    """`record` is a `wire.keeping.Child` and our own keys; pid 0 while the start is under way."""

    def __init__(self, loop: Loop, places: Places, holder: Holder, record: Record) -> None:
        self._loop = loop
        self._places = places
        self._holder = holder
        self.record = record
        self.pidfd = -1
        self.log: Log | None = None
        self.streams: list[Stream] = []
        self._terminal: Terminal | None = None
        self._way_in = -1

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
        return self.running and self.record["terminal"] and self._terminal is None

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
        """Fresh FIFOs, our ends watched; returns the container's ends of stdin, stdout and stderr, or none: what a
        terminal shows is passed on through a FIFO, where it is as safe as all output is."""
        if self.record["terminal"]:
            make_fifo(self._fifo("out"), 0o600)
            self._read("out", STDOUT)
            self.hold()
            return []
        theirs: list[int] = []
        try:
            if with_stdin:
                make_fifo(self._fifo("in"), 0o644)
                self._way_in = open_ours(self._fifo("in"))
                theirs.append(open_theirs(self._fifo("in")))
            else:
                theirs.append(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
            for ending, kind in OUTPUTS:
                make_fifo(self._fifo(ending), 0o622)
                self._read(ending, kind)
                theirs.append(open_theirs(self._fifo(ending)))
        except OSError:
            for descriptor in theirs:
                os.close(descriptor)
            raise
        self.hold()
        return theirs

    def read_terminal(self, master: int) -> None:
        """Log from a terminal, which is ours from here on."""
        try:
            if not self.streams:
                self.make_stdio(with_stdin=False)
            self._terminal = Terminal(self._loop, master, open_way_out(self._fifo("out")), self.streams[0])
        except OSError as error:
            os.close(master)
            self._goes_on_silently(error)

    def _goes_on_silently(self, error: OSError) -> None:
        sys.stderr.write(f"keeper: {self.name} goes on without its output: {error}\n")

    def hold(self) -> None:
        """Have our ends held by somebody else as well."""
        held = [stream.descriptor for stream in self.streams]
        self._holder.hold(self.name, held if self._way_in < 0 else [*held, self._way_in])

    def _find_stdio(self, first: int) -> None:
        """Go on where another keeper was killed; at once with the stream within a line of which it was."""
        with contextlib.suppress(FileNotFoundError):
            self._way_in = open_ours(self._fifo("in"))
        for ending, kind in OUTPUTS[:1] if self.record["terminal"] else OUTPUTS:
            stream = self._read(ending, kind)
            if kind == first:
                stream.take()
        self.hold()

    def _read(self, ending: str, kind: int) -> Stream:
        assert self.log is not None
        descriptor = open_ours(self._fifo(ending))
        try:
            stream = Stream(self._loop, descriptor, kind, self.log)
        except OSError:
            os.close(descriptor)
            raise
        self.streams.append(stream)
        return stream

    def started(self, pid: int) -> None:
        """The start succeeded; the process may have ended since, as long as nobody has reaped it."""
        self.record["started"], self.record["wall"] = time.monotonic(), time.time()  # all that came before is over
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
        first = self.open_log().resume(self.record["run"])
        try:
            self._find_stdio(first)
        except OSError as error:
            self._goes_on_silently(error)
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
        self._holder.drop(self.name)
        self.save()

    def failed(self, before: Container | None) -> None:
        """The start came to nothing: what was known of the run before stays known."""
        self.close_streams()
        if self.log is not None:
            self.log.end(125)
        self.close()
        self._holder.drop(self.name)
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
        if self._terminal is not None:
            self._terminal.finish()
            self._terminal = None
        for stream in self.streams:
            stream.finish()
        self.streams.clear()
        if self._way_in >= 0:
            os.close(self._way_in)
            self._way_in = -1

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
