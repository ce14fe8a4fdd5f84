"""What a rule of nftables is made of: each function gives one condition or one deed, and a rule is their sum.

A condition loads something into a register and compares it (nft's own words for it are beside, where they differ).
"""

from __future__ import annotations

import socket
import struct

from orchestra.network.attributes import attribute, number, text, tree

ACCEPT, DROP, JUMP = 1, 0, -3
IPV4 = 2  # NFPROTO_IPV4
_REG1, _REG2, _REG3, _REG32_00 = 1, 2, 3, 8
_EQUAL, _UNEQUAL, _NOT_MORE, _NOT_LESS = 0, 1, 3, 5
_PROTO_OFFSET = 1 << 5  # NF_NAT_RANGE_PROTO_OFFSET


def _expression(name: str, *data: bytes) -> bytes:
    return tree(1, text(1, name), tree(2, *data))


def _compare(operation: int, value: bytes) -> bytes:
    return _expression("cmp", number(1, _REG1), number(2, operation), tree(3, attribute(1, value)))


def _load_meta(key: int, register: int = _REG1) -> bytes:
    return _expression("meta", number(1, register), number(2, key))


def _load_payload(base: int, offset: int, length: int, register: int = _REG1) -> bytes:
    return _expression("payload", number(1, register), number(2, base), number(3, offset), number(4, length))


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


def destination_ports(protocol: str, first: int, last: int) -> bytes:
    """`th dport first-last`."""
    code = {"tcp": 6, "udp": 17}[protocol]
    is_protocol = _load_meta(16) + _compare(_EQUAL, bytes((code,)))
    load, low = _load_payload(2, 2, 2), first.to_bytes(2, "big")
    if first == last:
        return is_protocol + load + _compare(_EQUAL, low)
    return is_protocol + load + _compare(_NOT_LESS, low) + _compare(_NOT_MORE, last.to_bytes(2, "big"))


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


def translate_address_to(address: str) -> bytes:
    """`dnat to address`, the port as it is."""
    return _immediate(_REG1, socket.inet_aton(address)) + _expression(
        "nat", number(1, 1), number(2, IPV4), number(3, _REG1), number(4, _REG1)
    )


def translate_into(address: str, low: int, high: int) -> bytes:
    """To the port `low` + (the one that was called modulo the length of low-high): nf_nat_l4proto_unique_tuple with
    NF_NAT_RANGE_PROTO_OFFSET, for which nft has no words."""
    values = _immediate(_REG1, socket.inet_aton(address))
    values += _immediate(_REG2, low.to_bytes(2, "big")) + _immediate(_REG3, high.to_bytes(2, "big"))
    registers = (number(3, _REG1), number(4, _REG1), number(5, _REG2), number(6, _REG3), number(7, _PROTO_OFFSET))
    return values + _expression("nat", number(1, 1), number(2, IPV4), *registers)


def masquerade() -> bytes:
    return _expression("masq")


def refuse() -> bytes:
    """`reject with icmp type admin-prohibited`: whoever tries learns at once."""
    return _expression("reject", number(1, 0), attribute(2, b"\x0d"))


def carries(ethertype: int) -> bytes:
    """`meta protocol`; of a frame with a VLAN tag, what is behind it."""
    return _load_meta(1) + _compare(_EQUAL, ethertype.to_bytes(2, "big"))


FRAME_SENDER = (0, 6)
ARP_SENDER = (1, 8)
"""Where the address of hardware stands: base and offset of the payload."""
IP_SOURCE, ARP_SOURCE = 12, 14
"""Where the IPv4 address stands in the header behind that of the frame."""


def is_sent_by_one_of(names: str, hardware: tuple[int, int], ip: int) -> bytes:
    """`iifname . HARDWARE . IP @names`: link, address of hardware and IPv4 address are together in the set."""
    link, mac, address = _REG32_00, _REG32_00 + 4, _REG32_00 + 6
    load = _load_meta(6, link) + _load_payload(*hardware, 6, mac) + _load_payload(1, ip, 4, address)
    return load + _expression("lookup", text(1, names), number(2, link))


def sender(link: str, mac: str, ip: str) -> bytes:
    """An element of such a set: each part is padded to whole registers of four bytes."""
    return link.encode().ljust(16, b"\0") + bytes.fromhex(mac.replace(":", "")).ljust(8, b"\0") + socket.inet_aton(ip)


SENDER_LENGTH = 28
SENDER_TYPE = 41 << 12 | 9 << 6 | 7
"""ifname . ether_addr . ipv4_addr, by the numbers of nft (datatype.h)."""


def link_of(element: bytes) -> str:
    return element[:16].rstrip(b"\0").decode()
