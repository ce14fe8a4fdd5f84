"""A terminal with a command on it: keys in, screen out."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .stage import COMMAND, PATIENCE, Stage

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    def __init__(self, words: list[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.text = ""
        self.status: int | None = None
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
            os.execve(words[0], words, {**environ, "TERM": "xterm-256color"})

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    @property
    def plain(self) -> str:
        """What was written, without colours and movements."""
        return ESCAPES.sub("", self.text)

    def until(self, wanted: str, patience: float = PATIENCE) -> str:
        """All that was written, once it matches `wanted`."""
        end = time.monotonic() + patience
        while not re.search(wanted, self.plain):
            left = end - time.monotonic()
            assert left > 0, f"{wanted!r} never came, but: {self.plain}"
            if select.select([self.master], [], [], left)[0] and not self._read():
                assert re.search(wanted, self.plain), f"ended without {wanted!r}: {self.plain}"
        return self.plain

    def end(self, patience: float = PATIENCE) -> int:
        """The exit status, after everything was read."""
        end = time.monotonic() + patience
        while self.status is None:
            assert time.monotonic() < end, f"does not end: {self.plain}"
            if select.select([self.master], [], [], 0.02)[0]:
                self._read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        while select.select([self.master], [], [], 0)[0] and self._read():
            pass
        return self.status

    def close(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)

    def _read(self) -> bool:
        try:
            read = os.read(self.master, 65536)
        except OSError:  # EIO: the other side is closed
            return False
        self.text += read.decode(errors="replace")
        return bool(read)


@contextmanager
def at_terminal(stage: Stage, *words: str) -> Iterator[Terminal]:
    """Run a command of orchestra on a terminal."""
    terminal = Terminal([*COMMAND, *words], stage.work, stage.environ)
    try:
        yield terminal
    finally:
        terminal.close()
