"""What is outside of the machine: a network namespace behind a link, where a test may serve and ask."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .stage import until

ASK = """
import socket, sys
kind, address, port, wait = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as asker:
    asker.settimeout(wait)
    try:
        asker.connect((address, port))
        asker.send(b"hello")
        print(asker.recv(100).decode())
    except OSError as error:
        print("nobody:", error)
"""
SERVE = """
import socket, threading
name = socket.gethostname()
def tcp(port):
    server = socket.create_server(("", port))
    while True:
        client, who = server.accept()
        with client:
            client.recv(100)
            client.sendall(f"{name} {who[0]}".encode())
def udp(port):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", port))
    while True:
        _, who = server.recvfrom(100)
        server.sendto(f"{name} {who[0]}".encode(), who)
threading.Thread(target=udp, args=(5353,), daemon=True).start()
tcp(8000)
"""
BRIEFLY = "0.5"  # for what should not be answered


def asked(kind: str, address: str, port: int, wait: str = "5") -> list[str]:
    return [sys.executable, "-c", ASK, kind, address, str(port), wait]


def ask(kind: str, address: str, port: int, wait: str = "5") -> str:
    """What is answered to the machine itself."""
    return subprocess.run(asked(kind, address, port, wait), capture_output=True, text=True, check=True).stdout.strip()


class Outside:
    """One neighbour of the machine."""

    def __init__(self) -> None:
        number = os.getpid() % 60
        self.machine = f"203.0.113.{4 * number + 1}"
        self.address = f"203.0.113.{4 * number + 2}"
        self.link = f"ow{os.getpid()}"
        self.started: list[subprocess.Popen[bytes]] = []
        sleeper = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        self.started.append(sleeper)
        self.pid = sleeper.pid
        until(lambda: os.readlink(f"/proc/{self.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "it is outside")
        for command in (
            f"ip link add {self.link} type veth peer name lan netns {self.pid}",
            f"ip address add {self.machine}/30 dev {self.link}",
            f"ip link set {self.link} up",
        ):
            subprocess.run(command.split(), check=True)
        for command in (f"ip address add {self.address}/30 dev lan", "ip link set lan up", "ip link set lo up"):
            self.run(*command.split())

    def run(self, *command: str) -> str:
        words = ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def ask(self, kind: str, address: str, port: int, wait: str = "5") -> str:
        return self.run(*asked(kind, address, port, wait))

    def serve(self) -> None:
        """Tells everybody who asks where they seem to come from."""
        words = ["nsenter", f"--net=/proc/{self.pid}/ns/net", sys.executable, "-c", SERVE]
        self.started.append(subprocess.Popen(words))
        until(lambda: "nobody" not in self.ask("tcp", "127.0.0.1", 8000), "it serves")

    def close(self) -> None:
        subprocess.run(["ip", "link", "delete", self.link], check=False, capture_output=True)
        for process in reversed(self.started):
            process.kill()
            process.wait()


@contextmanager
def outside() -> Iterator[Outside]:
    made = Outside()
    try:
        yield made
    finally:
        made.close()
