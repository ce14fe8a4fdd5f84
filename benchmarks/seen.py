"""Looking from outside: no candidate's word is taken for what runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .sandbox import Failed, Sandbox
from .stacks import MARK, PORT

_LAST_WORD = f"\0{MARK}\0".encode()


def is_service(pid: str) -> bool:
    """A service's main process. An engine's own may carry a service's words too, but further back."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as words:
            line = words.read()
    except OSError:
        return False
    return line.startswith(b"/service\0") and line.endswith(_LAST_WORD)


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and is_service(name)]


class Watcher:
    """Somebody in the candidate's network who waits for an answer of a server that was born after `moment`."""

    def __init__(self, sandbox: Sandbox, moment: float) -> None:
        # Not in the candidate's cgroup: looking and asking cost CPU that is not the candidate's.
        enter = ["nsenter", f"--net=/proc/{sandbox.first}/ns/net", "--"]
        words = [*enter, sys.executable, "-m", "benchmarks.ask", str(PORT), str(moment)]
        here = Path(__file__).parent.parent
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=here)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def answered(self, patience: float = 30.0) -> float:
        """When (CLOCK_MONOTONIC) the answer came."""
        try:
            said, _ = self._process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise Failed(f"no HTTP 200 after {patience:g} s") from None
        return float(said)
