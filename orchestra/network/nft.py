"""nftables messages (linux/netfilter/nf_tables.h): tables, chains and rules as attribute trees.

pyroute2 has classes for these, but they hang on its sockets (35 ms to import, asyncio and ssl among it) and encode a
rule of four expressions in 0.3 ms; a tree of attributes is three lines of struct and 25 times as fast.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestra.network.attributes import attribute, attributes, body_of, each, label, number, text, tree
from orchestra.network.netlink import (
    HEADER,
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    Channel,
    Request,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

IPV4, INET, ANY = 2, 1, 0  # NFPROTO_*
FAMILIES = {IPV4: "ip", INET: "inet"}
PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)
ACCEPT, DROP, JUMP = 1, 0, -3

_BATCH_BEGIN, _BATCH_END, _SUBSYSTEM = 0x10, 0x11, 10
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN, _NEWRULE, _GETRULE, _DELRULE = 0, 1, 2, 3, 4, 6, 7, 8
_NETLINK_NETFILTER = 12  # socket has no name for it
_OWNER = 2
_REG1, _REG2 = 1, 2
_EQUAL, _UNEQUAL = 0, 1


def nfnetlink() -> Channel:
    return Channel(_NETLINK_NETFILTER)


# Expressions: what a rule is made of. Each is one element of NFTA_RULE_EXPRESSIONS.


def _expression(name: str, *data: bytes) -> bytes:
    return tree(1, text(1, name), tree(2, *data))


def _compare(operation: int, value: bytes) -> bytes:
    return _expression("cmp", number(1, _REG1), number(2, operation), tree(3, attribute(1, value)))


def _load_meta(key: int) -> bytes:
    return _expression("meta", number(1, _REG1), number(2, key))


def _load_payload(base: int, offset: int, length: int) -> bytes:
    return _expression("payload", number(1, _REG1), number(2, base), number(3, offset), number(4, length))


def _mask(mask: bytes) -> bytes:
    nothing = bytes(len(mask))
    return _expression(
        "bitwise",
        number(1, _REG1),
        number(2, _REG1),
        number(3, len(mask)),
        tree(4, attribute(1, mask)),
        tree(5, attribute(1, nothing)),
    )


def _immediate(register: int, value: bytes) -> bytes:
    return _expression("immediate", number(1, register), tree(2, attribute(1, value)))


def verdict(code: int, chain: str | None = None) -> bytes:
    where = text(2, chain) if chain else b""
    return _expression("immediate", number(1, 0), tree(2, tree(2, number(1, code), where)))


def _interface(key: int, name: str, wanted: bool) -> bytes:
    # Up to the end of the string, as iptables-nft writes it: it has to understand our rules in its chains.
    return _load_meta(key) + _compare(_EQUAL if wanted else _UNEQUAL, name.encode() + b"\0")


def comes_by(link: str, wanted: bool = True) -> bytes:
    return _interface(6, link, wanted)


def leaves_by(link: str, wanted: bool = True) -> bytes:
    return _interface(7, link, wanted)


def _in_subnet(offset: int, subnet: str, wanted: bool) -> bytes:
    network, _, prefix = subnet.partition("/")
    mask = ((1 << 32) - (1 << (32 - int(prefix or 32)))).to_bytes(4, "big")
    masked = b"" if mask == b"\xff" * 4 else _mask(mask)
    return _load_payload(1, offset, 4) + masked + _compare(_EQUAL if wanted else _UNEQUAL, socket.inet_aton(network))


def source(subnet: str, wanted: bool = True) -> bytes:
    return _in_subnet(12, subnet, wanted)


def destination(subnet: str, wanted: bool = True) -> bytes:
    return _in_subnet(16, subnet, wanted)


def destination_port(protocol: str, port: int) -> bytes:
    code = {"tcp": 6, "udp": 17}[protocol]
    is_protocol = _load_meta(16) + _compare(_EQUAL, bytes((code,)))
    return is_protocol + _load_payload(2, 2, 2) + _compare(_EQUAL, port.to_bytes(2, "big"))


def ping() -> bytes:
    return _load_meta(16) + _compare(_EQUAL, b"\x01") + _load_payload(2, 0, 1) + _compare(_EQUAL, b"\x08")


def to_this_machine() -> bytes:
    """`fib daddr type local`."""
    lookup = _expression("fib", number(1, _REG1), number(2, 3), number(3, 2))
    return lookup + _compare(_EQUAL, struct.pack("=I", 2))


def _conntrack(key: int, bits: int) -> bytes:
    load = _expression("ct", number(1, _REG1), number(2, key))
    return load + _mask(struct.pack("=I", bits)) + _compare(_UNEQUAL, bytes(4))


def answers() -> bytes:
    """`ct state established,related`."""
    return _conntrack(0, 2 | 4)


def translated() -> bytes:
    """`ct status dnat`."""
    return _conntrack(2, 1 << 5)


def one_in(count: int) -> bytes:
    """True for each count-th packet that asks (`numgen inc mod count 0`)."""
    draw = _expression("numgen", number(1, _REG1), number(2, count), number(3, 0), number(4, 0))
    return draw + _compare(_EQUAL, bytes(4))


def translate_to(address: str, port: int) -> bytes:
    """`dnat to address:port`."""
    values = _immediate(_REG1, socket.inet_aton(address)) + _immediate(_REG2, port.to_bytes(2, "big"))
    registers = (number(3, _REG1), number(4, _REG1), number(5, _REG2), number(6, _REG2))
    return values + _expression("nat", number(1, 1), number(2, IPV4), *registers)


def masquerade() -> bytes:
    return _expression("masq")


def refuse() -> bytes:
    """`reject with icmp type admin-prohibited`: whoever tries learns at once."""
    return _expression("reject", number(1, 0), attribute(2, b"\x0d"))


# Messages


def _message(kind: int, family: int, flags: int, body: bytes) -> bytes:
    whole = HEADER.size + 4 + len(body)
    return HEADER.pack(whole, _SUBSYSTEM << 8 | kind, flags, 0, 0) + bytes((family, 0, 0, 0)) + body


def _batch_edge(kind: int) -> Request:
    message = HEADER.pack(HEADER.size + 4, kind, 0, 0, 0) + struct.pack(">BBH", 0, 0, _SUBSYSTEM)
    return Request("change the firewall", message)


def commit(channel: Channel, requests: Sequence[Request]) -> None:
    """All of the requests or none."""
    if requests:
        channel.perform([_batch_edge(_BATCH_BEGIN), *requests, _batch_edge(_BATCH_END)])


def new_table(table: str) -> Request:
    message = _message(_NEWTABLE, IPV4, NLM_F_ACK | NLM_F_CREATE, text(1, table))
    return Request(f"make the nft table {table}", message)


def delete_table(table: str) -> Request:
    message = _message(_DELTABLE, IPV4, NLM_F_ACK, text(1, table))
    return Request(f"delete the nft table {table}", message)


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain hooks in: nat, filter; the number of the hook; a priority."""

    kind: str
    number: int
    priority: int


def new_chain(table: str, chain: str, hook: Hook | None = None) -> Request:
    body = text(1, table) + text(3, chain)
    if hook is not None:
        body += tree(4, number(1, hook.number), number(2, hook.priority)) + number(5, ACCEPT) + text(7, hook.kind)
    message = _message(_NEWCHAIN, IPV4, NLM_F_ACK | NLM_F_CREATE, body)
    return Request(f"make the chain {chain} of the nft table {table}", message)


def flush_chain(table: str, chain: str) -> Request:
    message = _message(_DELRULE, IPV4, NLM_F_ACK, text(1, table) + text(2, chain))
    return Request(f"empty the chain {chain} of the nft table {table}", message)


def add_rule(table: str, chain: str, expressions: bytes) -> Request:
    body = text(1, table) + text(2, chain) + tree(4, expressions)
    message = _message(_NEWRULE, IPV4, NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND, body)
    return Request(f"add a rule to {chain} of the nft table {table}", message)


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
    message = _message(_NEWRULE, chain.family, NLM_F_ACK | NLM_F_CREATE, body)
    return Request(f"let traffic through {chain.describe()}", message)


def delete_rule(chain: Chain, handle: bytes) -> Request:
    body = text(1, chain.table) + text(2, chain.name) + attribute(3, handle)
    return Request(f"take a rule from {chain.describe()}", _message(_DELRULE, chain.family, NLM_F_ACK, body))


def tables(channel: Channel) -> list[str]:
    """Names of all tables of the family ip."""
    return [name for family, name, _ in _tables(channel) if family == IPV4]


def owned_tables(channel: Channel) -> set[tuple[int, str]]:
    """Those that belong to a process (flags owner): nobody else may change them, root or not."""
    return {(family, name) for family, name, flags in _tables(channel) if flags & _OWNER}


def _tables(channel: Channel) -> Iterator[tuple[int, str, int]]:
    for answer in channel.ask(Request("read the nft tables", _message(_GETTABLE, ANY, NLM_F_DUMP, b""))):
        found = body_of(answer)
        yield answer[1][HEADER.size], label(found[1]), int.from_bytes(found.get(2, b""), "big")


def has_table(channel: Channel, table: str) -> bool:
    message = _message(_GETTABLE, IPV4, 0, text(1, table))
    return bool(channel.ask(Request(f"look for the nft table {table}", message, tolerate=(errno.ENOENT,))))


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
    message = _message(_GETRULE, chain.family, NLM_F_DUMP, body)
    question = Request(f"read the rules of {chain.describe()}", message, tolerate=(errno.ENOENT,))
    found = map(body_of, channel.ask(question))
    return [Rule(rule[3], rule.get(7, b""), tuple(_expressions(rule.get(4, b"")))) for rule in found]


def _expressions(elements: bytes) -> Iterator[tuple[str, dict[int, bytes]]]:
    for element in each(elements):
        expression = attributes(element)
        yield label(expression[1]), attributes(expression.get(2, b""))


def _comment(words: str) -> bytes:
    return struct.pack("BB", 0, len(words) + 1) + words.encode() + b"\0"
