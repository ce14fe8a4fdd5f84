"""nftables messages (linux/netfilter/nf_tables.h): tables, chains and rules as attribute trees, and what is there.

Encoded here as well, like the links: a tree of attributes is three lines of struct, and 25 times as fast as a library
of message classes.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from orchestra.network.attributes import attribute, attributes, body_of, each, label, message, number, text, tree
from orchestra.network.expressions import ACCEPT, DROP, IPV4
from orchestra.network.netlink import (
    HEADER,
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    Channel,
    Request,
)

from ..values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

INET, ANY, BRIDGE = 1, 0, 7  # NFPROTO_*
FAMILIES = {IPV4: "ip", INET: "inet", BRIDGE: "bridge"}
PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)

_BATCH_BEGIN, _BATCH_END, _SUBSYSTEM = 0x10, 0x11, 10
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN, _NEWRULE, _GETRULE, _DELRULE = 0, 1, 2, 3, 4, 6, 7, 8
_NEWSET, _NEWELEMENTS, _GETELEMENTS, _DELELEMENTS = 9, 12, 13, 14
_MOST_ELEMENTS = 1000  # of one message: the list is an attribute, which has 64 KiB at the most
_NETLINK_NETFILTER = 12  # socket has no name for it
_OWNER = 2


def nfnetlink() -> Channel:
    return Channel(_NETLINK_NETFILTER)


def _message(kind: int, family: int, flags: int, body: bytes) -> bytes:
    return message(_SUBSYSTEM, kind, family, flags, body)


def _batch_edge(kind: int) -> Request:
    encoded = HEADER.pack(HEADER.size + 4, kind, 0, 0, 0) + struct.pack(">BBH", 0, 0, _SUBSYSTEM)
    return Request("change the firewall", encoded)


def commit(channel: Channel, requests: Sequence[Request]) -> list[int]:
    """All of the requests or none; for each the errno, 0 or one that it tolerates."""
    if not requests:
        return []
    return channel.perform([_batch_edge(_BATCH_BEGIN), *requests, _batch_edge(_BATCH_END)])[1:-1]


def new_table(table: str, family: int = IPV4, tolerate: tuple[int, ...] = ()) -> Request:
    encoded = _message(_NEWTABLE, family, NLM_F_ACK | NLM_F_CREATE, text(1, table))
    return Request(f"make the nft table {table}", encoded, tolerate)


def delete_table(table: str) -> Request:
    encoded = _message(_DELTABLE, IPV4, NLM_F_ACK, text(1, table))
    return Request(f"delete the nft table {table}", encoded)


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain hooks in: nat, filter; the number of the hook; a priority; what becomes of the rest."""

    kind: str
    number: int
    priority: int
    policy: int = ACCEPT


def new_chain(table: str, chain: str, hook: Hook | None = None, family: int = IPV4) -> Request:
    body = text(1, table) + text(3, chain)
    if hook is not None:
        where = tree(4, number(1, hook.number), number(2, hook.priority))
        body += where + number(5, hook.policy) + text(7, hook.kind)
    encoded = _message(_NEWCHAIN, family, NLM_F_ACK | NLM_F_CREATE, body)
    return Request(f"make the chain {chain} of the nft table {table}", encoded)


def flush_chain(table: str, chain: str, family: int = IPV4) -> Request:
    encoded = _message(_DELRULE, family, NLM_F_ACK, text(1, table) + text(2, chain))
    return Request(f"empty the chain {chain} of the nft table {table}", encoded)


def add_rule(table: str, chain: str, expressions: bytes, family: int = IPV4) -> Request:
    body = text(1, table) + text(2, chain) + tree(4, expressions)
    encoded = _message(_NEWRULE, family, NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND, body)
    return Request(f"add a rule to {chain} of the nft table {table}", encoded)


@dataclass(frozen=True, slots=True)
class Chain:
    """A base chain as the kernel has it."""

    family: int
    table: str
    name: str
    hook: int
    policy: int

    def describe(self) -> str:
        return f"{FAMILIES.get(self.family, self.family)} {self.table} {self.name}"


def insert_rule(chain: Chain, expressions: bytes, comment: str) -> Request:
    """A rule at the top of somebody's chain, marked (as nft does) so that it is found again."""
    mark = attribute(7, _comment(comment))
    body = text(1, chain.table) + text(2, chain.name) + tree(4, expressions) + mark
    encoded = _message(_NEWRULE, chain.family, NLM_F_ACK | NLM_F_CREATE, body)
    return Request(f"let traffic through {chain.describe()}", encoded)


def delete_rule(chain: Chain, handle: bytes) -> Request:
    body = text(1, chain.table) + text(2, chain.name) + attribute(3, handle)
    return Request(f"take a rule from {chain.describe()}", _message(_DELRULE, chain.family, NLM_F_ACK, body))


def owned_tables(channel: Channel) -> set[tuple[int, str]]:
    """Those that belong to a process (flags owner): nobody else may change them, root or not."""
    return {(family, name) for family, name, flags in _tables(channel) if flags & _OWNER}


def _tables(channel: Channel) -> Iterator[tuple[int, str, int]]:
    for answer in channel.ask(Request("read the nft tables", _message(_GETTABLE, ANY, NLM_F_DUMP, b""))):
        found = body_of(answer)
        yield answer[1][HEADER.size], label(found[1]), int.from_bytes(found.get(2, b""), "big")


def has_table(channel: Channel, table: str) -> bool:
    encoded = _message(_GETTABLE, IPV4, 0, text(1, table))
    return bool(channel.ask(Request(f"look for the nft table {table}", encoded, tolerate=(errno.ENOENT,))))


def base_chains(channel: Channel) -> Iterable[Chain]:
    question = Request("read the nft chains", _message(_GETCHAIN, ANY, NLM_F_DUMP, b""))
    for answer in channel.ask(question):
        found = body_of(answer)
        if 4 in found:
            hook = int.from_bytes(attributes(found[4])[1], "big")
            policy = int.from_bytes(found.get(5, b"\1"), "big")
            yield Chain(answer[1][HEADER.size], label(found[1]), label(found[3]), hook, policy)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as the kernel has it: its handle, its comment with nft's wrapping, its expressions by name."""

    handle: bytes
    userdata: bytes
    expressions: tuple[tuple[str, dict[int, bytes]], ...]

    def is_marked(self, comment: str) -> bool:
        return self.userdata.startswith(_comment(comment))

    def refuses_everything(self) -> bool:
        """Whether it is nothing but a drop or a reject, in nft's or in iptables-nft's form."""
        telling = [expression for expression in self.expressions if expression[0] not in ("counter", "log")]
        if len(telling) != 1:
            return False
        name, data = telling[0]
        if name == "target":
            return label(data[1]) in ("DROP", "REJECT")
        return name == "reject" or (name == "immediate" and _verdict_of(data) == DROP)


def _verdict_of(immediate: dict[int, bytes]) -> int | None:
    code = attributes(attributes(immediate.get(2, b"")).get(2, b"")).get(1)
    return None if code is None else int.from_bytes(code, "big", signed=True)


def rules(channel: Channel, chain: Chain) -> list[Rule]:
    body = text(1, chain.table) + text(2, chain.name)
    encoded = _message(_GETRULE, chain.family, NLM_F_DUMP, body)
    question = Request(f"read the rules of {chain.describe()}", encoded, tolerate=(errno.ENOENT,))
    found = map(body_of, channel.ask(question))
    return [Rule(rule[3], rule.get(7, b""), tuple(_expressions(rule.get(4, b"")))) for rule in found]


def _expressions(elements: bytes) -> Iterator[tuple[str, dict[int, bytes]]]:
    for element in each(elements):
        expression = attributes(element)
        yield label(expression[1]), attributes(expression.get(2, b""))


def new_set(table: str, name: str, key_type: int, key_length: int, family: int = IPV4) -> Request:
    """`key_type` tells nft(8) how to print it."""
    body = text(1, table) + text(2, name) + number(3, 0) + number(4, key_type) + number(5, key_length)
    encoded = _message(_NEWSET, family, NLM_F_ACK | NLM_F_CREATE, body + number(10, 1))
    return Request(f"make the set {name} of the nft table {table}", encoded)


def add_elements(table: str, name: str, keys: Sequence[bytes], family: int = IPV4) -> list[Request]:
    return [
        Request(
            f"add to the set {name} of the nft table {table}",
            _message(_NEWELEMENTS, family, NLM_F_ACK | NLM_F_CREATE, body),
        )
        for body in _elements(table, name, keys)
    ]


def delete_elements(table: str, name: str, keys: Sequence[bytes], family: int = IPV4) -> list[Request]:
    """They have to be there."""
    return [
        Request(f"take from the set {name} of the nft table {table}", _message(_DELELEMENTS, family, NLM_F_ACK, body))
        for body in _elements(table, name, keys)
    ]


def _elements(table: str, name: str, keys: Sequence[bytes]) -> Iterator[bytes]:
    for at in range(0, len(keys), _MOST_ELEMENTS):
        listed = (tree(1, tree(1, attribute(1, key))) for key in keys[at : at + _MOST_ELEMENTS])
        yield text(1, table) + text(2, name) + tree(3, *listed)


def elements(channel: Channel, table: str, name: str, family: int = IPV4) -> list[bytes] | None:
    """Their keys; None where there is no such set."""
    encoded = _message(_GETELEMENTS, family, NLM_F_DUMP, text(1, table) + text(2, name))
    question = Request(f"read the set {name} of the nft table {table}", encoded, tolerate=(errno.ENOENT,))
    answers = channel.ask(question)
    if not answers:
        return None
    return [
        attributes(attributes(element)[1])[1] for answer in answers for element in each(body_of(answer).get(3, b""))
    ]


def _comment(words: str) -> bytes:
    return struct.pack("BB", 0, len(words) + 1) + words.encode() + b"\0"
