"""Bandwidth is what was asked for, in both directions, with real TCP."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from network_world import World, links_inside, plug_of, run

from orchestra.network.plugs import ensure_guest, ensure_plugs, unplug
from orchestra.network.shaping import all_shaped, ensure_shapes, shapes
from orchestra.plan.wiring import Plug

pytestmark = pytest.mark.kernel

SETTLING = 0.7  # seconds in which what may pass at once has passed
MEASURED = 2.5  # seconds
VALVE = "e0ad50102"  # of the port of 10.213.1.2
LOOKS = 3
BRIEFLY = 0.3  # for what only has to be much more


def rate_of(world: World, sender: Plug, receiver: Plug, settling: float, measured: float) -> float:
    """Bits of payload a second that one TCP connection gets through."""
    server = world.listen(receiver.net_pin, receiver.address, 5001)
    client = world.open(sender.net_pin, socket.SOCK_STREAM)
    client.connect((receiver.address, 5001))
    served, _ = server.accept()
    over = threading.Event()

    def send() -> None:
        block = bytes(65536)
        while not over.is_set():
            try:
                client.sendall(block)
            except OSError:  # it waits for room, or is closed
                continue

    client.settimeout(0.2)
    sending = threading.Thread(target=send)
    sending.start()
    try:
        with served:
            begin = time.monotonic()
            while time.monotonic() < begin + settling:
                served.recv(1 << 20)
            begin, got = time.monotonic(), 0
            while (now := time.monotonic()) < begin + measured:
                got += len(served.recv(1 << 20))
    finally:
        over.set()
        sending.join()
        client.close()
        server.close()
    return got * 8 / (now - begin)


@pytest.mark.parametrize("asked", [4_000_000, 50_000_000], ids=["4mbit", "50mbit"])
@pytest.mark.parametrize("direction", ["ingress", "egress", "egress of a powerful one"])
def test_a_rate_holds_in_each_direction(world: World, direction: str, asked: int) -> None:
    """Within ten per cent of what was asked, while the other direction is free."""
    router = world.made(1)
    direction, _, powerful = direction.partition(" ")
    limited = replace(plug_of(router, world.container("cart"), 2), **{direction: asked, "powerful": bool(powerful)})
    other = plug_of(router, world.container("orders"), 3)
    ensure_plugs(router, [limited, other])
    sender, receiver = (other, limited) if direction == "ingress" else (limited, other)
    # On a busy machine a sender may not come to its turn in time; a rate that is wrong is wrong each time.
    rates = (rate_of(world, sender, receiver, SETTLING, MEASURED) for _ in range(LOOKS))
    assert any(rate == pytest.approx(asked, rel=0.1) for rate in rates)
    assert rate_of(world, receiver, sender, 0, BRIEFLY) > 4 * asked


@pytest.mark.parametrize("direction", ["ingress", "egress", "ingress of a powerful one", "egress of a powerful one"])
def test_a_rate_holds_for_all_networks_together(world: World, direction: str) -> None:
    """Two of its own and one by which it is shared, loaded at once: within ten per cent of what was asked."""
    asked = 20_000_000
    direction, _, powerful = direction.partition(" ")
    pin = world.container("cart")
    limit = {direction: asked, "powerful": bool(powerful)}
    pairs = []
    for number in (1, 2, 3):
        router = world.made(number)
        own = replace(plug_of(router, pin, 2), interface=f"eth{number - 1}", gateway=None, **limit)
        guest = replace(plug_of(router, pin, 2), interface="g0ad50302", gateway=None)
        other = plug_of(router, world.container(f"orders{number}"), 3)
        if number == 3:
            ensure_guest(router, guest)
            ensure_plugs(router, [other])
        else:
            ensure_plugs(router, [own, other])
        limited = guest if number == 3 else own
        pairs.append((other, limited) if direction == "ingress" else (limited, other))

    def together() -> float:
        with ThreadPoolExecutor(len(pairs)) as pool:
            return sum(pool.map(lambda pair: rate_of(world, *pair, SETTLING, MEASURED), pairs))

    assert any(together() == pytest.approx(asked, rel=0.1) for _ in range(LOOKS))


def test_a_plug_by_which_it_is_shared_follows(world: World) -> None:
    """Whether it comes before the limit or after it; without a limit it passes freely again."""
    one, two = world.made(1), world.made(2)
    own = plug_of(one, world.container("cart"), 2)
    limited = replace(own, egress=5_000_000)
    ensure_plugs(one, [own])
    guest = replace(plug_of(two, own.net_pin, 2), interface="g0ad50202", gateway=None)
    ensure_guest(two, guest)
    ensure_shapes([limited])
    assert all_shaped([limited])
    tc(own.net_pin, "filter", "del", "dev", guest.interface, "egress")
    assert not all_shaped([limited])
    ensure_guest(two, guest)
    assert all_shaped([limited])
    ensure_shapes([own], lift=True)
    assert "mirred" not in tc(own.net_pin, "filter", "show", "dev", guest.interface, "egress")
    server = world.listen(own.net_pin, own.address, 80)
    other = plug_of(one, world.container("orders"), 3)
    ensure_plugs(one, [other])
    assert world.call(other.net_pin, (own.address, 80), server) == other.address


def test_a_rate_changes_and_is_lifted_without_touching_the_link(world: World) -> None:
    """`lift` says that what has no rate is free; a lost bucket is noticed."""
    router = world.made(1)
    free = plug_of(router, world.container("cart"), 2)
    limited = replace(free, ingress=10_000_000, egress=5_000_000)
    ensure_plugs(router, [limited])
    assert shapes([limited]) == (10_000_000, 5_000_000)
    before = plugs_inside(free.net_pin)
    changed = replace(free, ingress=20_000_000)
    ensure_shapes([changed], lift=True)
    assert shapes([changed]) == (20_000_000, None)
    for taken in (
        ("qdisc", "del", "dev", "bucket-in", "root"),
        ("filter", "del", "dev", "eth0", "ingress"),
        ("qdisc", "del", "dev", "eth0", "clsact"),
    ):
        tc(free.net_pin, *taken)
        assert not all_shaped([changed])
        ensure_plugs(router, [changed])
        assert all_shaped([changed])
    run("nsenter", f"--net={free.net_pin}", "ip", "link", "del", "bucket-in")
    assert not all_shaped([changed])
    ensure_shapes([changed])
    assert all_shaped([changed])
    ensure_shapes([free], lift=True)
    ensure_shapes([free], lift=True)
    assert shapes([free]) == (None, None)
    assert links_inside(free.net_pin) == before


def test_who_has_rights_over_its_links_cannot_lift_its_egress(world: World) -> None:
    """What holds it at the other side goes with its plug, and is made again where somebody took it away."""
    router = world.made(1)
    limited = replace(plug_of(router, world.container("cart"), 2), egress=4_000_000, powerful=True)
    other = plug_of(router, world.container("orders"), 3)
    ensure_plugs(router, [limited, other])
    assert shapes([limited]) == (None, 4_000_000)
    run("nsenter", f"--net={limited.net_pin}", "ip", "link", "del", "bucket-out")
    tc(limited.net_pin, "qdisc", "del", "dev", "eth0", "clsact")
    assert rate_of(world, limited, other, SETTLING, BRIEFLY) < 8_000_000
    for taken in (("qdisc", "del", "dev", limited.port, "clsact"), ("qdisc", "del", "dev", VALVE, "root")):
        tc(router.pin, *taken)
        assert not all_shaped([limited])
        ensure_shapes([limited])
        assert all_shaped([limited])
    ensure_shapes([replace(limited, egress=None)], lift=True)
    assert VALVE not in names_inside(router.pin)
    ensure_shapes([limited])
    assert VALVE in names_inside(router.pin)
    unplug([(router.pin, limited.port)])
    assert names_inside(router.pin) == {"lo", "br0", "up0", other.port}


def tc(pin: str, *words: str) -> str:
    return run("nsenter", f"--net={pin}", "tc", *words)


def plugs_inside(pin: str) -> list[tuple[int, str, str, str]]:
    return [link for link in links_inside(pin) if not link[1].startswith("bucket-")]


def names_inside(pin: str) -> set[str]:
    return {link[1] for link in links_inside(pin)}
