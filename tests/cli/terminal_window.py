"""A pseudo-terminal with a command on it: keys in, screen out."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time

DEADLINE = 20.0


class Window:
    def __init__(self, command: list[str], rows: int, columns: int) -> None:
        self.text = ""
        self.master, slave = os.openpty()
        self.resize(rows, columns)
        # setsid makes the terminal the controlling one without a fork in this process, which has threads.
        # Started below nohup, the tests ignore SIGHUP, and so would whatever they start.
        command = ["env", "--default-signal=HUP", "setsid", "--ctty", *command]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, wanted: str) -> str:
        """All that was shown, once it contains `wanted`."""
        end = time.monotonic() + DEADLINE
        while wanted not in self.text:
            left = end - time.monotonic()
            assert left > 0, f"{wanted!r} never came, but: {self.text!r}"
            if select.select([self.master], [], [], left)[0] and not self._read():
                assert wanted in self.text, f"ended without {wanted!r}: {self.text!r}"
        return self.text

    def end(self) -> int:
        """The exit status, after everything was read."""
        end = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            left = end - time.monotonic()
            assert left > 0, f"does not end: {self.text!r}"
            if select.select([self.master] if self.master >= 0 else [], [], [], min(left, 0.02))[0]:
                self._read()
        while self.master >= 0 and select.select([self.master], [], [], 0)[0] and self._read():
            pass
        return self.process.returncode

    def shut(self) -> None:
        """Close the window: the command gets SIGHUP, and EIO from then on."""
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.master >= 0:
            self.shut()

    def _read(self) -> bool:
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: the other side is closed
            return False
        self.text += data.decode(errors="replace")
        return bool(data)
