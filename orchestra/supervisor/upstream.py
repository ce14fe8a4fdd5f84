"""Questions that are passed on to outer resolvers.

Each goes from a socket of its own: from a port that the kernel picks at random, and that hears nobody but who was
asked; and under an id that nobody can foretell (RFC 5452, 9.2). What is too long for UDP is asked for over TCP.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import anyio
import anyio.to_thread

from ..errors import OrchestraError
from ..network.inside import inside
from ..values import dataclass
from ..wire import dns
from . import dns_stream

PORT = 53
PATIENCE = 3.0
"""Seconds that a resolver may take before the next one is asked."""


def host_resolvers() -> list[str]:
    """From the host's resolv.conf, read anew: a laptop changes its network (resolv.conf(5))."""
    try:
        with open("/etc/resolv.conf") as file:
            words = [line.split() for line in file]
    except OSError:
        return []
    return [line[1].partition("%")[0] for line in words if len(line) > 1 and line[0] == "nameserver"]


@dataclass(frozen=True, slots=True)
class Server:
    """A resolver, and the network namespace from which it is asked; "" is the host's."""

    address: str
    pin: str = ""


async def ask(servers: Sequence[Server], query: dns.Query, data: bytes) -> bytes:
    """The answer of the first that has one, to the question as it was asked in `data`; SERVFAIL of none."""
    part = None
    for server in servers:
        answer = await _ask_over_udp(server, query, data)
        if answer is not None and dns.is_truncated(answer):
            part = answer
            answer = await _ask_over_tcp(server, query, data)
        if answer is not None:
            return dns.with_id(answer, query.id)
    return dns.failure(query, dns.SERVFAIL) if part is None else dns.with_id(part, query.id)


async def _ask_over_udp(server: Server, query: dns.Query, data: bytes) -> bytes | None:
    try:
        with await _socket(server, socket.SOCK_DGRAM) as upstream, anyio.move_on_after(PATIENCE):
            upstream.connect((server.address, PORT))
            ident = _unpredictable()
            upstream.send(dns.with_id(data, ident))
            while True:
                await anyio.wait_readable(upstream)
                answer = upstream.recv(dns.LARGEST)
                if dns.answers(answer, ident, query):
                    return answer
    except (OSError, OrchestraError):
        return None
    return None


async def _ask_over_tcp(server: Server, query: dns.Query, data: bytes) -> bytes | None:
    try:
        with await _socket(server, socket.SOCK_STREAM) as upstream, anyio.move_on_after(PATIENCE):
            await _connect(upstream, server.address)
            ident = _unpredictable()
            await dns_stream.send(upstream, dns.with_id(data, ident))
            answer = await dns_stream.receive(upstream)
            return answer if dns.answers(answer, ident, query) else None
    except (OSError, EOFError, OrchestraError):
        return None
    return None


async def _connect(upstream: socket.socket, address: str) -> None:
    try:
        upstream.connect((address, PORT))
    except BlockingIOError:
        await anyio.wait_writable(upstream)
    if code := upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(code, os.strerror(code))


async def _socket(server: Server, kind: int) -> socket.socket:
    def made() -> socket.socket:
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        return socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    return await anyio.to_thread.run_sync(inside, server.pin, made) if server.pin else made()


def _unpredictable() -> int:
    return int.from_bytes(os.urandom(2), "big")
