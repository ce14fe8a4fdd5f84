"""Leases, names and joins outlive whatever is killed, and whatever is killed in the middle converges."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from whole.stage import idle, py, until

from .town import ASKING, Town, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]


@pytest.mark.parametrize("whose", [("a",), ("own",), ("a", "own")])
def test_everything_is_known_again_after_keepers_and_supervisors_were_killed(
    town: Town, whose: tuple[str, ...]
) -> None:
    """The same containers, addresses and lease; and the last down ends everything."""
    town.own()
    town.start(town.site("a"))
    before = {name: town.pid(name) for name in ("own-accounts-1", "a-front-1")}
    address = town.look("a", "front", "accounts")
    town.kill_minders(*whose)
    assert {name: town.pid(name) for name in before} == before
    town.start(town.work / "a/a.yml")
    assert {name: town.pid(name) for name in before} == before
    assert town.look("a", "front", "accounts") == address
    assert town.ask("a", "front", "accounts").startswith("first ")
    assert town.leases() == {"a.accounts"}
    town.kill_minders(*whose)
    town.down("a")
    assert not town.is_up("own")
    assert town.leases() == set()


def test_names_go_on_while_supervisors_are_replaced(town: Town) -> None:
    """A program that asks all the time never hears that there is no such name, nor is it refused."""
    town.own()
    # A question that dies with a supervisor is asked again after five seconds (resolv.conf(5)): it may end in peace.
    town.start(town.site("a", front=py(ASKING, stop_grace_period="20s")))
    for stack in ("a", "own", "a"):
        supervisor = town.supervisor(stack)
        os.kill(supervisor, signal.SIGKILL)
        until(lambda name=stack, old=supervisor: town.supervisors(name) - {old}, "there is another one")  # type: ignore[misc]
        assert town.look("a", "front", "accounts")
    assert town.heard("a") == "heard ['first'] failed []"


def test_leases_outlive_a_reboot(town: Town) -> None:
    """The first command on a site wakes its owner as well; the last down ends it, as if nothing had been."""
    town.own()
    a, b = town.site("a", front=idle(restart="always")), town.site("b")
    town.start(a, b)
    town.reboot("own", "a", "b")
    assert town.leases() == {"a.accounts", "b.accounts"}
    town.ok("-p", "a", "start")
    until(lambda: town.ask("a", "front", "accounts", "1").startswith("first "), "it is there again")
    assert town.runs("own") == {"own-accounts-1", "own-db-1"}
    town.start(b)
    town.down("a")
    assert town.ask("b", "front", "accounts").startswith("first ")
    town.down("b")
    assert not town.is_up("own")


def test_taking_and_giving_a_lease_may_be_cut_short_anywhere(town: Town) -> None:
    """Commands, keepers and supervisors are killed at any moment; the next command makes it as it should be."""
    dice = random.Random(2075)
    town.own()
    file = str(town.site("a"))
    for turn in range(10):
        words = ("up", "-d", "--wait", file) if turn % 2 == 0 else ("-p", "a", "down")
        command = town.spawn(*words)
        time.sleep(dice.uniform(0.02, 0.7))
        command.kill()
        wait_for(command)
        town.kill_minders(*dice.choice([("a",), ("own",), ("a", "own"), ("none",)]))
        if turn % 4 < 2:
            town.start(town.work / "a/a.yml")
            assert town.ask("a", "front", "accounts").startswith("first ")
            assert town.leases() == {"a.accounts"}
        else:
            done = town.run("-p", "a", "down")
            assert done.returncode == 0, done.stderr
            until(lambda: not town.is_up("own"), "nobody uses it, so it goes", 15)
            assert town.leases() == set()


def test_a_reboot_may_come_at_any_moment_of_sharing(town: Town) -> None:
    """While a lease is taken or given back, or its owner is replaced: the next command makes it as it should be."""
    dice, generations = random.Random(4), ["first"]
    update = {"update_config": {"order": "start-first"}}
    own, site = town.own(deploy=update), town.site("a")
    for turn in range(6):
        if turn % 3:
            town.start(site)
        if turn % 3 == 2:
            generations.append(f"generation{turn}")
            own = town.own(generations[-1], deploy=update)
        words = (["up", "-d", "--wait", str(site)], ["-p", "a", "down"], ["up", "-d", "--wait", str(own)])[turn % 3]
        command = town.spawn(*words)
        time.sleep(dice.uniform(0.05, 0.9))
        command.kill()
        wait_for(command)
        town.reboot("own", "a")
        if dice.random() < 0.5:
            town.start(site)
            assert town.leases() == {"a.accounts"}
            assert town.ask("a", "front", "accounts").split()[0] in generations[-2:]
            assert len([name for name in town.runs("own") if "accounts" in name]) == 1
        for stack in ("a", "own"):
            done = town.run("-p", stack, "down")
            assert done.returncode == 0, done.stderr
        until(lambda: not town.is_up("own") and not town.is_up("a"), "nobody uses it, so it goes", 15)
        assert town.leases() == set()


def test_a_killed_container_of_the_owner_is_joined_again(town: Town) -> None:
    """Whether it is only started anew, or made anew because its file has changed."""
    town.own(restart="always")
    town.start(town.site("a"))
    address = town.look("a", "front", "accounts")
    os.kill(town.pid("own-accounts-1"), signal.SIGKILL)
    until(lambda: town.ask("a", "front", "accounts", "1").startswith("first "), "it is there again")
    assert town.look("a", "front", "accounts") == address
    town.start(town.own("second", restart="always"))
    until(lambda: town.ask("a", "front", "accounts", "1").startswith("second "), "the new one is joined")


def test_a_shared_service_is_replaced_for_all_without_a_refused_connection(town: Town) -> None:
    """start-first: both sites join the new one and switch their names before the old one is stopped."""
    town.own(deploy={"update_config": {"order": "start-first"}})
    sites = [town.site(name, front=py(ASKING)) for name in ("a", "b")]
    town.start(*sites)
    old = town.pid("own-accounts-1")
    town.start(town.own("second", deploy={"update_config": {"order": "start-first"}}))
    until(lambda: not os.path.exists(f"/proc/{old}"), "the old one has gone")
    for name in ("a", "b"):
        until(lambda site=name: town.ask(site, "front", "accounts").startswith("second "), "it is the new one")  # type: ignore[misc]
        assert town.heard(name) == "heard ['first', 'second'] failed []"


def test_the_old_one_is_kept_for_a_site_that_has_not_joined_the_new_one(town: Town) -> None:
    """A site whose supervisor cannot move holds it up; as soon as it can, things go on."""
    first = town.own(deploy={"update_config": {"order": "start-first"}})
    town.start(first, town.site("a"))
    old = town.pid("own-accounts-1")
    supervisor = town.supervisor("a")
    os.kill(supervisor, signal.SIGSTOP)
    try:
        change = town.spawn("up", "-d", str(town.own("second", deploy={"update_config": {"order": "start-first"}})))
        until(lambda: "has not joined it yet" in town.ok("-p", "own", "ps", "-a", "--format", "json"), "it is kept")
        time.sleep(3)
        assert os.path.exists(f"/proc/{old}")
    finally:
        os.kill(supervisor, signal.SIGCONT)
    until(lambda: not os.path.exists(f"/proc/{old}"), "it goes")
    assert wait_for(change)[0] == 0
    assert town.ask("a", "front", "accounts").startswith("second ")
