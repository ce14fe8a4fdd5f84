"""A container's log as tests fill it: what is said goes through pipes, as the output of containers does."""

from __future__ import annotations

import os

from orchestra.logs.layout import STDERR, STDOUT
from orchestra.logs.pipes import enlarge
from orchestra.logs.writer import Inflow, Log

CHUNK = 1 << 15


class PipedLog(Log):
    """`write` is what a container writes; `flush` what a silence lets go."""

    __slots__ = ("inflows", "pipes")

    def __init__(self, directory: str, max_size: int, max_files: int, whole_lines: bool = True) -> None:
        super().__init__(directory, max_size, max_files, whole_lines)
        self.pipes = {stream: os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) for stream in (STDOUT, STDERR)}
        for out, _ in self.pipes.values():
            enlarge(out)
        self.inflows = {stream: Inflow(out, stream, self) for stream, (out, _) in self.pipes.items()}

    def write(self, stream: int, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            assert os.write(self.pipes[stream][1], data[start : start + CHUNK]) == len(data[start : start + CHUNK])
            self.inflows[stream].take()

    def flush(self) -> None:
        for inflow in self.inflows.values():
            inflow.let_go()

    def end(self, code: int) -> None:
        self.flush()
        super().end(code)

    def close(self) -> None:
        if self.pipes:
            self.flush()
            for ends in self.pipes.values():
                for end in ends:
                    os.close(end)
            self.pipes.clear()
            self.inflows.clear()
        super().close()
