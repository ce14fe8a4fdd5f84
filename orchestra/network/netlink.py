"""One AF_NETLINK socket: many requests in one write, the answers read at the end (netlink(7), RFC 3549).

Messages are encoded elsewhere; here they get their sequence numbers, and an errno becomes an error with a name.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
import struct
from typing import TYPE_CHECKING

from orchestra.errors import OrchestraError

from ..values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLM_F_EXCL, NLM_F_REPLACE, NLM_F_CREATE, NLM_F_APPEND = 0x200, 0x100, 0x400, 0x800
NLM_F_DUMP = 0x300

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id

_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_DUMP_INTR, _NLM_F_ACK_TLVS = 0x10, 0x200
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_ROOM = 1 << 24
_LONGEST = 1 << 16  # of an answer: a part of a dump has 32 KiB at the most (netlink_dump)
_ATTEMPTS = 20
_PATIENCE = 60.0  # the kernel has one lock for all links of all namespaces


@dataclass(frozen=True, slots=True)
class Request:
    """One encoded message; its sequence number is filled in when it is sent."""

    what: str  # for the error: "cannot <what>"
    message: bytes
    tolerate: tuple[int, ...] = ()


class Channel:
    """A netlink socket in the namespace of the thread that makes it. Not shared between threads."""

    __slots__ = ("_sequence", "_socket")

    def __init__(self, protocol: int) -> None:
        self._sequence = itertools.count(1)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(_PATIENCE)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        # A whole stack's requests go out in one write, and all are answered before the first answer is read.
        # Whoever may not have the room is told by the answer to the first request.
        with contextlib.suppress(PermissionError):
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _ROOM)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def perform(self, requests: Sequence[Request]) -> list[int]:
        """Carry out all requests; for each the errno, 0 or one that it tolerates. Any other is raised."""
        if not requests:
            return []
        base = next(self._sequence)
        self._sequence = itertools.count(base + len(requests))
        self._socket.send(b"".join(_numbered(r.message, base + i) for i, r in enumerate(requests)))
        answers: dict[int, tuple[int, str]] = {}
        expected = {base + i for i, r in enumerate(requests) if _flags(r.message) & NLM_F_ACK}
        # A transaction that fails as a whole is answered for its first message only, which asked for no answer.
        while expected - answers.keys() and not answers.keys() - expected:
            for kind, _, sequence, body in self._receive():
                if kind == _NLMSG_ERROR and base <= sequence < base + len(requests):
                    answers[sequence] = _refusal(body)
        return self._judge(requests, [answers.get(base + i, (0, "")) for i in range(len(requests))])

    @staticmethod
    def _judge(requests: Sequence[Request], answers: Sequence[tuple[int, str]]) -> list[int]:
        for request, (code, words) in zip(requests, answers, strict=True):
            if code and code not in request.tolerate:
                raise _error(request.what, code, words)
        return [code for code, _ in answers]

    def ask(self, request: Request) -> list[tuple[int, bytes]]:
        """The answers to a dump or a question: message type and whole message, header included."""
        for _ in range(_ATTEMPTS):
            sequence = next(self._sequence)
            self._socket.send(_numbered(request.message, sequence))
            answers, interrupted = self._collect(request, sequence)
            if not interrupted:
                return answers
        raise OrchestraError(f"cannot {request.what}: it keeps changing", "try again")

    def _collect(self, request: Request, sequence: int) -> tuple[list[tuple[int, bytes]], bool]:
        answers: list[tuple[int, bytes]] = []
        interrupted = False
        dump = _flags(request.message) & NLM_F_DUMP == NLM_F_DUMP
        while True:
            for kind, flags, number, message in self._receive():
                if number != sequence:
                    continue
                interrupted |= bool(flags & _NLM_F_DUMP_INTR)
                if kind == _NLMSG_DONE:
                    return answers, interrupted
                if kind == _NLMSG_ERROR:
                    code, words = _refusal(message)
                    if code in request.tolerate:
                        return [], False
                    raise _error(request.what, code, words)
                answers.append((kind, message))
                if not dump:
                    return answers, False

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        try:
            data = self._socket.recv(_LONGEST)
        except TimeoutError as silence:
            raise OrchestraError("cannot change the network: the kernel does not answer", "see dmesg") from silence
        offset = 0
        while offset + HEADER.size <= len(data):
            length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
            yield kind, flags, sequence, data[offset : offset + length]
            offset += (length + 3) & ~3


def _flags(message: bytes) -> int:
    flags: int = HEADER.unpack_from(message)[2]
    return flags


def _numbered(message: bytes, sequence: int) -> bytes:
    length, kind, flags, _, _ = HEADER.unpack_from(message)
    padding = -len(message) % 4
    return HEADER.pack(length, kind, flags | NLM_F_REQUEST, sequence, 0) + message[HEADER.size :] + bytes(padding)


def _refusal(message: bytes) -> tuple[int, str]:
    """errno and the kernel's words, if it has any (NLMSGERR_ATTR_MSG)."""
    code = -struct.unpack_from("=i", message, HEADER.size)[0]
    flags = _flags(message)
    offset = HEADER.size + 4 + HEADER.size  # the acknowledged message is cut to its header (NETLINK_CAP_ACK)
    while flags & _NLM_F_ACK_TLVS and offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if kind == 1:
            return code, message[offset + 4 : offset + length].rstrip(b"\0").decode("ascii", "replace")
        offset += max((length + 3) & ~3, 4)
    return code, ""


def _error(what: str, code: int, words: str) -> OrchestraError:
    hint = "run orchestra as root" if code == errno.EPERM else None
    return OrchestraError(f"cannot {what}: {os.strerror(code)}" + (f" ({words})" if words else ""), hint)
