"""The DNS codec, with dnspython as the other party."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.wire import dns as codec

LABELS = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=1, max_size=20)
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join)
ADDRESSES = st.lists(st.ip_addresses(v=4).map(str), max_size=30, unique=True)


def asked(name: str, kind: str = "A", **options: object) -> tuple[dns.message.Message, codec.Query]:
    message = dns.message.make_query(name, kind, **options)
    return message, codec.parse(message.to_wire())


@given(st.binary(max_size=600))
def test_any_bytes_are_a_query_or_a_bad_query(data: bytes) -> None:
    """Nothing but BadQuery ever comes out of bytes that somebody sent, and its reply is a message."""
    reply = None
    try:
        codec.parse(data)
    except codec.BadQuery as bad:
        reply = bad.reply
    assert reply is None or dns.message.from_wire(reply).rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP)


@given(NAMES, st.integers(0, 199), st.binary(min_size=1, max_size=8))
def test_a_damaged_query_is_a_query_or_a_bad_query(name: str, position: int, damage: bytes) -> None:
    """The same for messages that are nearly right, which reach further into the parser."""
    data = bytearray(dns.message.make_query(name, "A", use_edns=0).to_wire())
    at = position % len(data)
    data[at : at + len(damage)] = damage
    try:
        codec.parse(bytes(data))
    except codec.BadQuery:
        return


@given(NAMES, st.sampled_from(["A", "AAAA", "PTR", "MX"]), st.integers(0, 65535), st.booleans())
def test_a_question_is_read_as_it_was_asked(name: str, kind: str, ident: int, edns: bool) -> None:
    """Name in lowercase, type, id and the size that EDNS announces."""
    message, query = asked(name, kind, id=ident, **({"use_edns": 0, "payload": 4096} if edns else {}))
    assert (query.id, query.name, query.kind) == (ident, name.lower(), dns.rdatatype.from_text(kind))
    assert query.edns == (4096 if edns else None)
    assert query.recursion == bool(message.flags & dns.flags.RD)


@given(NAMES, ADDRESSES, st.integers(0, 2**31 - 1))
def test_addresses_arrive_as_they_were_given(name: str, addresses: list[str], ttl: int) -> None:
    """All of them, in their order, under the name as it was asked, with the TTL."""
    message, query = asked(name)
    answer = dns.message.from_wire(codec.addresses(query, addresses, codec.LARGEST, ttl))
    assert message.is_response(answer)
    assert answer.rcode() == dns.rcode.NOERROR
    assert {rrset.ttl for rrset in answer.answer} <= {ttl}
    assert [item.address for rrset in answer.answer for item in rrset] == addresses


@given(st.integers(1, 200), st.sampled_from([None, 512, 700, 1232, 9000]))
def test_an_answer_keeps_to_its_size_and_says_what_is_missing(count: int, edns: int | None) -> None:
    """An answer over UDP is never longer than the asker takes; what does not fit sets the TC flag."""
    _, query = asked("many.store", **({} if edns is None else {"use_edns": 0, "payload": edns}))
    wire = codec.addresses(query, [f"10.213.0.{n + 1}" for n in range(count)])
    answer = dns.message.from_wire(wire)
    got = sum(len(rrset) for rrset in answer.answer)
    assert len(wire) <= min(edns or 512, 1232)
    assert bool(answer.flags & dns.flags.TC) == (got < count)
    assert (answer.edns >= 0) == (edns is not None)


def test_ipv6_of_a_known_name_is_an_empty_answer() -> None:
    """Not NXDOMAIN: musl takes that for the name itself and forgets the IPv4 answer."""
    message, query = asked("web", "AAAA")
    answer = dns.message.from_wire(codec.addresses(query, ["10.213.0.2"]))
    assert message.is_response(answer)
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])


def test_an_address_leads_back_to_its_name() -> None:
    """A PTR answer, read by the reference."""
    message, query = asked(dns.reversename.from_address("10.213.0.2").to_text(), "PTR")
    assert query.name == "2.0.213.10.in-addr.arpa"
    answer = dns.message.from_wire(codec.pointer(query, "store-web-1.store"))
    assert message.is_response(answer)
    assert answer.answer[0][0].target.to_text() == "store-web-1.store."


@pytest.mark.parametrize("code", [codec.NXDOMAIN, codec.SERVFAIL, codec.REFUSED])
def test_a_failure_carries_its_code(code: int) -> None:
    """The codes have the numbers of RFC 1035."""
    message, query = asked("nobody")
    answer = dns.message.from_wire(codec.failure(query, code))
    assert message.is_response(answer)
    assert answer.rcode() == code


def test_a_dot_within_a_label_does_not_make_another_name() -> None:
    """`a.b` as one label is not the name a.b."""
    query = codec.parse(b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"\x03a.b\0" + b"\0\1\0\1")
    assert query.name == "a\\046b"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", None),
        (b"\0" * 11, None),
        (b"\0\1\x81\0\0\1" + bytes(6), None),
        (b"\0\1\x28\0\0\1" + bytes(6) + b"\0\0\1\0\1", dns.rcode.NOTIMP),
        (b"\0\1\1\0\0\2" + bytes(6) + b"\0\0\1\0\1" * 2, dns.rcode.FORMERR),
        (b"\0\1\1\0\0\1" + bytes(6) + b"\xc0\x0c\0\1\0\1", dns.rcode.FORMERR),
        (b"\0\1\1\0\0\1" + bytes(6) + b"\x01a\0\0\1\0\3", dns.rcode.FORMERR),
    ],
    ids=["empty", "short", "an answer", "an update", "two questions", "compressed", "chaos"],
)
def test_what_is_no_question_for_us_is_answered_as_such(data: bytes, code: int | None) -> None:
    """Silence for what is not a question at all, the right code for the rest."""
    with pytest.raises(codec.BadQuery) as bad:
        codec.parse(data)
    assert (bad.value.reply and dns.message.from_wire(bad.value.reply).rcode()) == code


def test_only_the_answer_to_our_question_counts() -> None:
    """Another id, another question or a question of its own is not an answer (RFC 5452)."""
    message, query = asked("example.org")
    passed_on = codec.with_id(message.to_wire(), 7)
    answer = dns.message.make_response(dns.message.from_wire(passed_on)).to_wire()
    assert codec.answers(answer, 7, query)
    assert not codec.answers(answer, 8, query)
    assert not codec.answers(passed_on, 7, query)
    assert not codec.answers(answer, 7, asked("example.net")[1])
    assert not codec.answers(b"", 7, query)
    assert not codec.answers(answer[:4] + b"\0\0" + answer[6:], 7, query)


@pytest.mark.parametrize(("edns", "length", "fits"), [(None, 512, True), (None, 513, False), (1400, 1400, True)])
def test_an_answer_of_somebody_else_is_cut_to_what_the_asker_takes(edns: int | None, length: int, fits: bool) -> None:
    """What is too long for its UDP is asked for over TCP."""
    message, query = asked("example.org", **({} if edns is None else {"use_edns": 0, "payload": edns}))
    answer = dns.message.make_response(message).to_wire()
    passed = codec.fitting(query, answer + bytes(length - len(answer)))
    assert (len(passed) == length) == fits
    assert codec.is_truncated(passed) != fits
    if not fits:
        assert message.is_response(dns.message.from_wire(passed))
