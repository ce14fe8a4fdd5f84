"""What one container asks of the resolver is answered, and costs the others, and the supervisor, nothing."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from orchestra.places import Home
from orchestra.plan.wiring import Router, Uplink
from orchestra.supervisor import dns_connections, names, upstream
from orchestra.supervisor.book import empty_page
from orchestra.supervisor.dns_connections import MOST_AT_ONCE, MOST_OF_ONE
from orchestra.supervisor.journal import Journal
from orchestra.supervisor.names import Resolver
from orchestra.supervisor.world import World
from orchestra.values import replace

GREEDY, MODEST, GUEST = "127.0.0.2", "127.0.0.3", "127.0.0.4"
OUTER = "127.0.2.1"
UPLINK = Uplink("orc0", "169.254.128.0", "169.254.128.1")
OWN = "9.0.0.127.in-addr.arpa."
"""The name of an address that is the network's, so that nobody else is asked; nobody has it."""


class Asked:
    """A resolver of a network on the loopback, while it serves."""

    def __init__(self, resolver: Resolver, port: int) -> None:
        self.resolver = resolver
        self.port = port

    def while_it_serves(self, ask: Callable[[], None]) -> None:
        async def serve() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.resolver.serve)
                await anyio.to_thread.run_sync(ask)
                tasks.cancel_scope.cancel()

        anyio.run(serve)

    def connect(self, asker: str = MODEST) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10, (asker, 0))

    def over_udp(self, query: dns.message.Message, asker: str = MODEST) -> dns.message.Message:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(10)
            one.bind((asker, 0))
            one.sendto(query.to_wire(), ("127.0.0.1", self.port))
            return dns.message.from_wire(one.recv(65535))

    def over_tcp(self, query: dns.message.Message, asker: str = MODEST) -> dns.message.Message:
        with self.connect(asker) as connection:
            connection.sendall(framed(query))
            return answer_on(connection)


def resolver_of(tmp_path: Path, uplink: Uplink | None) -> Iterator[Asked]:
    places = Home.of({"ORCHESTRA_HOME": str(tmp_path)}, 0).stack("t")
    router = Router("0", "default", "", "127.0.0.0/24", "127.0.0.1", uplink)
    page = replace(empty_page(places), routers={"default": router}, guests={"default": {"guest": GUEST}})
    world = World(places, page, Journal())
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(tcp.getsockname())
        tcp.setblocking(False)
        udp.setblocking(False)
        yield Asked(Resolver(world, "default", udp, tcp), tcp.getsockname()[1])


@pytest.fixture
def resolver(tmp_path: Path) -> Iterator[Asked]:
    """Of a network with a way out."""
    yield from resolver_of(tmp_path, UPLINK)


@pytest.fixture
def internal(tmp_path: Path) -> Iterator[Asked]:
    yield from resolver_of(tmp_path, None)


class Outer:
    """The resolver of the machine: knows every name, over UDP only in part if it has `many` addresses."""

    def __init__(self) -> None:
        self.many = 1
        self.asked: list[tuple[str, int, int]] = []  # how, from which port, under which id
        self.before: Callable[[bytes], list[bytes]] = lambda answer: []  # what is sent in front of the answer
        self.let = threading.Event()  # cleared: answers wait
        self.let.set()
        self.tcp = socket.create_server((OUTER, 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(self.tcp.getsockname())
        self.port = self.tcp.getsockname()[1]
        for serve in (self._over_udp, self._over_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def _answer(self, data: bytes, how: str, port: int) -> dns.message.Message:
        query = dns.message.from_wire(data)
        self.asked.append((how, port, query.id))
        answer = dns.message.make_response(query)
        addresses = [f"192.0.2.{n + 1}" for n in range(self.many)]
        answer.answer.append(dns.rrset.from_text_list(query.question[0].name, 60, "IN", "A", addresses))
        return answer

    def _over_udp(self) -> None:
        with suppress(OSError):
            while True:
                data, who = self.udp.recvfrom(4096)
                if not data:
                    return  # it is closed
                threading.Thread(target=self._reply, args=(data, who), daemon=True).start()

    def _reply(self, data: bytes, who: tuple[str, int]) -> None:
        answer = self._answer(data, "udp", who[1])
        self.let.wait(20)
        if self.many > 20:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
        with suppress(OSError):
            for wire in [*self.before(answer.to_wire()), answer.to_wire()]:
                self.udp.sendto(wire, who)

    def _over_tcp(self) -> None:
        with suppress(OSError):
            while True:
                connection, who = self.tcp.accept()
                with connection:
                    (length,) = struct.unpack(">H", connection.recv(2, socket.MSG_WAITALL))
                    answer = self._answer(connection.recv(length, socket.MSG_WAITALL), "tcp", who[1])
                    connection.sendall(framed(answer))

    def close(self) -> None:
        for one in (self.udp, self.tcp):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def outer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outer]:
    with closing(Outer()) as one:
        monkeypatch.setattr(upstream, "PORT", one.port)
        monkeypatch.setattr(upstream, "host_resolvers", lambda: [OUTER])
        yield one


def framed(message: dns.message.Message) -> bytes:
    wire = message.to_wire()
    return struct.pack(">H", len(wire)) + wire


def answer_on(connection: socket.socket) -> dns.message.Message:
    length = connection.recv(2, socket.MSG_WAITALL)
    assert len(length) == 2, "it hung up"
    return dns.message.from_wire(connection.recv(struct.unpack(">H", length)[0], socket.MSG_WAITALL))


def no_error(answer: dns.message.Message) -> None:
    assert answer.rcode() == dns.rcode.NOERROR


def question(name: str = OWN, kind: str = "PTR", **options: int) -> dns.message.Message:
    return dns.message.make_query(name, kind, **options)


# Connections


def test_connections_of_one_container_are_bounded(resolver: Asked) -> None:
    """It holds some and is turned away with the rest, and another one is answered meanwhile."""
    before = len(os.listdir("/proc/self/fd"))

    def ask() -> None:
        with ExitStack() as open_:
            greedy = [open_.enter_context(resolver.connect(GREEDY)) for _ in range(3 * MOST_OF_ONE)]
            assert resolver.over_tcp(question()).rcode() == dns.rcode.NXDOMAIN
            for connection in greedy[MOST_OF_ONE:]:
                assert connection.recv(1) == b""
            assert len(os.listdir("/proc/self/fd")) - before < 5 * MOST_OF_ONE

    resolver.while_it_serves(ask)


def test_many_who_hold_connections_make_room_for_one_more(resolver: Asked) -> None:
    """The oldest connection of who has most of them is given up."""

    def ask() -> None:
        with ExitStack() as open_:
            for neighbour in range(MOST_AT_ONCE // MOST_OF_ONE):
                for _ in range(MOST_OF_ONE):
                    held = open_.enter_context(resolver.connect(f"127.0.1.{neighbour + 1}"))
                    held.sendall(framed(question()))
                    answer_on(held)  # it is one of those that are held by now
            assert resolver.over_tcp(question()).rcode() == dns.rcode.NXDOMAIN

    resolver.while_it_serves(ask)


def test_questions_share_a_connection(resolver: Asked, outer: Outer) -> None:
    """Sent at once or one after the other, for own names and for others, until the client has no more to ask; what
    takes longer does not hold up the rest (RFC 7766, 6.2)."""

    def ask() -> None:
        outer.let.clear()
        far, near = question("example.org", "A"), [question() for _ in range(5)]
        with resolver.connect() as connection:
            connection.sendall(b"".join(map(framed, [far, *near])))
            assert [answer_on(connection).id for _ in near] == [one.id for one in near]
            outer.let.set()
            assert answer_on(connection).id == far.id
            connection.sendall(framed(near[0]))
            assert answer_on(connection).id == near[0].id

    resolver.while_it_serves(ask)


def test_a_client_that_has_sent_all_is_still_answered(resolver: Asked, outer: Outer) -> None:
    """It shuts down its half and reads to the end."""

    def ask() -> None:
        far, near = question("example.org", "A"), question()
        with resolver.connect() as connection:
            connection.sendall(framed(far) + framed(near))
            connection.shutdown(socket.SHUT_WR)
            assert {answer_on(connection).id, answer_on(connection).id} == {far.id, near.id}
            assert connection.recv(1) == b""

    resolver.while_it_serves(ask)


def test_more_questions_than_are_passed_on_at_once_are_all_answered(resolver: Asked, outer: Outer) -> None:
    """The rest of them waits in the connection."""

    def ask() -> None:
        many = [question(f"n{number}.example.org", "A") for number in range(3 * MOST_OF_ONE)]
        with resolver.connect() as connection:
            connection.sendall(b"".join(map(framed, many)))
            answers = [answer_on(connection) for _ in many]
        assert {one.id for one in answers} == {one.id for one in many}
        assert {one.rcode() for one in answers} == {dns.rcode.NOERROR}

    resolver.while_it_serves(ask)


@pytest.mark.parametrize("sent", [b"", b"\0", b"\0\x20half"], ids=["nothing", "half a length", "half a question"])
def test_a_client_that_stops_is_let_go(resolver: Asked, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """And nobody waits for it."""
    monkeypatch.setattr(dns_connections, "IDLE", 0.3)

    def ask() -> None:
        with resolver.connect(GREEDY) as slow:
            slow.sendall(sent)
            assert resolver.over_tcp(question()).rcode() == dns.rcode.NXDOMAIN
            assert slow.recv(1) == b""

    resolver.while_it_serves(ask)


def test_a_client_that_does_not_read_is_let_go(resolver: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the kernel takes no more answers for it."""
    monkeypatch.setattr(dns_connections, "IDLE", 0.3)

    def ask() -> None:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.settimeout(20)
            deaf.bind((GREEDY, 0))
            deaf.connect(("127.0.0.1", resolver.port))
            with pytest.raises(ConnectionError):
                deaf.sendall(framed(question()) * 500_000)
        assert resolver.over_tcp(question()).rcode() == dns.rcode.NXDOMAIN

    resolver.while_it_serves(ask)


@pytest.mark.parametrize(("edns", "some"), [({}, 30), ({"use_edns": 0, "payload": 4096}, 74)], ids=["plain", "EDNS"])
def test_a_long_answer_is_cut_over_udp_and_whole_over_tcp(
    resolver: Asked, monkeypatch: pytest.MonkeyPatch, edns: dict[str, int], some: int
) -> None:
    """To what the asker takes, and to what passes without fragments; the flag says that there is more."""
    many = [f"127.0.1.{n + 1}" for n in range(100)]
    monkeypatch.setattr(names, "table_of", lambda *_: {"many": many})

    def ask() -> None:
        one = question("many", "A", **edns)
        short, whole = resolver.over_udp(one), resolver.over_tcp(one)
        assert len(short.answer[0]) == some
        assert short.flags & dns.flags.TC
        assert sorted(item.address for item in whole.answer[0]) == sorted(many)
        assert not whole.flags & dns.flags.TC
        with resolver.connect() as connection:
            connection.sendall(framed(question("many", "A")) + framed(question("many", "AAAA")))
            assert [sum(map(len, answer_on(connection).answer)) for _ in range(2)] == [100, 0]

    resolver.while_it_serves(ask)


def test_a_question_in_pieces_is_put_together(resolver: Asked) -> None:
    """As a slow but honest client sends it."""

    def ask() -> None:
        one = question()
        with resolver.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in framed(one):
                connection.sendall(bytes((byte,)))
            assert answer_on(connection).id == one.id

    resolver.while_it_serves(ask)


def test_what_is_no_question_is_answered_as_such_and_the_next_one_as_well(resolver: Asked) -> None:
    """A class that nobody has (RFC 1035, FORMERR); bytes that are nothing end the conversation."""

    def ask() -> None:
        chaos = dns.message.make_query("version.bind", "TXT", "CH")
        with resolver.connect() as connection:
            connection.sendall(framed(chaos) + framed(question()) + b"\0\1x")
            assert [answer_on(connection).rcode() for _ in range(2)] == [dns.rcode.FORMERR, dns.rcode.NXDOMAIN]
            assert connection.recv(1) == b""

    resolver.while_it_serves(ask)


# Outer resolvers


@pytest.mark.parametrize("edns", [{}, {"use_edns": 0, "payload": 4096}], ids=["plain", "EDNS"])
def test_a_long_answer_of_an_outer_resolver_arrives_whole_over_tcp(
    resolver: Asked, outer: Outer, edns: dict[str, int]
) -> None:
    """It is asked for over TCP where UDP has but a part of it; over UDP the asker learns that there is more."""
    outer.many = 200

    def ask() -> None:
        one = question("long.example.org", "A", **edns)
        short, whole = resolver.over_udp(one), resolver.over_tcp(one)
        assert one.is_response(short)
        assert one.is_response(whole)
        if not edns:
            assert short.flags & dns.flags.TC
        assert len(whole.answer[0]) == 200
        assert not whole.flags & dns.flags.TC

    resolver.while_it_serves(ask)
    assert {how for how, _, _ in outer.asked} == {"udp", "tcp"}


def test_questions_are_passed_on_under_ids_and_from_ports_that_change(resolver: Asked, outer: Outer) -> None:
    """Not the asker's id, which a container may choose, nor ones in a row."""

    def ask() -> None:
        for _ in range(40):
            assert resolver.over_udp(question("example.org", "A", id=7)).id == 7

    resolver.while_it_serves(ask)
    ports, ids = ([one[at] for one in outer.asked] for at in (1, 2))
    for numbers in (ports, ids):
        assert len(set(numbers)) > 30
        steps = {later - earlier for earlier, later in pairwise(numbers)}
        assert len(steps) > 30


def test_ids_come_from_the_kernel(resolver: Asked, outer: Outer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from a generator whose next number follows from those before."""
    monkeypatch.setattr(os, "urandom", lambda size: bytes(range(0xA0, 0xA0 + size)))
    resolver.while_it_serves(lambda: no_error(resolver.over_udp(question("example.org", "A"))))
    assert [ident for _, _, ident in outer.asked] == [0xA0A1]


def test_only_the_answer_to_the_question_is_passed_back(resolver: Asked, outer: Outer) -> None:
    """Others under another id, to another question, or that are none, are not heard (RFC 5452, 9.1)."""
    false = dns.message.make_response(question("false.example.org", "A")).to_wire()
    outer.before = lambda answer: [bytes((answer[0] ^ 1,)) + answer[1:], answer[:2] + false[2:], b"", answer[:11]]

    def ask() -> None:
        one = question("example.org", "A")
        answer = resolver.over_udp(one)
        assert one.is_response(answer)
        assert answer.answer[0][0].address == "192.0.2.1"

    resolver.while_it_serves(ask)


# Ways out

KINDS = ["A", "AAAA", "MX", "TXT", "SRV", "NS", "SOA", "CNAME", "PTR", "HTTPS", "ANY"]


def test_an_internal_network_asks_nobody_outside(internal: Asked, outer: Outer) -> None:
    """Whatever the question is, it is answered at once: the resolver of the machine would be a way out
    (CVE-2024-29018)."""

    def ask() -> None:
        for kind in KINDS:
            for way in (internal.over_udp, internal.over_tcp):
                assert way(question("stolen.example.org", kind)).rcode() == dns.rcode.NXDOMAIN
        assert internal.over_udp(question("1.2.0.192.in-addr.arpa", "PTR")).rcode() == dns.rcode.NXDOMAIN

    internal.while_it_serves(ask)
    assert outer.asked == []


def test_a_guest_has_no_way_out_by_its_hosts_network(resolver: Asked, outer: Outer) -> None:
    """A container of another stack goes out, and asks, by its own stack's networks, if those let it."""

    def ask() -> None:
        assert resolver.over_udp(question("stolen.example.org", "A"), GUEST).rcode() == dns.rcode.NXDOMAIN
        assert resolver.over_udp(question("example.org", "A"), MODEST).rcode() == dns.rcode.NOERROR

    resolver.while_it_serves(ask)
    assert len(outer.asked) == 1


def test_a_resolver_does_not_ask_itself(resolver: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the machine names it: the question would go round."""
    monkeypatch.setattr(upstream, "PORT", resolver.port)
    monkeypatch.setattr(upstream, "host_resolvers", lambda: ["127.0.0.1"])
    passed_on = []
    ask_others = upstream.ask

    async def ask_and_tell(servers: Sequence[upstream.Server], *rest: Any) -> bytes:
        passed_on.append(servers)
        return await ask_others(servers, *rest)

    monkeypatch.setattr(upstream, "ask", ask_and_tell)

    def ask() -> None:
        assert resolver.over_udp(question("example.org", "A")).rcode() == dns.rcode.SERVFAIL

    resolver.while_it_serves(ask)
    assert passed_on == [[]]
