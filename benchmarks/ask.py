"""`python -m benchmarks.ask PORT MOMENT`: prints when a server born after MOMENT (CLOCK_MONOTONIC) first answered.

It waits for a new process of the service before it asks: a packet to an address that nobody has yet makes the kernel
wait a second for ARP, which would not be the engine's fault.
"""

from __future__ import annotations

import os
import socket
import sys
import time

from .seen import is_service

PAUSE = 0.001


def new_process(old: set[str]) -> bool:
    return any(is_service(name) for name in set(os.listdir("/proc")) - old)


def born(port: int) -> float:
    """When the server that answers now was born; -1 when none does."""
    try:
        # In vain is soon: TCP sends a first packet that nobody got again only after a second.
        with socket.create_connection(("127.0.0.1", port), 0.1) as line:
            line.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while part := line.recv(4096):
                answer += part
    except OSError:
        return -1
    return int(answer[-20:]) / 1e9 if answer.startswith(b"HTTP/1.0 200") else -1


def main() -> None:
    port, moment = int(sys.argv[1]), float(sys.argv[2])
    old = set(os.listdir("/proc"))
    print("looking", flush=True)
    while not new_process(old):
        time.sleep(PAUSE)
    while born(port) <= moment:
        time.sleep(PAUSE)
    print(time.monotonic(), flush=True)


if __name__ == "__main__":
    main()
