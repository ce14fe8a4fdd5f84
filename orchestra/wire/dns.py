"""DNS messages (RFC 1035, EDNS by RFC 6891): a question's bytes in, an answer's bytes out. No sockets here.

Only what a resolver inside of a network asks is understood in full: one question of class IN. Whatever else comes
is a `BadQuery`, which knows what to answer; nothing else is ever raised for any bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ..values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

A, PTR, AAAA, OPT = 1, 12, 28, 41
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
TTL = 1  # seconds; who is replaced goes on listening for longer (plan/replacing, LINGER)
LARGEST = 65535  # over TCP
EDNS_SIZE = 1232  # passes every path without fragments (DNS flag day 2020)

_HEADER = struct.Struct(">6H")
_QR, _AA, _TC, _RD, _RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
_IN = 1
_SMALLEST = 512


class BadQuery(Exception):
    """Bytes that are not a question for us; `reply` is what to send back, None for silence."""

    def __init__(self, why: str, reply: bytes | None = None) -> None:
        super().__init__(why)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `name` is lowercase, without the root's dot; `question` the bytes as they were asked."""

    id: int
    recursion: bool
    name: str
    kind: int
    question: bytes
    edns: int | None  # how large an answer the asker can take, if it said so

    @property
    def limit(self) -> int:
        """How large an answer over UDP may be."""
        return _SMALLEST if self.edns is None else min(max(self.edns, _SMALLEST), EDNS_SIZE)


def parse(data: bytes) -> Query:
    if len(data) < _HEADER.size:
        raise BadQuery("shorter than a header")
    ident, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if flags & _QR:
        raise BadQuery("an answer, not a question")
    if flags & _OPCODE:
        raise BadQuery("not a standard query", _bare(ident, flags, NOTIMP))
    try:
        if (questions, answers, authorities) != (1, 0, 0):
            raise ValueError("not exactly one question")
        name, offset = _read_name(data, _HEADER.size)
        kind, family = struct.unpack_from(">HH", data, offset)
        if family != _IN:
            raise ValueError("not of class IN")
        question = data[_HEADER.size : offset + 4]
        edns = _read_edns(data, offset + 4, additional)
    except (ValueError, struct.error, IndexError) as broken:
        raise BadQuery(str(broken), _bare(ident, flags, FORMERR)) from broken
    return Query(ident, bool(flags & _RD), name, kind, question, edns)


def _read_name(data: bytes, offset: int) -> tuple[str, int]:
    labels = []
    start = offset
    while length := data[offset]:
        if length > 63:
            raise ValueError("a compressed name in a question")
        label = data[offset + 1 : offset + 1 + length]
        if len(label) < length or offset - start + length + 2 > 255:
            raise ValueError("a name that is cut or too long")
        # A dot within a label is no separator; written as its number it equals no name of ours.
        labels.append(label.decode("latin-1").lower().replace(".", "\\046"))
        offset += 1 + length
    return ".".join(labels), offset + 1


def _read_edns(data: bytes, offset: int, records: int) -> int | None:
    """The payload size of the OPT record, whose owner is the root; others (TSIG, say) are passed over."""
    for _ in range(records):
        _, offset = _read_name(data, offset)
        kind, size, _, length = struct.unpack_from(">HHIH", data, offset)
        offset += 10 + length
        if offset > len(data):
            raise ValueError("a record that is cut")
        if kind == OPT:
            return int(size)
    return None


def addresses(query: Query, found: Iterable[str], limit: int | None = None, ttl: int = TTL) -> bytes:
    """Addresses of a name that exists: A records for a question for A, an empty answer for any other kind."""
    records = [_record(A, _packed(address), ttl) for address in found] if query.kind == A else []
    return _answer(query, NOERROR, records, limit)


def pointer(query: Query, name: str, limit: int | None = None, ttl: int = TTL) -> bytes:
    """The name of an address, for a question for PTR."""
    records = [_record(PTR, _written(name), ttl)] if query.kind == PTR else []
    return _answer(query, NOERROR, records, limit)


def failure(query: Query, code: int) -> bytes:
    """NXDOMAIN, SERVFAIL or REFUSED."""
    return _answer(query, code, [], None)


def fitting(query: Query, answer: bytes) -> bytes:
    """Somebody else's answer, as it may go over UDP: one that is longer than the asker takes is to be asked for
    over TCP (RFC 2181, 9)."""
    if len(answer) <= max(query.edns or 0, _SMALLEST):
        return answer
    (flags,) = struct.unpack_from(">H", answer, 2)
    return _HEADER.pack(query.id, flags | _TC, 1, 0, 0, 0) + query.question


def _answer(query: Query, code: int, records: Sequence[bytes], limit: int | None) -> bytes:
    """As many records as fit; whoever misses some asks again over TCP."""
    extra = b"" if query.edns is None else struct.pack(">BHHIH", 0, OPT, EDNS_SIZE, 0, 0)
    room = (query.limit if limit is None else limit) - _HEADER.size - len(query.question) - len(extra)
    taken = []
    for record in records:
        room -= len(record)
        if room < 0:
            break
        taken.append(record)
    flags = _QR | _AA | _RA | (_RD if query.recursion else 0) | code
    if len(taken) < len(records):
        flags |= _TC
    header = _HEADER.pack(query.id, flags, 1, len(taken), 0, 1 if extra else 0)
    return b"".join((header, query.question, *taken, extra))


def _record(kind: int, data: bytes, ttl: int) -> bytes:
    # 0xC00C points at the name in the question.
    return struct.pack(">HHHIH", 0xC000 | _HEADER.size, kind, _IN, ttl, len(data)) + data


def _packed(address: str) -> bytes:
    return bytes(int(part) for part in address.split("."))


def _written(name: str) -> bytes:
    labels = [label.encode("latin-1")[:63] for label in name.split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _bare(ident: int, flags: int, code: int) -> bytes:
    return _HEADER.pack(ident, _QR | (flags & (_OPCODE | _RD)) | code, 0, 0, 0, 0)


def with_id(message: bytes, ident: int) -> bytes:
    """The same message under another id, for passing a question on and its answer back."""
    return struct.pack(">H", ident) + message[2:]


def answers(message: bytes, ident: int, query: Query) -> bool:
    """Whether this is an answer to the question that was passed on under `ident` (RFC 5452, 9.1)."""
    if len(message) < _HEADER.size + len(query.question):
        return False
    number, flags, questions, *_ = _HEADER.unpack_from(message)
    asked = message[_HEADER.size : _HEADER.size + len(query.question)]
    return (number, questions) == (ident, 1) and bool(flags & _QR) and asked.lower() == query.question.lower()


def is_truncated(message: bytes) -> bool:
    """Of an answer: whether there is more of it over TCP."""
    return bool(int.from_bytes(message[2:4], "big") & _TC)
