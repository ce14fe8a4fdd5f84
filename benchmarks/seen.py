"""Looking from outside: no candidate's word is taken for what runs."""

from __future__ import annotations

import os
import subprocess
import sys

from .sandbox import Failed, Sandbox
from .stacks import MARK, PORT

# Asks as fast as it can until a server that was born after the given moment (CLOCK_MONOTONIC) answers.
ASK = """
import socket, sys, time
port, born_after = int(sys.argv[1]), float(sys.argv[2])
print("asking", flush=True)
while True:
    try:
        # In vain is soon: a first packet that nobody got would else be sent again only after a second.
        with socket.create_connection(("127.0.0.1", port), 0.1) as line:
            line.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            answer = b""
            while part := line.recv(4096):
                answer += part
        if answer.startswith(b"HTTP/1.0 200") and int(answer[-20:]) / 1e9 > born_after:
            break
    except OSError:
        pass
    time.sleep(0.001)
print(time.monotonic(), flush=True)
"""


def processes() -> list[int]:
    """The services' main processes, by their command lines."""
    found = []
    mark = f"\0{MARK}\0".encode()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as words:
                    line = words.read()
            except OSError:
                continue
            # An engine's own processes may carry the words of a service in their command line, further back.
            if line.startswith(b"/service\0") and line.endswith(mark):
                found.append(int(name))
    return found


class Watcher:
    """Somebody in the candidate's network who asks until a server answers that was born after `moment`."""

    def __init__(self, sandbox: Sandbox, moment: float) -> None:
        words = ["nsenter", f"--net=/proc/{sandbox.first}/ns/net", sys.executable, "-I", "-c", ASK]
        # Not in the candidate's cgroup: asking costs CPU that is not the candidate's.
        self._process = subprocess.Popen([*words, str(PORT), str(moment)], stdout=subprocess.PIPE, text=True)
        self.line()

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def answered(self, patience: float = 30.0) -> float:
        """When (CLOCK_MONOTONIC) the first 200 of such a server came."""
        try:
            said, _ = self._process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise Failed(f"no HTTP 200 after {patience:g} s") from None
        return float(said)
