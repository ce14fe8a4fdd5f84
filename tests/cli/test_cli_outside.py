"""`network` and `volume`: docker's words, columns, JSON and exit codes; no kernel is needed for what nobody uses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestra.places import Home
from orchestra.state.leases import leases

Run = Callable[..., Any]


def used_by(home: Home, stack: str, ident: str = "", volume: str = "") -> None:
    """As a supervisor does before it makes anything."""
    os.makedirs(home.stack(stack).run)
    with leases(home.leases) as held:
        if ident:
            held.addresses[ident] = {f"{stack}/{stack}-web-1": "10.213.0.5"}
        if volume:
            held.use_volumes(stack, {volume: [f"{stack}-web-1"]})


def test_a_network_is_made_listed_and_removed(orchestra: Run) -> None:
    """create prints the id, ls has docker's columns, rm prints what it was told."""
    made = orchestra("network", "create", "wide")
    assert made.status == 0
    listed = orchestra("network", "ls").out.splitlines()
    assert listed[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
    assert listed[1].split() == [made.out.strip(), "wide", "bridge", "local"]
    assert orchestra("network", "ls", "-q").out == made.out
    removed = orchestra("network", "rm", "wide")
    assert (removed.status, removed.out) == (0, "wide\n")
    assert orchestra("network", "ls", "-q").out == ""


def test_a_network_is_what_was_asked_for(orchestra: Run) -> None:
    """Subnet, gateway, internal, labels; in docker's keys."""
    words = ("--subnet", "10.77.0.0/24", "--gateway", "10.77.0.254", "--internal", "--label", "a=1", "--label", "b")
    assert orchestra("network", "create", *words, "wide").status == 0
    [about] = json.loads(orchestra("network", "inspect", "wide").out)
    assert about["IPAM"]["Config"] == [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.254"}]
    assert (about["Name"], about["Internal"], about["Labels"]) == ("wide", True, {"a": "1", "b": ""})
    assert (about["Driver"], about["Scope"], about["Containers"]) == ("bridge", "local", {})
    line = json.loads(orchestra("network", "ls", "--format", "json").out)
    assert (line["Name"], line["Internal"], line["Labels"]) == ("wide", "true", "a=1,b=")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("../x",), "is no name for a network"),
        (("wide",), "network wide exists already"),
        (("x", "--subnet", "10.77.0.0"), "give an IPv4 subnet, /29 or larger"),
        (("x", "--subnet", "10.77.0.5/24"), "is not a subnet"),
        (("x", "--subnet", "127.0.0.1/x"), "is not a subnet"),
        (("x", "--subnet", "10.78.0.0/24", "--gateway", "10.79.0.1"), "is outside of 10.78.0.0/24"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(orchestra: Run, words: tuple[str, ...], says: str) -> None:
    """With status 1, and nothing is made."""
    orchestra("network", "create", "wide")
    ran = orchestra("network", "create", *words)
    assert ran.status == 1
    assert says in ran.err
    assert len(orchestra("network", "ls", "-q").out.splitlines()) == 1


def test_a_subnet_of_another_network_is_refused(orchestra: Run) -> None:
    """Chosen or named."""
    orchestra("network", "create", "one", "--subnet", "10.77.0.0/24")
    assert "overlaps 10.77.0.0/24" in orchestra("network", "create", "two", "--subnet", "10.77.0.128/25").err


def test_what_is_used_is_not_removed(orchestra: Run, home: Home) -> None:
    """The user is named; the rest of what was asked for is done, and the status is 1."""
    ident = orchestra("network", "create", "used").out.strip()
    orchestra("network", "create", "free")
    used_by(home, "shop", ident)
    ran = orchestra("network", "rm", "used", "nowhere", "free")
    assert (ran.status, ran.out) == (1, "free\n")
    assert "cannot remove network used: it is used by shop" in ran.err
    assert "try: orchestra -p shop down" in ran.err
    assert "no such network: nowhere" in ran.err
    [about] = json.loads(orchestra("network", "inspect", "used").out)
    assert about["Containers"]["shop-web-1"]["IPv4Address"] == "10.213.0.5/24"


def test_a_user_that_is_no_more_keeps_nothing(orchestra: Run, home: Home) -> None:
    """A stack of which there is neither a book nor a run directory."""
    used_by(home, "shop", orchestra("network", "create", "wide").out.strip())
    os.rmdir(home.stack("shop").run)
    assert orchestra("network", "rm", "wide").status == 0


def test_force_forgives_what_is_not_there(orchestra: Run) -> None:
    """-f of docker."""
    assert orchestra("network", "rm", "nowhere").status == 1
    assert orchestra("network", "rm", "-f", "nowhere").status == 0
    assert orchestra("volume", "rm", "nowhere").status == 1
    assert orchestra("volume", "rm", "-f", "nowhere").status == 0


def test_prune_asks_and_takes_what_nobody_uses(process: Run, home: Home) -> None:
    """No answer is no."""
    ident = process("network", "create", "used").out.strip()
    process("network", "create", "free")
    used_by(home, "shop", ident, volume="kept")
    asked = process("network", "prune", stdin="")
    assert asked.out.startswith("WARNING! This will remove")
    assert len(process("network", "ls", "-q").out.splitlines()) == 2
    assert process("network", "prune", stdin="y\n").out.endswith("Deleted Networks:\nfree\n")
    assert process("network", "ls", "-q").out.strip() == ident
    for name in ("kept", "loose"):
        process("volume", "create", name)
    nameless = process("volume", "create").out.strip()
    assert process("volume", "prune", "-f").out.startswith(f"Deleted Volumes:\n{nameless}\n")
    assert process("volume", "prune", "-af").out.startswith("Deleted Volumes:\nloose\n")
    assert process("volume", "ls", "-q").out == "kept\n"


def test_a_volume_is_made_listed_and_removed(orchestra: Run) -> None:
    """create prints the name, again changes nothing; inspect has docker's keys."""
    assert orchestra("volume", "create", "media", "--label", "a=1").out == "media\n"
    assert orchestra("volume", "create", "media").status == 0
    assert orchestra("volume", "ls").out.split() == ["DRIVER", "VOLUME", "NAME", "local", "media"]
    [about] = json.loads(orchestra("volume", "inspect", "media").out)
    assert (about["Name"], about["Driver"], about["Labels"]) == ("media", "local", {"a": "1"})
    assert Path(about["Mountpoint"]).is_dir()
    assert json.loads(orchestra("volume", "ls", "--format", "json").out)["Mountpoint"] == about["Mountpoint"]
    assert orchestra("volume", "rm", "media").out == "media\n"
    assert not Path(about["Mountpoint"]).parent.exists()


def test_names_do_not_lead_out_of_the_folder(orchestra: Run, home: Home) -> None:
    """Neither to make nor to remove."""
    for name in ("../stacks", "..", "a/b", ""):
        assert orchestra("volume", "create", name or "-").status == 1
        assert orchestra("volume", "rm", name or "-").status == 1
    assert not os.path.exists(f"{home.data}/stacks/_data")


def test_filters_choose(orchestra: Run) -> None:
    """name, label, dangling; others are refused by name."""
    for name, label in (("one", "tier=front"), ("two", "tier=back")):
        orchestra("volume", "create", name, "--label", label)
        orchestra("network", "create", name, "--label", label)
    for kind in ("volume", "network"):
        names = [json.loads(line)["Name"] for line in orchestra(kind, "ls", "--format", "json").out.splitlines()]
        assert names == ["one", "two"]

        def chosen(*words: str, kind: str = kind) -> list[str]:
            lines = orchestra(kind, "ls", "--format", "json", *words).out.splitlines()
            return [json.loads(line)["Name"] for line in lines]

        assert chosen("--filter", "label=tier=back") == ["two"]
        assert chosen("--filter", "label=tier") == ["one", "two"]
        assert chosen("--filter", "name=on", "--filter", "dangling=true") == ["one"]
        assert chosen("--filter", "dangling=false") == []
        assert "--filter size=1: not supported" in orchestra(kind, "ls", "--filter", "size=1").err


@pytest.mark.parametrize("kind", ["network", "volume"])
def test_inspect_tells_what_is_missing_and_shows_the_rest(orchestra: Run, kind: str) -> None:
    """Status 1, JSON of what there is."""
    orchestra(kind, "create", "there")
    ran = orchestra(kind, "inspect", "there", "nowhere")
    assert ran.status == 1
    assert [about["Name"] for about in json.loads(ran.out)] == ["there"]
    assert f"no such {kind}: nowhere" in ran.err
