"""`ensure_` may be said twice, mends what is broken, and `remove_router` removes whatever there is."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_world import MACHINE, NEIGHBOUR, World, links_inside, plug_of, published, run, small_world

from orchestra.errors import OrchestraError
from orchestra.network.inside import inside, is_pinned, unpin
from orchestra.network.links import host_subnets
from orchestra.network.plugs import ensure_plugs, unplug
from orchestra.network.routers import alive, ensure_router, remove_router, set_publications
from orchestra.plan.wiring import Plug, Router

pytestmark = pytest.mark.kernel


def inside_router(router: Router, *command: str) -> str:
    return run("nsenter", f"--net={router.pin}", *command)


def ports_of(plugs: Sequence[Plug]) -> list[tuple[str, str]]:
    return [(plug.router, plug.port) for plug in plugs]


def routes_inside(router: Router) -> str:
    return inside_router(router, "ip", "route").replace("linkdown ", "")


def link_of(router: Router) -> str:
    assert router.uplink is not None
    return router.uplink.link


def test_ensuring_twice_changes_nothing(world: World) -> None:
    """The second time the kernel's lists are as after the first, and the connections are not cut."""
    router = world.made(1)
    plugs = world.plugged(router, "cart", "orders")
    set_publications(router, [published(router, plugs[0], 8080, 80)])
    before = world.snapshot(), links_inside(router.pin), routes_inside(router)
    assert ensure_router(router) == []
    ensure_plugs(router, plugs)
    assert before == (world.snapshot(), links_inside(router.pin), routes_inside(router))


BREAKAGES: dict[str, Callable[[Router], object]] = {
    "uplink deleted": lambda router: run("ip", "link", "del", link_of(router)),
    "uplink down": lambda router: run("ip", "link", "set", link_of(router), "down"),
    "route deleted": lambda router: run("ip", "route", "del", router.subnet),
    "ruleset flushed": lambda router: run("nft", "flush", "ruleset"),
    "router's ruleset flushed": lambda router: inside_router(router, "nft", "flush", "ruleset"),
    "bridge deleted": lambda router: inside_router(router, "ip", "link", "del", "br0"),
    "router's end deleted": lambda router: inside_router(router, "ip", "link", "del", "up0"),
    "default route deleted": lambda router: inside_router(router, "ip", "route", "del", "default"),
    "namespace unpinned": lambda router: unpin(router.pin),
    "forwarding off": lambda router: run("sysctl", "-qw", "net.ipv4.ip_forward=0"),
    "forwarding off in the router": lambda router: inside_router(router, "sysctl", "-qw", "net.ipv4.ip_forward=0"),
    "firewall came later": lambda router: run(
        "nft",
        "add table inet later; add chain inet later passing { type filter hook forward priority 0; policy drop; }",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_what_somebody_broke_is_noticed_and_mended(world: World, breakage: str) -> None:
    """Egress and the published port work again after `ensure_router`, `ensure_plugs` and `set_publications`."""
    router = world.made(1)
    (web,) = plugs = world.plugged(router, "web")
    publications = [published(router, web, 8080, 80)]
    set_publications(router, publications)
    assert alive(router)
    BREAKAGES[breakage](router)
    assert not alive(router)
    ensure_router(router)
    ensure_plugs(router, plugs)
    set_publications(router, publications)
    assert alive(router)
    outside = world.listen(world.neighbour, "0.0.0.0", 443)
    assert world.call(web.net_pin, (NEIGHBOUR, 443), outside) == MACHINE
    server = world.listen(web.net_pin, "0.0.0.0", 80)
    assert world.call(world.neighbour, (MACHINE, 8080), server) == NEIGHBOUR
    world.call(None, ("127.0.0.1", 8080), server)
    if breakage == "firewall came later":
        remove_router(router)
        run("nft", "delete table inet later")


ROADS = st.lists(st.sampled_from([*BREAKAGES, "ensure", "plug in", "unplug", "remove"]), min_size=1, max_size=8)


@given(ROADS)
@settings(max_examples=12, deadline=None)
def test_every_road_leads_to_what_is_ensured(road: list[str]) -> None:
    """Whatever happened before, and in whatever order: ensured it works, removed it is gone."""
    with small_world() as world:
        router = world.router(1)
        plugs = [plug_of(router, world.container("web"), 2)]
        acts: dict[str, Callable[[Router], object]] = {
            **BREAKAGES,
            "ensure": ensure_router,
            "plug in": lambda router: ensure_plugs(router, plugs),
            "unplug": lambda _: unplug(ports_of(plugs)),
            "remove": remove_router,
        }
        for act in road:
            # What is not there cannot be broken, nor can anybody plug into it.
            with contextlib.suppress(subprocess.CalledProcessError, OrchestraError):
                acts[act](router)
        ensure_router(router)
        ensure_plugs(router, plugs)
        set_publications(router, [published(router, plugs[0], 8080, 80)])
        assert alive(router)
        world.call(None, ("127.0.0.1", 8080), world.listen(plugs[0].net_pin, "0.0.0.0", 80))
        remove_router(router)
        run("nft", "-f", "-", feed="table inet later\ndelete table inet later")


@pytest.mark.parametrize("broken", ["port", "interface", "address", "down", "route", "out of the bridge"])
def test_a_broken_plug_is_plugged_in_again(world: World, broken: str) -> None:
    """Whichever end or part is missing, and without a touch to the others."""
    router = world.made(1)
    web, other = world.plugged(router, "web", "other")
    there = links_inside(other.net_pin)
    in_web = f"nsenter --net={web.net_pin} "
    command = {
        "port": f"nsenter --net={router.pin} ip link del {web.port}",
        "interface": in_web + "ip link del eth0",
        "address": in_web + "ip address flush dev eth0",
        "down": in_web + "ip link set eth0 down",
        "route": in_web + "ip route del default",
        "out of the bridge": f"nsenter --net={router.pin} ip link set {web.port} nomaster",
    }[broken]
    run(*command.split())
    ensure_plugs(router, [web, other])
    server = world.listen(web.net_pin, "0.0.0.0", 80)
    assert world.call(other.net_pin, (web.address, 80), server) == other.address
    outside = world.listen(world.neighbour, "0.0.0.0", 443)
    assert world.call(web.net_pin, (NEIGHBOUR, 443), outside) == MACHINE
    assert links_inside(other.net_pin) == there


def test_a_container_moves_to_another_address_and_another_network(world: World) -> None:
    """What held the interface's or the port's name before gives way."""
    one, two = world.made(1), world.made(2)
    web, other = world.plugged(one, "web", "other")
    moved = plug_of(one, web.net_pin, 50)
    ensure_plugs(one, [moved])
    server = world.listen(web.net_pin, "0.0.0.0", 80)
    assert world.call(other.net_pin, (moved.address, 80), server) == other.address
    heir = plug_of(one, world.container("heir"), 50)
    ensure_plugs(one, [heir])
    server = world.listen(heir.net_pin, "0.0.0.0", 80)
    assert world.call(other.net_pin, (heir.address, 80), server) == other.address
    abroad = plug_of(two, other.net_pin, 2)
    ensure_plugs(two, [abroad])
    world.call(None, (abroad.address, 81), world.listen(other.net_pin, "0.0.0.0", 81))


def test_unplugging_takes_away_both_ends_and_may_be_said_twice(world: World) -> None:
    """Also when the router is gone."""
    router = world.made(1)
    plugs = world.plugged(router, "a", "b", "c")
    unplug(ports_of(plugs[:2]))
    unplug(ports_of(plugs[:2]))
    assert {name for _, name, _, _ in links_inside(router.pin)} == {"lo", "br0", "up0", plugs[2].port}
    assert {name for _, name, _, _ in links_inside(plugs[0].net_pin)} == {"lo"}
    remove_router(router)
    unplug(ports_of(plugs))


def test_removing_a_router_again_or_before_it_is_made_is_fine(world: World) -> None:
    """From nothing to nothing."""
    router = world.router(1)
    remove_router(router)
    ensure_router(router)
    remove_router(router)
    remove_router(router)
    assert not alive(router)


def test_a_stale_pin_is_replaced(world: World) -> None:
    """A plain file is what a reboot leaves of a pin."""
    router = world.router(1)
    Path(router.pin).touch()
    assert not alive(router)
    ensure_router(router)
    assert is_pinned(router.pin)
    remove_router(router)
    Path(router.pin).touch()
    remove_router(router)
    assert not Path(router.pin).exists()


def test_a_pin_mounted_twice_is_let_go_as_a_whole(world: World) -> None:
    """Nothing of the stack of mounts stays."""
    router = world.made(1)
    run("mount", "--bind", router.pin, router.pin)
    remove_router(router)
    assert not Path(router.pin).exists()


@pytest.mark.parametrize("part", ["link", "table", "pin"])
def test_partial_leftovers_are_removed(world: World, part: str) -> None:
    """Each part alone, as an interruption leaves it."""
    router = world.made(1)
    if part != "link":
        run("ip", "link", "del", link_of(router))
    if part != "table":
        run("nft", "delete", "table", "ip", f"orchestra-{router.id}")
    if part != "pin":
        unpin(router.pin)
    remove_router(router)


def test_the_hosts_subnets_are_told(world: World) -> None:
    """Routes, those of other tables included, and no default route."""
    run("ip", "route", "add", "10.213.7.0/24", "via", NEIGHBOUR)
    run("ip", "route", "add", "10.214.0.0/16", "via", NEIGHBOUR, "table", "77")
    run("ip", "route", "add", "default", "via", NEIGHBOUR)
    known = host_subnets()
    assert {"10.213.7.0/24", "10.214.0.0/16", "198.51.100.0/24", "127.0.0.0/8"} <= set(known)
    assert not any(subnet.startswith("0.0.0.0") for subnet in known)
    run("ip", "route", "del", "default")
    run("ip", "route", "del", "10.213.7.0/24")
    run("ip", "route", "del", "10.214.0.0/16", "table", "77")


def test_an_internal_network_publishes_nothing(world: World) -> None:
    """The error names port, service and network."""
    router = world.made(1, internal=True)
    (web,) = world.plugged(router, "web")
    set_publications(router, [])
    with pytest.raises(OrchestraError, match=r"port 8080 of test/web: network test_net1 is internal"):
        set_publications(router, [published(router, web, 8080, 80)])
    assert alive(router)


def test_a_missing_container_is_named(world: World) -> None:
    """The error starts with what could not be done and for whom."""
    router = world.made(1)
    plug = plug_of(router, world.container("gone"), 2)
    with pytest.raises(OrchestraError, match="cannot plug in absent"):
        ensure_plugs(router, [replace(plug, container="absent", net_pin=plug.net_pin + "-absent")])
    with pytest.raises(OrchestraError, match="make the link"):
        ensure_plugs(router, [replace(plug, net_pin=__file__)])
    with pytest.raises(OrchestraError, match="cannot enter the network namespace"):
        inside(__file__, lambda: None)


def test_threads_make_networks_side_by_side(world: World) -> None:
    """The supervisor calls from several worker threads at once."""
    routers = [world.router(number) for number in range(1, 7)]
    plugs = [plug_of(router, world.container(f"c{number}"), 2) for number, router in enumerate(routers)]
    failures: list[BaseException] = []

    def make(router: Router, number: int) -> None:
        try:
            ensure_router(router)
            ensure_plugs(router, [plugs[number]])
            set_publications(router, [published(router, plugs[number], 8000 + number, 80)])
        except BaseException as failure:  # noqa: BLE001 - told by the assertion below
            failures.append(failure)

    threads = [threading.Thread(target=make, args=(router, n)) for n, router in enumerate(routers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(alive(router) for router in routers)
    for number, plug in enumerate(plugs):
        world.call(None, ("127.0.0.1", 8000 + number), world.listen(plug.net_pin, "0.0.0.0", 80))


def test_a_network_takes_all_the_containers_and_ports_that_it_has_room_for(world: World) -> None:
    """250 plugs and 2000 ports are one batch each; the kernel answers all of it before anything is read."""
    router = world.made(1)
    plugs = world.plugged(router, *(f"c{number}" for number in range(2, 252)))
    first, last = plugs[0], plugs[-1]
    set_publications(router, [published(router, last, port, 80) for port in range(20000, 22000)])
    server = world.listen(last.net_pin, "0.0.0.0", 80)
    assert world.call(first.net_pin, (last.address, 80), server) == first.address
    world.call(None, ("127.0.0.1", 21999), server)
    unplug(ports_of(plugs))


def test_a_failure_inside_comes_back_to_the_caller(world: World) -> None:
    """And the calling thread is where it was."""
    router = world.made(1)
    with pytest.raises(OSError, match="Cannot assign"):
        inside(router.pin, lambda: socket.create_server(("203.0.113.77", 80)))
    socket.create_server((MACHINE, 9999)).close()
    with pytest.raises(OrchestraError, match="cannot enter the network namespace"):
        inside(router.pin + "-absent", lambda: None)
