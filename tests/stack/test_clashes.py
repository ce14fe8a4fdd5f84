"""Two services that want the same: alternatives, until both are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestra.errors import OrchestraError
from orchestra.plan import apply
from orchestra.plan import clashes as plan_clashes
from orchestra.plan.facts import Run, Seen, Wanted
from orchestra.stack import clashes as stack_clashes
from orchestra.stack.claims import collide
from orchestra.stack.model import Stack

Loads = Callable[..., Any]
PORTS = (
    "ports: ['80:80']",
    "ports: ['80:81']",
    "stack.yml:4:29: services.b.ports[0]: b and a both want host port 80/tcp",
)
CLASHES = [
    PORTS,
    ("ports: ['127.0.0.1:80:80']", "ports: ['80:81']", "b and a both want host port 80/tcp"),
    ("ports: ['20000-20999:20000-20999']", "ports: ['20500:80']", "b and a both want host port 20500/tcp"),
    ("container_name: cc", "container_name: cc", "services.b.container_name: b and a both want the name cc"),
    ("user: u", "container_name: t-a-1", "b and a both want the name t-a-1"),
    (
        "networks: {n: {ipv4_address: 10.0.0.5}}",
        "networks: {n: {ipv4_address: 10.0.0.5}}",
        "services.b.networks.n.ipv4_address: b and a both want the address 10.0.0.5",
    ),
]


def two(loaded: Loads, one: str, other: str) -> Stack:
    text = f"name: t\nservices:\n  a: {{rootfs: host, {one}}}\n  b: {{rootfs: host, {other}}}\n"
    text += "networks: {n: {ipam: {config: [{subnet: 10.0.0.0/24, gateway: 10.0.0.1}]}}}\n"
    stack: Stack = loaded(text).stack
    return stack


def up(before: Wanted, seen: dict[str, Seen], stack: Stack, *services: str) -> Wanted:
    return apply.applied(before, seen, stack, services or None, "diverged", False, False, False)


def runs(wanted: Wanted) -> dict[str, Seen]:
    return {
        name: Seen(one.service, one.replica, made=True, run=Run(1, one.service.config_hash, one.epoch, 0.0))
        for name, one in wanted.targets.items()
    }


@pytest.mark.parametrize(("one", "other", "words"), CLASHES)
def test_what_two_services_cannot_share_is_told_when_both_are_to_run(
    loaded: Loads, one: str, other: str, words: str
) -> None:
    """With its place; each by itself may run, and the file is no wrong one."""
    stack = two(loaded, one, other)
    for service in ("a", "b"):
        (name,) = up(Wanted(), {}, stack, service).targets
        assert name
    with pytest.raises(OrchestraError) as raised:
        up(Wanted(), {}, stack)
    assert words in raised.value.what
    assert raised.value.hint == "ask for one of them: orchestra up a"
    none = replace(stack, services={**stack.services, "a": replace(stack.services["a"], scale=0)})
    assert len(up(Wanted(), {}, none).targets) == 1


@pytest.mark.parametrize(("one", "other", "words"), CLASHES)
def test_who_runs_already_is_named(loaded: Loads, one: str, other: str, words: str) -> None:
    """And what has to be done first."""
    stack = two(loaded, one, other)
    first = up(Wanted(), {}, stack, "a")
    with pytest.raises(OrchestraError) as raised:
        up(first, runs(first), stack, "b")
    assert raised.value.what.startswith("cannot start b: ")
    assert raised.value.what.endswith((" of a", " by a (t-a-1)", " by a (cc)"))
    assert "orchestra stop a" in str(raised.value.hint) or "orchestra rm -s a" in str(raised.value.hint)


def test_a_port_of_who_is_stopped_or_has_ended_may_be_had(loaded: Loads) -> None:
    """Until that one is started again, which is then refused."""
    stack = two(loaded, *PORTS[:2])
    first = up(Wanted(), {}, stack, "a")
    seen = runs(first)
    stopped = apply.changed(first, ["t-a-1"], stopped=True)
    both = up(stopped, seen, stack, "b")
    seen |= {"t-b-1": runs(both)["t-b-1"]}
    for change in (apply.started, lambda *args: apply.restarted(*args, None)):
        with pytest.raises(OrchestraError, match="cannot start a: host port 80/tcp is used by b"):
            change(both, seen, ["t-a-1"])
    run = seen["t-a-1"].run
    assert run is not None
    ended = {"t-a-1": replace(seen["t-a-1"], run=replace(run, ended=1.0, code=0))}
    assert len(up(first, ended, stack, "b").targets) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ports: ['127.0.0.1:80:80']", "ports: ['127.0.0.2:80:81']"),
        ("ports: ['80:80']", "ports: ['80:81/udp']"),
        ("ports: ['80-81:80']", "ports: ['80:81']"),
    ],
)
def test_what_only_looks_like_a_clash_is_none(loaded: Loads, one: str, other: str) -> None:
    """Other addresses, other protocols, and ranges, of which any free port will do."""
    assert len(up(Wanted(), {}, two(loaded, one, other)).targets) == 2


def test_thousands_of_ports_are_not_compared_with_each_other(loaded: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    for module in (stack_clashes, plan_clashes):
        monkeypatch.setattr(module, "collide", lambda *claims: compared.append(claims) or collide(*claims))
    ports = [[f"{port}:80" for port in range(first, 30000, 20)] for first in (10000, 10010)]
    stack = two(loaded, f"ports: {ports[0]}", f"ports: {ports[1]}")
    assert len(up(Wanted(), {}, stack).targets) == 2
    assert 0 < len(compared) < 2000 * 20
