"""Nobody on a network sends under an address that is not its plug's, and everybody's own traffic passes."""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from network_world import BRIEFLY, PATIENCE, World, plug_of, run, small_world

from orchestra.network import antispoof
from orchestra.network.inside import socket_in
from orchestra.network.plugs import ensure_plugs, is_plugged, unplug
from orchestra.network.routers import alive, ensure_router
from orchestra.network.shaping import ensure_shapes
from orchestra.plan.wiring import Plug, Router

pytestmark = pytest.mark.kernel

EVERYBODY = b"\xff" * 6
FOREIGN = bytes.fromhex("0a0fdeadbeef")
SECRET = b"under a foreign address"
ARP, IPV4, IPV6 = b"\x08\x06", b"\x08\x00", b"\x86\xdd"


def hardware(plug: Plug) -> bytes:
    return bytes.fromhex(plug.mac.replace(":", ""))


def arp(frame: bytes, mac: bytes, ip: str, asked: str, operation: int = 1) -> bytes:
    """From `frame` to everybody, with the sender that it tells: RFC 826."""
    told = mac + socket.inet_aton(ip) + EVERYBODY + socket.inet_aton(asked)
    return EVERYBODY + frame + ARP + struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation) + told


def datagram(frame: bytes, source: str, to: bytes = EVERYBODY, tag: bytes = b"") -> bytes:
    """An IPv4 datagram to all hosts, UDP port 9."""
    udp = struct.pack(">HHHH", 9, 9, 8 + len(SECRET), 0) + SECRET
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
    addresses = socket.inet_aton(source) + socket.inet_aton("255.255.255.255")
    words = struct.unpack(">10H", head + addresses)
    total = sum(words)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return to + frame + tag + IPV4 + head[:10] + struct.pack(">H", checksum) + addresses + udp


Frames = Callable[[Plug, Plug, Router], bytes]
"""(who sends, a neighbour of it, their router) -> a frame"""
FORGED: dict[str, Frames] = {
    "ARP for a neighbour": lambda me, it, _: arp(hardware(me), hardware(me), it.address, it.address, 2),
    "ARP for the gateway": lambda me, _, router: arp(hardware(me), hardware(me), router.gateway, router.gateway),
    "ARP with another MAC within": lambda me, _, __: arp(hardware(me), FOREIGN, me.address, me.address),
    "ARP in a frame of a neighbour": lambda me, it, _: arp(hardware(it), hardware(me), me.address, me.address),
    "ARP with a VLAN tag": lambda me, it, _: (
        EVERYBODY + hardware(me) + b"\x81\x00\0\0" + arp(hardware(me), hardware(me), it.address, it.address)[12:]
    ),
    "ARP probe": lambda me, it, _: arp(hardware(me), hardware(me), "0.0.0.0", it.address),
    "IPv4 of a neighbour": lambda me, it, _: datagram(hardware(me), it.address),
    "IPv4 of nobody": lambda me, _, __: datagram(hardware(me), "192.0.2.1"),
    "IPv4 in a frame of a neighbour": lambda me, it, _: datagram(hardware(it), me.address),
    "IPv4 in a frame of the gateway": lambda me, _, router: datagram(gateway_mac(router), me.address),
    "IPv4 of a neighbour with a VLAN tag": lambda me, it, _: datagram(hardware(me), it.address, tag=b"\x81\x00\0\0"),
    "DHCP discover": lambda me, _, __: datagram(hardware(me), "0.0.0.0"),
    "IPv6": lambda me, _, __: EVERYBODY + hardware(me) + IPV6 + b"\x60" + bytes(39),
    "RARP": lambda me, _, __: EVERYBODY + hardware(me) + b"\x80\x35" + bytes(28),
    "LLC": lambda me, _, __: EVERYBODY + hardware(me) + b"\x00\x2e" + bytes(46),
}
FLOODS: dict[str, bytes] = {
    "to everybody": EVERYBODY,
    "to the bridge group": bytes.fromhex("0180c2000000"),
    "to slow protocols": bytes.fromhex("0180c2000002"),
    "to the nearest bridge": bytes.fromhex("0180c200000e"),
}


def gateway_mac(router: Router) -> bytes:
    (bridge,) = json.loads(inside_router(router, "ip", "-j", "link", "show", "br0"))
    return bytes.fromhex(bridge["address"].replace(":", ""))


def inside_router(router: Router, *command: str) -> str:
    return run("nsenter", f"--net={router.pin}", *command)


class Network:
    def __init__(self, world: World) -> None:
        self.world = world
        self.router = world.made(1)
        self.attacker, self.victim, self.client = world.plugged(self.router, "attacker", "victim", "client")
        self.wire = socket_in(self.attacker.net_pin, socket.AF_PACKET, socket.SOCK_RAW)
        self.wire.bind(("eth0", 0))
        self.tap = socket_in(self.client.net_pin, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.tap.bind(("eth0", 0))

    def arrives(self, frame: bytes, patience: float) -> bool:
        """Whether the client's link gets it; what came earlier does not count."""
        while select.select([self.tap], [], [], 0)[0]:
            self.tap.recv(2000)
        self.wire.send(frame)
        while select.select([self.tap], [], [], patience)[0]:
            if self.tap.recv(2000).endswith(frame[-20:]):
                return True
        return False

    def learnt(self) -> set[str]:
        """MACs that the bridge believes to be at the attacker's port, other than the port's own."""
        entries = json.loads(inside_router(self.router, "bridge", "-j", "fdb", "show", "br", "br0"))
        return {
            entry["mac"]
            for entry in entries
            if entry["ifname"] == self.attacker.port and entry.get("state") != "permanent"
        }

    def close(self) -> None:
        self.wire.close()
        self.tap.close()


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with small_world() as world:
        network = Network(world)
        yield network
        network.close()


@pytest.mark.parametrize("kind", FORGED)
def test_what_is_forged_gets_nowhere(network: Network, kind: str) -> None:
    frame = FORGED[kind](network.attacker, network.victim, network.router)
    assert not network.arrives(frame, BRIEFLY)
    assert network.learnt() <= {network.attacker.mac}


OWN: dict[str, Frames] = {
    "ARP": lambda me, it, _: arp(hardware(me), hardware(me), me.address, it.address),
    "gratuitous ARP": lambda me, _, __: arp(hardware(me), hardware(me), me.address, me.address, 2),
    "broadcast": lambda me, _, __: datagram(hardware(me), me.address),
    "multicast": lambda me, _, __: datagram(hardware(me), me.address, bytes.fromhex("01005e000001")),
}


@pytest.mark.parametrize("kind", OWN)
def test_what_is_its_own_passes(network: Network, kind: str) -> None:
    assert network.arrives(OWN[kind](network.attacker, network.victim, network.router), PATIENCE)


@pytest.mark.parametrize("where", FLOODS)
def test_the_bridge_learns_no_foreign_address(network: Network, where: str) -> None:
    """Neither a neighbour's, which would get that one's traffic, nor thousands that fill its table."""
    network.wire.send(datagram(hardware(network.victim), network.attacker.address, FLOODS[where]))
    for number in range(200):
        network.wire.send(datagram(struct.pack(">HI", 0x0A0F, number), network.attacker.address, FLOODS[where]))
    assert network.arrives(OWN["broadcast"](network.attacker, network.victim, network.router), PATIENCE)
    assert network.learnt() == {network.attacker.mac}


def test_a_neighbour_is_reached_while_somebody_claims_its_address(network: Network) -> None:
    server = network.world.listen(network.victim.net_pin, network.victim.address, 8000)
    for frame in ("ARP for a neighbour", "ARP in a frame of a neighbour", "IPv4 in a frame of a neighbour"):
        network.wire.send(FORGED[frame](network.attacker, network.victim, network.router))
        called = network.world.call(network.client.net_pin, (network.victim.address, 8000), server)
        assert called == network.client.address


def test_it_holds_behind_a_valve_too(world: World) -> None:
    """A frame that was led through a link of its own on the router's side comes back to the same check."""
    router = world.made(1)
    _, victim = world.plugged(router, "attacker", "victim")
    attacker = replace(plug_of(router, f"{world.folder}/attacker", 2), powerful=True, egress=80_000_000)
    ensure_shapes([attacker])
    with (
        socket_in(attacker.net_pin, socket.AF_PACKET, socket.SOCK_RAW) as wire,
        socket_in(victim.net_pin, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as tap,
    ):
        wire.bind(("eth0", 0))
        tap.bind(("eth0", 0))
        tap.settimeout(PATIENCE)
        wire.send(datagram(hardware(attacker), victim.address))
        wire.send(datagram(hardware(attacker), attacker.address))
        came = tap.recv(2000)
        while SECRET not in came:
            came = tap.recv(2000)
        assert came[26:30] == socket.inet_aton(attacker.address)


def test_who_gets_an_address_later_has_no_other_mac_than_its_own(world: World) -> None:
    router = world.made(1)
    (plug,) = world.plugged(router, "first")
    assert plug.mac in inside_router(router, "nft", "list", "table", "bridge", "orchestra")
    unplug([(router.pin, plug.port)])
    assert plug.mac not in inside_router(router, "nft", "list", "table", "bridge", "orchestra")
    again = replace(plug, mac="0a:0d:00:00:00:99")
    ensure_plugs(router, [again])
    (client,) = [plug_of(router, world.container("client"), 3)]
    ensure_plugs(router, [client])
    server = world.listen(again.net_pin, again.address, 8000)
    assert world.call(client.net_pin, (again.address, 8000), server) == client.address
    assert plug.mac not in inside_router(router, "nft", "list", "table", "bridge", "orchestra")


def test_a_kernel_that_cannot_is_told_and_all_the_rest_works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """CONFIG_NF_TABLES_BRIDGE is missing: a sentence about it, nothing to mend, and traffic."""
    monkeypatch.setattr(antispoof, "_has_family", lambda _: False)
    router = world.router(1)
    (notice,) = ensure_router(router)
    assert "test_net1" in notice
    assert "CONFIG_NF_TABLES_BRIDGE" in notice
    one, other = world.plugged(router, "one", "other")
    assert alive(router)
    assert is_plugged(one)
    server = world.listen(one.net_pin, one.address, 8000)
    assert world.call(other.net_pin, (one.address, 8000), server) == other.address


@pytest.mark.parametrize(
    "breakage", ["flush ruleset", "flush chain bridge orchestra senders", "flush set bridge orchestra plugs"]
)
@pytest.mark.parametrize("internal", [False, True])
def test_what_somebody_took_of_it_is_noticed(world: World, breakage: str, internal: bool) -> None:
    """That it is mended, tests/network/test_healing.py shows."""
    router = world.made(1, internal=internal)
    (plug,) = world.plugged(router, "web")
    assert alive(router)
    assert is_plugged(plug)
    inside_router(router, "nft", *breakage.split())
    assert not alive(router)
    assert is_plugged(plug) == (breakage != "flush set bridge orchestra plugs")
