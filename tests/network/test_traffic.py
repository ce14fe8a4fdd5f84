"""Who reaches whom: containers, networks, the host, its neighbours."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from dataclasses import replace

import pytest
from network_world import BRIEFLY, MACHINE, NEIGHBOUR, World, plug_of, published, run

from orchestra.network.foreign import foreign_forward_policies
from orchestra.network.inside import inside, socket_in
from orchestra.network.plugs import ensure_plugs
from orchestra.network.routers import alive, allow_host, dns_sockets, ensure_router, remove_router, set_publications
from orchestra.plan.wiring import Plug, Router

pytestmark = pytest.mark.kernel

PROTOCOLS = pytest.mark.parametrize(
    ("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)], ids=["tcp", "udp"]
)


def test_containers_of_a_network_reach_each_other_directly(world: World) -> None:
    """The server sees the address of the client itself."""
    cart, orders = world.plugged(world.made(1), "cart", "orders")
    server = world.listen(orders.net_pin, "0.0.0.0", 8080)
    assert world.call(cart.net_pin, (orders.address, 8080), server) == cart.address


def test_a_namespace_of_another_user_is_plugged_in_like_any(world: World) -> None:
    """Sandboxes are network namespaces that belong to a user namespace."""
    router = world.made(1)
    (cart,) = world.plugged(router, "cart")
    boxed = plug_of(router, world.container_of_another_user("boxed"), 9)
    ensure_plugs(router, [boxed])
    server = world.listen(boxed.net_pin, "0.0.0.0", 8080)
    assert world.call(cart.net_pin, (boxed.address, 8080), server) == cart.address


def test_networks_do_not_reach_each_other(world: World) -> None:
    """Neither by the address of a container nor by that of the other gateway."""
    (cart,) = world.plugged(world.made(1), "cart")
    other = world.made(2)
    (secret,) = world.plugged(other, "secret")
    world.listen(secret.net_pin, "0.0.0.0", 8080)
    dns_udp, dns_tcp = dns_sockets(other)
    world.sockets += [dns_udp, dns_tcp]
    assert world.cannot_call(cart.net_pin, (secret.address, 8080))
    assert world.cannot_call(cart.net_pin, (other.gateway, 53))


def test_a_container_in_two_networks_reaches_both(world: World) -> None:
    """A second plug is eth1; only one of the two has the default route."""
    one, two = world.made(1), world.made(2)
    (cart,) = world.plugged(one, "cart")
    (orders,) = world.plugged(two, "orders")
    second = plug_of(two, cart.net_pin, 7, "eth1")
    ensure_plugs(two, [second])
    server = world.listen(orders.net_pin, "0.0.0.0", 8080)
    assert world.call(cart.net_pin, (orders.address, 8080), server) == second.address


def test_the_host_reaches_containers(world: World) -> None:
    """Processes of the machine itself may talk to any container by its address."""
    (web,) = world.plugged(world.made(1), "web")
    server = world.listen(web.net_pin, "0.0.0.0", 8080)
    world.call(None, (web.address, 8080), server)


def test_egress_goes_out_under_the_machines_address(world: World) -> None:
    """The neighbour has no route to the subnet, and needs none."""
    (web,) = world.plugged(world.made(1), "web")
    server = world.listen(world.neighbour, "0.0.0.0", 443)
    assert world.call(web.net_pin, (NEIGHBOUR, 443), server) == MACHINE
    datagrams = world.listen(world.neighbour, "0.0.0.0", 123, socket.SOCK_DGRAM)
    assert world.call(web.net_pin, (NEIGHBOUR, 123), datagrams) == MACHINE


FOREIGN_FIREWALLS = {
    # `iptables -P FORWARD DROP`, as dockerd and ufw do it
    "policy": "add table ip filter;add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }",
    "last rule drops": "add table inet mine; add chain inet mine last { type filter hook forward priority 0; };"
    "add rule inet mine last counter drop",
    # firewalld
    "last rule rejects": "add table inet firewalld; "
    "add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy accept; };"
    "add rule inet firewalld filter_FORWARD ct state { established, related } accept;"
    "add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited",
}


@pytest.mark.parametrize("firewall", FOREIGN_FIREWALLS)
def test_egress_and_ports_pass_a_foreign_firewall_that_drops(world: World, firewall: str) -> None:
    """The router says what it did, and the chain is as it was after the router is removed."""
    run("nft", FOREIGN_FIREWALLS[firewall])
    before = run("nft", "list", "ruleset")
    (chain,) = foreign_forward_policies()
    router = world.router(1)
    notices = ensure_router(router)
    assert any(chain in notice and router.label in notice for notice in notices)
    (web,) = world.plugged(router, "web")
    assert_traffic_passes(world, router, web)
    assert ensure_router(router) == []
    remove_router(router)
    assert run("nft", "list", "ruleset") == before
    run("nft", "flush", "ruleset")


LEGACY = (
    "-P FORWARD DROP",
    "-N mine",
    "-A mine -s 203.0.113.0/24 -j RETURN",
    "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -i other0 -g mine",
    "-A INPUT -p tcp --dport 99 -j mine",
    "-A OUTPUT -p udp --dport 99 -j REJECT",
)


@pytest.mark.parametrize("rules", [LEGACY, ("-A FORWARD -j REJECT",)], ids=["policy", "last rule rejects"])
def test_egress_and_ports_pass_a_firewall_of_iptables_legacy(world: World, rules: tuple[str, ...]) -> None:
    """Its rules, jumps and counters are as they were while the router is let through, and after it is removed."""
    try:
        for rule in rules:
            run("iptables-legacy", "-w", *rule.split())
    except subprocess.CalledProcessError as refusal:
        pytest.skip(f"this kernel has no iptables-legacy: {refusal.stderr}")
    world.cannot_call(world.neighbour, (MACHINE, 99))  # one rule has counted something
    before = run("iptables-legacy-save", "-c")
    assert foreign_forward_policies() == ["iptables-legacy filter FORWARD"]
    router = world.router(1)
    notices = ensure_router(router)
    assert any("iptables-legacy filter FORWARD" in notice and router.label in notice for notice in notices)
    (web,) = world.plugged(router, "web")
    assert [line for line in _without_comments(run("iptables-legacy-save", "-c")) if "orc" not in line] == (
        _without_comments(before)
    )
    assert_traffic_passes(world, router, web)
    assert ensure_router(router) == []
    run("iptables-legacy", "-w", "-D", "FORWARD", "-i", "orc0000000001", "-j", "ACCEPT")
    assert not alive(router)
    ensure_router(router)
    assert alive(router)
    remove_router(router)
    assert "orc" not in run("iptables-legacy-save")
    assert _without_comments(run("iptables-legacy-save")) == _without_comments(re.sub(r"(?m)^\[.*\] ", "", before))


def assert_traffic_passes(world: World, router: Router, web: Plug) -> None:
    """Out of a container, and into it by a published port."""
    server = world.listen(world.neighbour, "0.0.0.0", 443)
    assert world.call(web.net_pin, (NEIGHBOUR, 443), server) == MACHINE
    set_publications(router, [published(router, web, 8080, 80)])
    server = world.listen(web.net_pin, "0.0.0.0", 80)
    assert world.call(world.neighbour, (MACHINE, 8080), server) == NEIGHBOUR


def _without_comments(saved: str) -> list[str]:
    """Nor the counters of policies, which traffic of the test's own changes."""
    return [line.partition(" [")[0] for line in saved.splitlines() if line[0] != "#"]


def test_a_firewall_that_lets_traffic_pass_is_left_alone(world: World) -> None:
    """Neither its policy nor its last rule drops everything."""
    run("nft", "add table ip mine; add chain ip mine some { type filter hook forward priority 0; }")
    run("nft", "add rule ip mine some ip daddr 203.0.113.1 drop")
    before = run("nft", "list", "table", "ip", "mine")
    assert foreign_forward_policies() == []
    assert not [notice for notice in ensure_router(world.router(1)) if "firewall drops" in notice]
    assert run("nft", "list", "table", "ip", "mine") == before
    run("nft", "delete table ip mine")


def test_a_firewall_that_only_its_owner_may_change_is_told_of(world: World) -> None:
    """firewalld owns its table since 2.1; the person is told which link it has to let through."""
    with subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, text=True) as owner:
        assert owner.stdin is not None
        chain = "add chain inet owned everything { type filter hook forward priority 0; policy drop; }"
        print("add table inet owned { flags owner; }", chain, sep="\n", file=owner.stdin, flush=True)
        deadline = time.monotonic() + 5
        while not foreign_forward_policies():
            assert time.monotonic() < deadline
        router = world.router(1)
        for _ in range(2):
            assert any("orc0000000001" in notice and "owner" in notice for notice in ensure_router(router))
        assert alive(router)
        owner.stdin.close()


def test_an_internal_network_has_no_way_out(world: World) -> None:
    """No route, no uplink; inside it works."""
    one, other = world.plugged(world.made(1, internal=True), "one", "other")
    server = world.listen(other.net_pin, "0.0.0.0", 8080)
    world.call(one.net_pin, (other.address, 8080), server)
    world.listen(world.neighbour, "0.0.0.0", 443)
    assert world.cannot_call(one.net_pin, (NEIGHBOUR, 443))
    assert world.cannot_call(one.net_pin, (MACHINE, 443))


@PROTOCOLS
def test_a_published_port_is_reached_on_all_ways(world: World, protocol: str, kind: int) -> None:
    """At 127.0.0.1, at the machine's address, from a neighbour, and from containers by the machine's address."""
    router, other = world.made(1), world.made(2)
    web, client = world.plugged(router, "web", "client")
    (stranger,) = world.plugged(other, "stranger")
    set_publications(router, [published(router, web, 8080, 80, protocol=protocol)])
    server = world.listen(web.net_pin, "0.0.0.0", 80, kind)
    world.call(None, ("127.0.0.1", 8080), server)
    world.call(None, (MACHINE, 8080), server)
    assert world.call(world.neighbour, (MACHINE, 8080), server) == NEIGHBOUR
    world.call(client.net_pin, (MACHINE, 8080), server)
    world.call(web.net_pin, (MACHINE, 8080), server)
    world.call(stranger.net_pin, (MACHINE, 8080), server)


RANGES = {
    "the same": (10000, 10000, 10001),
    "all that there are": (1024, 1024, 64512),
    "upwards": (2000, 22001, 10000),
    "downwards": (30001, 20000, 10000),
    "downwards from low": (130, 3, 60001),
    "downwards from high": (50000, 49999, 15536),
}


@PROTOCOLS
@pytest.mark.parametrize("how", RANGES)
def test_a_long_range_is_led_port_by_port(world: World, how: str, protocol: str, kind: int) -> None:
    """Its ends and what is between, from here and from elsewhere, by a few rules."""
    first, target, count = RANGES[how]
    router = world.made(1)
    (web,) = world.plugged(router, "web")
    publication = replace(published(router, web, first, target, protocol=protocol), count=count)
    set_publications(router, [publication])
    assert run("nft", "list", "ruleset").count(f"{protocol} dport ") <= 10
    for nth in (0, 1, count // 2, count - 2, count - 1):
        server = world.listen(web.net_pin, "0.0.0.0", target + nth, kind)
        world.call(None, ("127.0.0.1", first + nth), server)
        assert world.call(world.neighbour, (MACHINE, first + nth), server) == NEIGHBOUR
    outside = [number for number in (first - 1, first + count) if number < 1 << 16]
    for number in outside if protocol == "tcp" else []:
        assert world.cannot_call(world.neighbour, (MACHINE, number))


def test_replicas_share_a_long_range(world: World) -> None:
    """Two replicas, six calls: three each, however the range is led."""
    router = world.made(1)
    replicas = world.plugged(router, "web1", "web2")
    for target in (2000, 2500):
        set_publications(router, [replace(published(router, web, 2000, target), count=1000) for web in replicas])
        servers = [world.listen(web.net_pin, "0.0.0.0", target + 7) for web in replicas]
        for _ in range(6):
            world.open(world.neighbour, socket.SOCK_STREAM).connect((MACHINE, 2007))
        assert [accepted_by(server) for server in servers] == [3, 3]


def test_a_udp_client_of_a_long_range_is_led_anew(world: World) -> None:
    """One that goes on sending when another container has taken over."""
    router = world.made(1)
    old, new = world.plugged(router, "old", "new")
    client = world.open(world.neighbour, socket.SOCK_DGRAM)
    client.connect((MACHINE, 5300))
    for web in (old, new):
        server = world.listen(web.net_pin, "0.0.0.0", 6300, socket.SOCK_DGRAM)
        set_publications(router, [replace(published(router, web, 5000, 6000, protocol="udp"), count=1000)])
        client.send(b"hello")
        assert server.recv(100) == b"hello"


def test_a_port_of_127_0_0_1_is_not_reached_from_elsewhere(world: World) -> None:
    """Neither by the machine's address nor by a neighbour or a container that routes 127.0.0.0/8 here."""
    router = world.made(1)
    web, client = world.plugged(router, "web", "client")
    set_publications(router, [published(router, web, 8080, 80, host_ip="127.0.0.1")])
    server = world.listen(web.net_pin, "0.0.0.0", 80)
    world.call(None, ("127.0.0.1", 8080), server)
    assert world.cannot_call(None, (MACHINE, 8080))
    assert world.cannot_call(world.neighbour, (MACHINE, 8080))
    assert world.cannot_call(client.net_pin, (MACHINE, 8080))


def test_route_localnet_exposes_nothing_of_the_hosts_loopback(world: World) -> None:
    """A packet for 127.0.0.1 that comes out of the uplink is dropped, although the uplink would route it."""
    router = world.made(1)
    assert router.uplink is not None
    world.listen(None, "127.0.0.1", 9000)
    for setting in ("all", "up0"):
        run("nsenter", f"--net={router.pin}", "sysctl", "-qw", f"net.ipv4.conf.{setting}.route_localnet=1")
    steal = f"ip route add 127.0.0.1/32 via {router.uplink.host_address} dev up0 table local"
    run("nsenter", f"--net={router.pin}", "ip", "route", "del", "127.0.0.0/8", "dev", "lo", "table", "local")
    run("nsenter", f"--net={router.pin}", "ip", "route", "del", "127.0.0.1", "dev", "lo", "table", "local")
    run("nsenter", f"--net={router.pin}", *steal.replace("table local", "").split())
    assert world.cannot_call(router.pin, ("127.0.0.1", 9000))
    rule = run("nft", "-a", "list", "chain", "ip", f"orchestra-{router.id}", "early").split(
        "127.0.0.0/8 drop # handle "
    )
    run("nft", "delete", "rule", "ip", f"orchestra-{router.id}", "early", "handle", rule[1].split()[0])
    run("nft", "flush", "chain", "ip", f"orchestra-{router.id}", "entering")
    assert not world.cannot_call(router.pin, ("127.0.0.1", 9000)), "the test has no teeth"


def test_a_port_of_one_address_is_published_there_only(world: World) -> None:
    """The machine's address, not loopback."""
    router = world.made(1)
    (web,) = world.plugged(router, "web")
    set_publications(router, [published(router, web, 8080, 80, host_ip=MACHINE)])
    server = world.listen(web.net_pin, "0.0.0.0", 80)
    assert world.call(world.neighbour, (MACHINE, 8080), server) == NEIGHBOUR
    assert world.cannot_call(None, ("127.0.0.1", 8080))


@pytest.mark.parametrize("without", ["nothing", "early", "passing"])
def test_a_neighbour_who_adds_a_route_reaches_only_what_is_published(world: World, without: str) -> None:
    """Docker let this pass until version 28. Two chains forbid it, each of them alone would do."""
    router = world.made(1)
    (web,) = world.plugged(router, "web")
    set_publications(router, [published(router, web, 8080, 80)])
    server = world.listen(web.net_pin, "0.0.0.0", 80)
    world.at_neighbour("ip", "route", "add", router.subnet, "via", MACHINE)
    flush(router, without)
    assert world.cannot_call(world.neighbour, (web.address, 80))
    assert world.call(world.neighbour, (MACHINE, 8080), server) == NEIGHBOUR


def flush(router: Router, chain: str) -> None:
    if chain != "nothing":
        run("nft", "flush", "chain", "ip", f"orchestra-{router.id}", chain)


def test_a_neighbour_cannot_pass_for_a_container(world: World) -> None:
    """A datagram under a container's address that comes from the network of the machine is not heard."""
    router = world.made(1)
    (web,) = world.plugged(router, "web")
    world.at_neighbour("ip", "address", "add", f"{web.address}/32", "dev", "lo")
    listener = world.listen(None, "0.0.0.0", 123, socket.SOCK_DGRAM)
    listener.settimeout(BRIEFLY)
    forger = world.open(world.neighbour, socket.SOCK_DGRAM)
    forger.bind((web.address, 0))
    forger.sendto(b"trust me", (MACHINE, 123))
    with pytest.raises(TimeoutError):
        listener.recv(100)
    flush(router, "early")
    forger.sendto(b"trust me", (MACHINE, 123))
    assert listener.recv(100) == b"trust me", "the test has no teeth"


def test_replicas_behind_one_port_are_taken_in_turn(world: World) -> None:
    """Three replicas, nine calls: three each."""
    router = world.made(1)
    replicas = world.plugged(router, "web1", "web2", "web3")
    set_publications(router, [published(router, web, 8080, 80) for web in replicas])
    servers = [world.listen(web.net_pin, "0.0.0.0", 80) for web in replicas]
    for _ in range(9):
        world.open(world.neighbour, socket.SOCK_STREAM).connect((MACHINE, 8080))
    assert [accepted_by(server) for server in servers] == [3, 3, 3]


def accepted_by(server: socket.socket) -> int:
    server.setblocking(False)
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_a_udp_client_that_keeps_sending_is_led_anew(world: World) -> None:
    """One that sent before the port was published, and again after another container took over."""
    router = world.made(1)
    old, new = world.plugged(router, "old", "new")
    servers = [world.listen(web.net_pin, "0.0.0.0", 53, socket.SOCK_DGRAM) for web in (old, new)]
    held = world.listen(None, "0.0.0.0", 5300, socket.SOCK_DGRAM)
    clients = [world.open(pin, socket.SOCK_DGRAM) for pin in (None, world.neighbour)]
    for client in clients:
        client.connect((MACHINE, 5300))
        client.send(b"early")
        assert held.recv(100) == b"early"
    for web, server in zip((old, new), servers, strict=True):
        set_publications(router, [published(router, web, 5300, 53, protocol="udp")])
        for client in clients:
            client.send(b"to " + web.container.encode())
            assert server.recv(100) == b"to " + web.container.encode()


def test_a_udp_client_of_elsewhere_is_left_alone(world: World) -> None:
    """A conversation with another machine's port of the same number goes on under its own address and port."""
    router = world.made(1)
    web, client = world.plugged(router, "web", "client")
    outside = world.listen(world.neighbour, "0.0.0.0", 5300, socket.SOCK_DGRAM)
    asking = world.open(client.net_pin, socket.SOCK_DGRAM)
    asking.sendto(b"one", (NEIGHBOUR, 5300))
    _, peer = outside.recvfrom(100)
    set_publications(router, [published(router, web, 5300, 53, protocol="udp")])
    outside.sendto(b"answer", peer)
    assert asking.recv(100) == b"answer"


def test_publications_are_replaced_as_a_whole(world: World) -> None:
    """What is not said again is not published any more."""
    router = world.made(1)
    (web,) = world.plugged(router, "web")
    server = world.listen(web.net_pin, "0.0.0.0", 80)
    set_publications(router, [published(router, web, 8080, 80), published(router, web, 8081, 80)])
    set_publications(router, [published(router, web, 8081, 80)])
    world.call(world.neighbour, (MACHINE, 8081), server)
    assert world.cannot_call(world.neighbour, (MACHINE, 8080))
    set_publications(router, [])
    assert world.cannot_call(world.neighbour, (MACHINE, 8081))


def test_a_container_does_not_reach_what_listens_on_the_host(world: World) -> None:
    """Unless it was allowed to, and then at the uplink's host address."""
    router = world.made(1)
    assert router.uplink is not None
    allowed, other = world.plugged(router, "allowed", "other")
    server = world.listen(None, "0.0.0.0", 5432)
    host = router.uplink.host_address
    for address in (host, MACHINE):
        assert world.cannot_call(allowed.net_pin, (address, 5432))
    allow_host(router, [allowed.address])
    assert world.call(allowed.net_pin, (host, 5432), server) == allowed.address
    assert world.cannot_call(other.net_pin, (host, 5432))
    allow_host(router, [])
    assert world.cannot_call(allowed.net_pin, (host, 5432))


@pytest.mark.parametrize("without", ["nothing", "early", "the router's filter"])
def test_a_forged_sender_does_not_get_out(world: World, without: str) -> None:
    """A container that takes a foreign address is heard by nobody: its router and the host's firewall see to it."""
    router = world.made(1)
    (web,) = world.plugged(router, "web")
    if without == "early":
        flush(router, "early")
    elif without != "nothing":
        run("nsenter", f"--net={router.pin}", "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
    run("nsenter", f"--net={web.net_pin}", "ip", "address", "add", "203.0.113.9/32", "dev", "eth0")
    listener = world.listen(world.neighbour, "0.0.0.0", 123, socket.SOCK_DGRAM)
    listener.settimeout(BRIEFLY)
    forger = world.open(web.net_pin, socket.SOCK_DGRAM)
    forger.bind(("203.0.113.9", 0))
    forger.sendto(b"it was not me", (NEIGHBOUR, 123))
    with pytest.raises(TimeoutError):
        listener.recv(100)


def test_the_gateway_and_the_host_answer_pings(world: World) -> None:
    """The first thing that a person tries."""
    router = world.made(1)
    assert router.uplink is not None
    (web,) = world.plugged(router, "web")
    echo = b"\x08\0" + (0xF7FE).to_bytes(2, "big") + b"\0\0\0\x01"
    for address in (router.gateway, router.uplink.host_address, NEIGHBOUR):
        with socket_in(web.net_pin, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as pinging:
            pinging.settimeout(5)
            pinging.sendto(echo, (address, 0))
            answer, sender = pinging.recvfrom(100)
            assert (answer[20], sender[0]) == (0, address)


def test_names_are_asked_at_the_gateway(world: World) -> None:
    """The sockets of `dns_sockets` answer to the containers of the network."""
    router = world.made(1)
    (web,) = world.plugged(router, "web")
    datagrams, streams = dns_sockets(router)
    world.sockets += [datagrams, streams]
    assert not datagrams.getblocking()
    assert not streams.getblocking()
    for server in (datagrams, streams):
        server.settimeout(5)
        assert world.call(web.net_pin, (router.gateway, 53), server) == web.address


def test_a_container_has_loopback_of_both_kinds_and_no_other_ipv6(world: World) -> None:
    """::1 works, eth0 has no link-local address."""
    (web,) = world.plugged(world.made(1), "web")
    inside(web.net_pin, lambda: socket.create_server(("::1", 8080), family=socket.AF_INET6).close())
    inside(web.net_pin, lambda: socket.create_server(("127.0.0.1", 8080)).close())
    assert "inet6" not in run("nsenter", f"--net={web.net_pin}", "ip", "address", "show", "eth0")
