"""Who starts a shared service, who keeps it, and when it goes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from unittest.mock import ANY

import pytest
from whole.stage import idle, sh, until

from .town import Town, server, uses, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]
SHARED = {"own-accounts-1", "own-db-1"}


def test_up_of_a_site_starts_what_it_uses_and_no_more(town: Town) -> None:
    """The service and what it needs; the rest of the owner's stack stays down."""
    town.own()
    site = town.site("a")
    town.start(site)
    assert town.runs("own") == SHARED
    assert town.leases() == {"a.accounts"}
    assert town.ask("a", "front", "accounts").startswith("first ")


def test_up_of_an_unchanged_site_changes_nothing(town: Town) -> None:
    """Neither at the site nor at the owner; and that is what the rehearsal says."""
    town.own()
    site = town.site("a")
    town.start(site)
    before = {name: town.pid(name) for name in (*SHARED, "a-front-1")}
    lease = next(Path(town.home.shares).glob("*/*")).stat().st_mtime_ns
    assert town.ok("up", "--dry-run", str(site)).strip() == "nothing to do: all is as it should be"
    town.start(site)
    assert {name: town.pid(name) for name in before} == before
    assert next(Path(town.home.shares).glob("*/*")).stat().st_mtime_ns == lease


def test_a_rehearsal_tells_the_lease_and_the_join(town: Town) -> None:
    """With their causes, and whether the owner has to be started; nothing of it is done."""
    town.own()
    site = town.site("a")
    lines = town.ok("up", "--dry-run", str(site)).splitlines()
    assert "lease accounts of stack own: accounts uses it, and it does not run: it is started" in lines
    assert "join own-accounts-1 of stack own to network a_default: it is accounts there" in lines
    assert lines.index("start a-front-1: it does not run") > 1
    assert town.leases() == set()
    town.start(town.site("b"))
    lines = town.ok("up", "--dry-run", str(site)).splitlines()
    assert "lease accounts of stack own: accounts uses it, and it runs" in lines


def test_down_of_one_site_leaves_the_service_for_the_other(town: Town) -> None:
    """And the down of the last one ends it, with all that was started for it; its volumes stay."""
    town.own(volumes=["kept:/data"])
    file = town.work / "own/own.yml"
    file.write_text(file.read_text() + "volumes: {kept: {}}\n")
    town.start(town.site("a"), town.site("b"))
    before = town.pid("own-accounts-1")
    town.down("a")
    assert town.pid("own-accounts-1") == before
    assert town.ask("b", "front", "accounts").startswith("first ")
    assert town.leases() == {"b.accounts"}
    town.down("b")
    assert not town.is_up("own")
    assert not os.path.exists(town.stack("own").run)
    assert not os.path.exists(town.home.shares) or not os.listdir(town.home.shares)
    assert os.path.isdir(town.home.volume("own_kept"))


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_a_person_has_started_stays(town: Town, when: str) -> None:
    """`up` of the owner by hand, at any time, makes it a person's: the last lease does not end it."""
    owner, site = town.own(), town.site("a")
    for file in (owner, site) if when == "before" else (site, owner):
        town.start(file)
    assert town.runs("own") == SHARED | {"own-extra-1"}
    before = town.pid("own-accounts-1")
    town.down("a")
    assert town.leases() == set()
    assert town.pid("own-accounts-1") == before


def test_what_sharing_has_started_goes_from_a_stack_that_a_person_uses_otherwise(town: Town) -> None:
    """A person has asked for another service of the owner: only what was lent ends."""
    owner, site = town.own(), town.site("a")
    town.ok("up", "-d", str(owner), "extra")
    town.start(site)
    town.down("a")
    until(lambda: town.runs("own") == {"own-extra-1"}, "only what a person wants is left")


def test_down_of_the_owner_is_refused_while_others_use_it(town: Town) -> None:
    """By their names; so are stop and rm of the service, while the others of the stack may be stopped."""
    owner = town.own()
    town.start(owner, town.site("a"), town.site("b"))
    said = town.fails("-p", "own", "down", status=1)
    assert "cannot take down accounts of stack own: used by stacks a, b" in said
    assert "--force" in said
    assert "used by stacks a, b" in town.fails("-p", "own", "stop", "accounts")
    assert "used by stacks a, b" in town.fails("-p", "own", "rm", "-s", "accounts", stdin="y\n")
    town.ok("-p", "own", "stop", "extra")
    assert town.runs("own") == SHARED


def test_a_service_that_is_taken_away_comes_back_to_its_users(town: Town) -> None:
    """--force: they say that it is away, go on, and have it again as soon as it is there."""
    owner, site = town.own(), town.site("a")
    town.start(owner, site)
    front = town.pid("a-front-1")
    town.ok("-p", "own", "down", "--force")
    guest = until(
        lambda: (g := town.guests("a")) and next(iter(g.values()))["State"] == "waiting" and g, "it is away"
    )
    assert "stack own does not run" in next(iter(guest.values()))["Why"]
    assert town.look("a", "front", "accounts") == []
    assert "stack own does not run" in town.ok("-p", "a", "why", "accounts")
    assert "accounts (of stack own) is away" in town.fails("-p", "a", "restart", "front")
    town.start(owner)
    until(lambda: town.runs("a") == {"a-front-1"}, "who waited for it goes on")
    assert town.ask("a", "front", "accounts").startswith("first ")
    assert town.pid("a-front-1") != front
    town.ok("-p", "own", "down", "--force")
    town.start(site)
    assert town.ask("a", "front", "accounts").startswith("first "), "up of the site starts it again"


def test_stopping_a_site_gives_its_lease_back_and_starting_it_takes_it_again(town: Town) -> None:
    """A stack of which nothing is to run uses nothing."""
    town.own()
    town.start(town.site("a"))
    town.ok("-p", "a", "stop")
    until(lambda: not town.is_up("own"), "its owner has gone")
    assert town.leases() == set()
    town.ok("-p", "a", "start")
    assert town.ask("a", "front", "accounts").startswith("first ")
    assert town.leases() == {"a.accounts"}


def test_a_site_that_does_not_use_it_any_more_gives_the_lease_back(town: Town) -> None:
    """The changed file is enough; its name is gone, and so is its plug."""
    town.own()
    town.start(town.site("a"))
    assert len(town.plugs("a")) == 2
    town.start(town.write({"name": "a", "services": {"front": idle()}}, "a/a.yml"))
    until(lambda: not town.is_up("own"), "its owner has gone")
    assert town.look("a", "front", "accounts") == []
    assert len(town.plugs("a")) == 1


def test_a_chain_of_owners_is_started_and_ended_from_the_user(town: Town) -> None:
    """Who owns a service may use one of yet another stack."""
    town.own()
    town.site("b", front=server("front of b"))
    town.write(
        {"name": "c", "services": {"b": uses("front", "../b/b.yml"), "web": idle(depends_on=["b"])}}, "c/c.yml"
    )
    town.start(town.work / "c/c.yml")
    assert town.ask("c", "web", "b").startswith("front of b ")
    assert town.runs("own") == SHARED
    assert town.look("c", "web", "accounts") == []
    town.down("c")
    assert not town.is_up("b")
    assert not town.is_up("own")


def test_conditions_hold_for_a_used_service_as_for_any_other(town: Town) -> None:
    """A job that has to complete, and an owner's service that cannot become healthy."""
    job = sh("sleep 0.3; exit 0")
    bad = sh("sleep 1000", healthcheck={"tcp": 1, "interval": "200ms", "retries": 1})
    broken = sh("exit 3")
    town.write({"name": "own", "services": {"job": job, "bad": bad, "broken": broken}}, "own/own.yml")
    after = {"job": {"condition": "service_completed_successfully"}}
    town.write(
        {"name": "a", "services": {"job": uses("job"), "after": idle(depends_on=after)}},
        "a/a.yml",
    )
    town.start(town.work / "a/a.yml")
    assert town.runs("a") == {"a-after-1"}
    for name, condition, words in (
        ("bad", "service_healthy", "bad (of stack own) is unhealthy"),
        ("broken", "service_completed_successfully", "broken (of stack own) did not complete (exit code 3)"),
    ):
        waits = idle(depends_on={name: {"condition": condition}})
        town.write({"name": "b", "services": {name: uses(name), "waits": waits}}, "b/b.yml")
        assert words in town.fails("up", "-d", "--wait", str(town.work / "b/b.yml"))
        assert words in town.ok("-p", "b", "why", "waits")
        town.down("b")


def test_who_leans_on_a_used_service_is_restarted_with_it(town: Town) -> None:
    """depends_on with `restart: true`: by hand or by a change, not when it has only crashed."""
    town.own(restart="always")
    lean = {"accounts": {"condition": "service_healthy", "restart": True}}
    services = {"accounts": uses(), "lean": idle(depends_on=lean), "stay": idle(depends_on=["accounts"])}
    town.start(town.write({"name": "a", "services": services}, "a/a.yml"))
    before = {name: town.pid(name) for name in ("a-lean-1", "a-stay-1")}
    town.ok("-p", "own", "kill", "accounts")
    town.ok("-p", "own", "start", "accounts")
    until(lambda: town.ask("a", "stay", "accounts", "1").startswith("first "), "it is there again")

    def another() -> int:
        pids = town.pids("a-lean-1")
        return pids[0] if pids and pids[0] != before["a-lean-1"] else 0

    started = until(another, "to start it by hand is another run of it, too")
    town.ok("-p", "own", "restart", "-t", "1", "accounts")
    before["a-lean-1"] = started
    until(another, "it is restarted, too")
    assert town.pid("a-stay-1") == before["a-stay-1"]


def test_two_sites_may_come_at_once_and_go_at_once(town: Town) -> None:
    """Whoever is first starts it, whoever is last ends it, and nobody loses it."""
    town.own()
    a, b = str(town.site("a")), str(town.site("b"))
    for _ in range(3):
        both = [town.spawn("up", "-d", "--wait", file) for file in (a, b)]
        assert [wait_for(each) for each in both] == [(0, ANY), (0, ANY)]
        assert town.ask("a", "front", "accounts").startswith("first ")
        assert town.ask("b", "front", "accounts").startswith("first ")
        one = [town.spawn("-p", "a", "down"), town.spawn("up", "-d", "--wait", b)]
        assert [wait_for(each) for each in one] == [(0, ANY), (0, ANY)]
        change = [town.spawn("-p", "b", "down"), town.spawn("up", "-d", "--wait", a)]
        assert [wait_for(each) for each in change] == [(0, ANY), (0, ANY)]
        assert town.ask("a", "front", "accounts").startswith("first ")
        town.down("a")
        assert not town.is_up("own")


def test_a_lease_of_a_stack_that_is_no_more_is_dropped(town: Town) -> None:
    """Its book is gone, so nobody will ever give the lease back."""
    town.own()
    town.start(town.site("a"), town.site("b"))
    lease = next(Path(town.home.shares).glob("*/b.*"))
    ghost = lease.with_name("ghost.accounts.lease")
    town.down("b")
    shutil.copy(next(Path(town.home.shares).glob("*/a.*")), ghost)
    body = ghost.read_text().partition("\n")[2].replace('"user":"a"', '"user":"ghost"').replace('"pid":', '"pid":9')
    import json

    from orchestra.state.files import write_json

    write_json(str(ghost), json.loads(body))
    town.down("a")
    assert not town.is_up("own")
    assert not ghost.exists()
