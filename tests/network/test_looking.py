"""A look that cannot be taken tells nothing: for want of descriptors nobody calls what is there gone or damaged."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from network_world import MACHINE, World, plug_of, published, small_world
from scarce import free_descriptors

from orchestra.errors import OrchestraError, is_exhausted
from orchestra.network.counters import counters
from orchestra.network.incoming import incoming
from orchestra.network.plugs import ensure_plugs, is_plugged
from orchestra.network.routers import alive, set_publications
from orchestra.network.shaping import all_shaped
from orchestra.network.talking import talks

pytestmark = pytest.mark.kernel
MOST = 9
"""Descriptors that are free; with as many each of the looks can be taken."""


class Whole:
    """A network, and a container in it that is limited on both sides and has a connection."""

    def __init__(self, world: World) -> None:
        self.router = world.made(1)
        plug = plug_of(self.router, world.container_of_another_user("web"), 2)
        self.plug = replace(plug, ingress=80_000_000, egress=80_000_000, powerful=True)
        ensure_plugs(self.router, [self.plug])
        set_publications(self.router, [published(self.router, self.plug, 8080, 80)])
        server = world.listen(self.plug.net_pin, "0.0.0.0", 80)
        self.client = world.open(None, socket.SOCK_STREAM)
        self.client.connect((MACHINE, 8080))
        self.served, _ = server.accept()


@pytest.fixture(scope="module")
def whole() -> Iterator[Whole]:
    with small_world() as world:
        whole = Whole(world)
        yield whole
        whole.served.close()


LOOKS: dict[str, tuple[Callable[[Whole], object], object]] = {
    "network": (lambda it: alive(it.router), True),
    "plug": (lambda it: is_plugged(it.plug), True),
    "bandwidth": (lambda it: all_shaped([it.plug]), True),
    "connections": (lambda it: incoming(it.plug.net_pin), 1),
    "talks": (lambda it: [talk.open for talk in talks({"web": it.plug.net_pin})["web"]], [1]),
    "traffic": (lambda it: it.plug.port in counters([it.router.pin])[it.router.pin], True),
}


@pytest.mark.parametrize("look", LOOKS)
def test_what_is_there_is_seen_or_nothing_is_said(whole: Whole, look: str) -> None:
    take, right = LOOKS[look]
    for spare in range(MOST + 1):
        with free_descriptors(spare):
            try:
                found = take(whole)
            except (OSError, OrchestraError) as error:
                found = error
        if isinstance(found, Exception):
            assert is_exhausted(found), spare
        else:
            assert found == right, spare
    assert found == right, "the last look has enough of them"
