"""One client of the keeper: frames in, frames out, descriptors beside them, never blocking, never without bound."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Sequence

from ..wire.frames import BadFrame, Reader, descriptors_of, encode
from .loop import IN, OUT, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

BLOCK = 1 << 16
MOST_UNREAD = 32 << 20
"""Bytes waiting for a client that does not read; beyond it the client is dropped."""
MOST_PER_SEND = 200
"""Descriptors beside one piece of bytes; the kernel takes 253 (SCM_MAX_FD)."""
MOST_UNCLAIMED = 64


def peer_uid(connected: socket.socket) -> int:
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


class Connection:
    """`on_message(connection, message, descriptors)`; the descriptors belong to who is called."""

    def __init__(
        self,
        loop: Loop,
        connected: socket.socket,
        on_message: Callable[[Connection, Message, list[int]], None],
        on_close: Callable[[Connection], None],
    ) -> None:
        self._loop = loop
        self._socket = connected
        self._on_message = on_message
        self._on_close = on_close
        self._reader = Reader()
        self._arrived: list[int] = []
        self._unsent: list[tuple[memoryview, list[int]]] = []
        self._unread = 0
        self.listens = False  # has asked for `children`: gets the events
        connected.setblocking(False)
        loop.watch(connected.fileno(), self._ready)

    @property
    def open(self) -> bool:
        return self._socket.fileno() >= 0

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Queue a message. The descriptors are duplicated: what the caller has stays the caller's.

        A client that cannot be told (no descriptor left to give, too much unread) is dropped.
        """
        if not self.open:
            return
        if descriptors:
            message = {**message, "fds": len(descriptors)}
        body = memoryview(encode(message))
        copies: list[int] = []
        try:
            copies.extend(map(os.dup, descriptors))
        except OSError:
            self._unsent.append((body, copies))
            self.close()
            return
        while len(copies) > MOST_PER_SEND:
            self._unsent.append((body[:1], copies[:MOST_PER_SEND]))
            body, copies = body[1:], copies[MOST_PER_SEND:]
        self._unsent.append((body, copies))
        self._unread += len(body)
        self._write()
        if self._unread > MOST_UNREAD:
            self.close()

    def close(self) -> None:
        if not self.open:
            return
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        for descriptor in self._arrived:
            os.close(descriptor)
        for _, descriptors in self._unsent:
            for descriptor in descriptors:
                os.close(descriptor)
        self._arrived.clear()
        self._unsent.clear()
        self._on_close(self)

    def _ready(self, events: int) -> None:
        if events & OUT:
            self._write()
        if self.open and events & ~OUT:
            self._read()

    def _write(self) -> None:
        try:
            while self._unsent:
                body, descriptors = self._unsent[0]
                sent = self._socket.sendmsg([body], _rights(descriptors), socket.MSG_NOSIGNAL)
                for descriptor in descriptors:
                    os.close(descriptor)
                self._unread -= sent
                if sent < len(body):
                    self._unsent[0] = (body[sent:], [])
                else:
                    del self._unsent[0]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._loop.change(self._socket.fileno(), IN | OUT if self._unsent else IN)

    def _read(self) -> None:
        try:
            data, descriptors, flags, _ = socket.recv_fds(
                self._socket, BLOCK, MOST_UNCLAIMED, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._arrived += descriptors
        # MSG_CTRUNC: descriptors got lost, and with them which one belongs to which message.
        if not data or flags & socket.MSG_CTRUNC or len(self._arrived) > MOST_UNCLAIMED:
            self.close()
            return
        try:
            for message in self._reader.feed(data):
                self._on_message(self, message, descriptors_of(message, self._arrived))
                if not self.open:
                    return
        except BadFrame:
            self.close()


def who_listens(directory: str, name: str) -> int:
    """The pid of who listens on a socket (SO_PEERCRED, unix(7)), 0 where nobody does."""
    try:
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.setblocking(False)
            asking.connect(f"/proc/self/fd/{folder}/{name}")
            return int(struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
    except OSError:
        return 0
    finally:
        os.close(folder)


def _rights(descriptors: list[int]) -> list[tuple[int, int, bytes]]:
    if not descriptors:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))]
