"""DNS messages on a stream: each with its length before it (RFC 1035, 4.2.2). Sockets are non-blocking."""

from __future__ import annotations

import socket
import struct

import anyio

_LENGTH = struct.Struct(">H")


async def receive(stream: socket.socket) -> bytes:
    """The next message. Raises EOFError where there is none, or not all of it, and OSError."""
    (length,) = _LENGTH.unpack(await _exactly(stream, _LENGTH.size))
    return await _exactly(stream, length)


async def send(stream: socket.socket, message: bytes) -> None:
    """Length and message in one, since not everybody reads on (RFC 7766, 8). Raises OSError."""
    rest = memoryview(_LENGTH.pack(len(message)) + message)
    while rest:
        await anyio.wait_writable(stream)
        try:
            rest = rest[stream.send(rest) :]
        except BlockingIOError:
            continue


async def _exactly(stream: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        await anyio.wait_readable(stream)
        try:
            part = stream.recv(length - len(data))
        except BlockingIOError:
            continue
        if not part:
            raise EOFError
        data += part
    return data
