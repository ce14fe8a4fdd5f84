"""A quiet network for a browser: it drops what it is loading whenever a link of its network comes or goes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading

from orchestra.network.inside import inside, pin_new_namespace, unpin


class Room:
    """A network namespace with nothing in it but doors to ports of the machine's loopback."""

    def __init__(self, program: str) -> None:
        self.folder = tempfile.mkdtemp(prefix="ow-", dir="/tmp")
        self.pin = f"{self.folder}/net"
        pin_new_namespace(self.pin)
        subprocess.run(["nsenter", f"--net={self.pin}", "ip", "link", "set", "lo", "up"], check=True)
        self.program = f"{self.folder}/browser"
        with open(self.program, "w") as file:
            file.write(f'#!/bin/sh\nexec nsenter --net={self.pin} {program} "$@"\n')
        os.chmod(self.program, 0o755)
        self.doors: list[socket.socket] = []

    def open(self, port: int) -> None:
        """The same address leads, from within, to what listens there outside."""
        door = inside(self.pin, lambda: socket.create_server(("127.0.0.1", port)))
        self.doors.append(door)
        threading.Thread(target=self._let_in, args=(door, port), daemon=True).start()

    def _let_in(self, door: socket.socket, port: int) -> None:
        while True:
            try:
                guest, _ = door.accept()
            except OSError:  # closed
                return
            try:
                host = socket.create_connection(("127.0.0.1", port))
            except OSError:
                guest.close()
                continue
            for source, target in ((guest, host), (host, guest)):
                threading.Thread(target=_carry, args=(source, target), daemon=True).start()

    def close(self) -> None:
        for door in self.doors:
            door.shutdown(socket.SHUT_RDWR)
            door.close()
        unpin(self.pin)
        shutil.rmtree(self.folder)


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, target):
            each.close()
