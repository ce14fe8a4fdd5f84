"""Whose network a container is in, and what it is told of names there."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestra.errors import OrchestraError
from orchestra.places import Home
from orchestra.plan.facts import Seen
from orchestra.plan.wiring import Publication
from orchestra.stack.model import HostRoot, Service
from orchestra.supervisor import wiring
from orchestra.supervisor.book import empty_page
from orchestra.supervisor.journal import Journal
from orchestra.supervisor.world import World
from orchestra.values import replace

PLAIN = Service("plain", HostRoot(), "")


def service(name: str, mode: str = "") -> Service:
    return replace(PLAIN, name=name, network_mode=mode)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """With containers that share networks, one after the other."""
    places = Home.of({"ORCHESTRA_HOME": str(tmp_path)}, 0).stack("t")
    world = World(places, empty_page(places), Journal())
    modes = {"x": "", "y": "service:x", "host": "host", "h": "service:host", "a": "service:b", "b": "service:a"}
    for name, mode in modes.items():
        world.seen[f"t-{name}-1"] = Seen(service(name, mode), 1, made=True)
    return world


def test_a_network_is_shared_through_others(world: World) -> None:
    """To whose it is; the machine's has no pin."""
    assert wiring.net_pin(world, "t-z-1", service("z", "service:y")) == world.places.net_pin("t-x-1")
    assert wiring.net_pin(world, "t-z-1", service("z", "service:h")) == ""


@pytest.mark.parametrize("mode", ["service:a", "service:nobody"])
def test_a_network_that_is_nobodys_is_told(world: World, mode: str) -> None:
    """Nobody is there, or of a file before this one two point at each other."""
    with pytest.raises(OrchestraError, match="t-z-1 uses the network of"):
        wiring.net_pin(world, "t-z-1", service("z", mode))


def test_a_machine_that_knows_too_many_names_keeps_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of half the web in its /etc/hosts is not for a container's."""
    monkeypatch.setattr(wiring, "LARGEST", 5)
    hosts = wiring.files_of(world, "t-z-1", replace(service("z", "host"), hostname="z"))["hosts"]
    assert hosts == "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tz\n"


@pytest.mark.parametrize(("first", "count", "rivals"), [(80, 1, ["t-y-1"]), (70, 200, ["t-y-1"]), (81, 1, [])])
def test_whose_ports_meet_at_most_one_is_to_run(world: World, first: int, count: int, rivals: list[str]) -> None:
    """Also in a long range."""
    published = {"t-x-1": (first, count), "t-y-1": (80, 1), "t-host-1": (8000, 300)}
    ports = {
        name: (Publication(name, "", port, "tcp", "0123456789", "10.213.0.2", port, many),)
        for name, (port, many) in published.items()
    }
    world.page = replace(world.page, ports=ports)
    assert wiring.rivals(world, "t-x-1") == rivals
