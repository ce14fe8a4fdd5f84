"""What the relay carries is bounded: whoever says nothing makes way, and nobody is in everybody's way."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import anyio.to_thread
import pytest

from orchestra.supervisor import conversations
from orchestra.supervisor.ports import HeldPorts, Key
from orchestra.supervisor.relay import Relay

PATIENCE = 5.0
ONE: Key = ("::1", 1, "tcp")
OTHER: Key = ("::1", 2, "tcp")
DATAGRAMS: Key = ("::1", 3, "udp")


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, float], None]:
    def allow(conversations_of_one: int, quiet: float) -> None:
        soft = conversations_of_one * 2 * 2 * conversations.SHARE
        monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
        monkeypatch.setattr(conversations, "QUIET", quiet)

    return allow


@contextmanager
def echo() -> Iterator[tuple[int, int]]:
    """A container: its ports of TCP and UDP, where it says again what it hears; of TCP "…" after its caller's end."""

    def answer(client: socket.socket) -> None:
        with client:
            while heard := client.recv(100):
                client.sendall(heard)
            client.sendall(b"...")

    def serve() -> None:
        while True:
            try:
                client, _ = stream.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    def repeat() -> None:
        while True:
            heard, asker = datagrams.recvfrom(100)
            if heard == b"end":
                return
            datagrams.sendto(heard, asker)

    with socket.create_server(("127.0.0.1", 0)) as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        threads = [threading.Thread(target=each) for each in (serve, repeat)]
        for thread in threads:
            thread.start()
        try:
            yield stream.getsockname()[1], datagrams.getsockname()[1]
        finally:
            stream.shutdown(socket.SHUT_RDWR)
            with socket.socket(type=socket.SOCK_DGRAM) as last:
                last.sendto(b"end", datagrams.getsockname())
            for thread in threads:
                thread.join()


class Served:
    """Two ports of TCP and one of UDP, on ::1, that the relay serves."""

    def __init__(self) -> None:
        self.held = HeldPorts()
        self.told: list[str] = []
        self.places: dict[Key, tuple[str, int]] = {}
        self.clients: list[socket.socket] = []
        for key in (ONE, OTHER, DATAGRAMS):
            opened = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if key[2] == "tcp" else socket.SOCK_DGRAM)
            opened.setblocking(False)
            opened.bind(("::1", 0))
            if key[2] == "tcp":
                opened.listen(64)
            self.held.adopt(key, [opened])
            self.places[key] = opened.getsockname()[:2]

    def call(self, key: Key) -> socket.socket:
        client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if key[2] == "tcp" else socket.SOCK_DGRAM)
        client.settimeout(PATIENCE)
        client.connect(self.places[key])
        self.clients.append(client)
        return client


def is_served(client: socket.socket) -> bool:
    try:
        client.send(b"hello")
        return client.recv(100) == b"hello"
    except OSError:
        return False


async def served(client: socket.socket) -> bool:
    return await anyio.to_thread.run_sync(is_served, client)


@asynccontextmanager
async def serving(instead: tuple[str, int] | None = None) -> AsyncIterator[Served]:
    """By the echo, or by whoever listens there instead."""
    all_served = Served()
    with echo() as (stream, datagrams):

        def backends(key: Key) -> list[tuple[str, int]]:
            return [instead or ("127.0.0.1", stream if key[2] == "tcp" else datagrams)]

        async with anyio.create_task_group() as tasks:
            Relay(all_served.held, backends, tasks, all_served.told.append).look()
            try:
                with anyio.fail_after(60):
                    yield all_served
            finally:
                for client in all_served.clients:
                    client.close()
                await all_served.held.release([ONE, OTHER, DATAGRAMS])
                tasks.cancel_scope.cancel()


@pytest.mark.parametrize("key", [ONE, DATAGRAMS])
def test_the_one_that_has_been_silent_for_longest_makes_way(room: Callable[[int, float], None], key: Key) -> None:
    """As soon as there is no room for another one, however many come."""
    room(4, 0.0)

    async def many() -> None:
        async with serving() as all_served:
            first = all_served.call(key)
            assert await served(first)
            for _ in range(20):
                assert await served(first)
                assert await served(all_served.call(key))
            (told,) = all_served.told
            assert f"port {key[1]}/{key[2]} has 4 connections by IPv6" in told

    anyio.run(many)


@pytest.mark.parametrize("key", [ONE, DATAGRAMS])
def test_a_new_one_is_turned_away_where_all_others_speak(
    room: Callable[[int, float], None], key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are there go on, another port is served, and with room again a new one is."""
    room(4, 3600.0)

    async def full() -> None:
        async with serving() as all_served:
            there = [all_served.call(key) for _ in range(4)]
            for client in there:
                assert await served(client)
            late = all_served.call(key)
            late.settimeout(0.3)
            assert not await served(late)
            for client in [*there, all_served.call(OTHER)]:
                assert await served(client)
            monkeypatch.setattr(conversations, "QUIET", 0.0)
            assert await served(all_served.call(key))

    anyio.run(full)


def test_idle_clients_of_all_ports_together_leave_room(room: Callable[[int, float], None]) -> None:
    """Two ports that have all that there is between them: a third one is served as soon as somebody is silent."""
    room(4, 0.0)

    async def all_together() -> None:
        async with serving() as all_served:
            for key in (ONE, OTHER):
                for _ in range(4):
                    assert await served(all_served.call(key))
            assert await served(all_served.call(DATAGRAMS))

    anyio.run(all_together)


def test_who_has_gone_leaves_room(room: Callable[[int, float], None]) -> None:
    room(4, 3600.0)

    async def one_after_the_other() -> None:
        async with serving() as all_served:
            for _ in range(30):
                client = all_served.call(ONE)
                assert await served(client)
                client.close()
                await anyio.sleep(0.01)
            assert all_served.told == []

    anyio.run(one_after_the_other)


def test_what_is_half_closed_goes_on(room: Callable[[int, float], None]) -> None:
    """A client that has said everything still hears the rest."""
    room(4, 3600.0)

    async def half_closed() -> None:
        async with serving() as all_served:
            client = all_served.call(ONE)
            assert await served(client)
            client.shutdown(socket.SHUT_WR)
            assert await anyio.to_thread.run_sync(client.recv, 100) == b"..."

    anyio.run(half_closed)


def test_what_is_half_closed_ends_after_a_silence(
    room: Callable[[int, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that waits for a service which says nothing any more; one whose service may still speak goes on."""
    room(4, 3600.0)
    monkeypatch.setattr(conversations, "HALF_CLOSED", 0.1)

    async def silence() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            async with serving(mute.getsockname()) as all_served:
                waiting, patient = all_served.call(ONE), all_served.call(ONE)
                waiting.shutdown(socket.SHUT_WR)
                assert await anyio.to_thread.run_sync(waiting.recv, 100) == b""
                patient.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    await anyio.to_thread.run_sync(patient.recv, 100)

    anyio.run(silence)
