"""Why a service is where it is, in one sentence down to what everything hangs on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sketch import ended, facts, need, running, service, wanted

from orchestra.plan.causes import causes
from orchestra.plan.facts import Facts, Wanted
from orchestra.plan.reconcile import reconcile

EPOCH = 1_000_000.0


def told(want: Wanted, seen: Facts, now: float, **words: str) -> dict[str, Any]:
    """`12.5` stands for the clock's words."""
    plan = reconcile(want, seen, now)
    found = causes(want, seen, plan, now, EPOCH + now, lambda moment: f"{moment - EPOCH:g}", words)
    return {cause["service"]: cause for cause in found}


CART = service("cart", check=True, restart="always")
ORDERS = service("orders", need("cart"))
WEB = service("web", need("orders", "service_started"))


def test_the_chain_goes_down_to_what_everything_hangs_on():
    """web waits for orders, which waits for cart, which is sick and has been restarted."""
    sick = replace(running(CART, 5.0, health="unhealthy"), health_text="connection refused", health_since=12.0)
    sick = replace(sick, restarts=3, last_exit="exit code 1")
    idle = {"made": True, "run": None}
    seen = facts(sick, replace(running(ORDERS), **idle), replace(running(WEB), **idle))
    found = told(wanted(CART, ORDERS, WEB), seen, 20.0)
    assert list(found) == ["cart", "orders", "web"]
    below = (
        "cart is unhealthy since 12, its probe says connection refused; cart restarted 3 times, last end: exit code 1"
    )
    assert found["cart"]["sentence"] == below
    assert found["orders"]["sentence"] == f"orders is waiting: {below}"
    assert found["web"]["sentence"] == f"web is waiting: orders is waiting: {below}"
    assert [one["service"] for one in found["web"]["blocked_by"]] == ["orders"]
    assert found["orders"]["blocked_by"][0]["since"] == EPOCH + 12
    assert found["orders"]["kind"] == "waiting"
    assert found["cart"]["next"]["command"] == "orchestra restart cart"


def test_back_off_counts_down():
    """With the moment of the next start, for a countdown."""
    seen = facts(ended(CART, 30.0, code=137, since=25.0, streak=6, restarts=5, last_exit="killed by SIGKILL"))
    cause = told(wanted(CART), seen, 31.0)["cart"]
    assert cause["kind"] == "backing_off"
    assert cause["next"]["at"] == EPOCH + 30.0 + 3.2
    assert cause["sentence"].startswith("cart ended at 30: exit code 137, restarting in 2.2 s (6th)")


def test_who_has_ended_badly_is_quoted():
    """But not who was killed, or has run out of memory: what such a one said last is not why."""
    gone = ended(CART, 30.0, code=3, since=25.0, streak=6, restarts=5, last_exit="exit code 3")
    sentence = told(wanted(CART), facts(gone), 31.0, **{"cart-1": "no such table"})["cart"]["sentence"]
    assert sentence.startswith("cart ended at 30: exit code 3 (its last words: no such table), restarting in")
    assert gone.run is not None
    for run in (replace(gone.run, code=137, signal=9), replace(gone.run, code=137, oom=True)):
        killed = facts(replace(gone, run=run))
        assert "words" not in told(wanted(CART), killed, 31.0, **{"cart-1": "listening"})["cart"]["sentence"]


def test_memory_is_named_when_it_is_over():
    """Whatever runs since; not twice where the end itself says it."""
    run = running(CART, 5.0).run
    assert run is not None
    seen = replace(running(CART, 5.0, health="healthy"), health_since=6.0, oom_kills_before=1, oom_at=4.0)
    sentence = told(wanted(CART), facts(seen), 20.0)["cart"]["sentence"]
    assert sentence == "cart is healthy since 6; out of memory: a process was killed at 4"
    more = replace(seen, run=replace(run, oom_kills=2), oom_at=9.0)
    sentence = told(wanted(CART), facts(more), 20.0)["cart"]["sentence"]
    assert sentence.endswith("out of memory: 3 processes were killed, the last at 9")
    other = replace(running(CART, 5.0, health="healthy"), replica=2, health_since=6.0, oom_kills_before=4, oom_at=3.0)
    two = replace(CART, scale=2)
    sentence = told(wanted(two), Facts({"cart-1": seen, "cart-2": other}), 20.0)["cart"]["sentence"]
    assert sentence.endswith("out of memory: 5 processes were killed, the last at 4")
    gone = ended(CART, 30.0, code=137, since=25.0)
    assert gone.run is not None
    seen = replace(gone, run=replace(gone.run, oom=True, oom_kills=1), oom_at=30.0)
    assert told(wanted(CART), facts(seen), 31.0)["cart"]["sentence"].count("out of memory") == 1


def test_what_is_well_needs_no_help():
    """Ready ones come last and have no command."""
    cause = told(wanted(CART), facts(running(CART, 3.0, health="healthy")), 9.0)["cart"]
    assert (cause["kind"], cause["next"]["command"], cause["blocked_by"]) == ("ready", "", [])


def test_the_worst_replica_speaks():
    """One of two is sick: the service is."""
    two = service("cart", check=True, scale=2)
    sick = replace(running(two, health="unhealthy"), replica=2, health_text="no")
    cause = told(wanted(two), facts(running(two, health="healthy"), sick), 9.0)["cart"]
    assert (cause["container"], cause["kind"]) == ("cart-2", "unhealthy")


def test_each_way_to_an_end_has_its_words():
    """By hand, at the end of its tries, by itself, not made at all."""
    one = service("job", restart="on-failure", attempts=1)
    gone = ended(one, 10.0, code=3, failures=2)
    assert (
        told(wanted(one), facts(gone), 12.0)["job"]["sentence"]
        == "job gave up after 2 failures in a row: exit code 3"
    )
    plain = service("job")
    assert told(wanted(plain), facts(ended(plain, 10.0)), 12.0)["job"]["kind"] == "finished"
    assert told(wanted(plain), facts(ended(plain, 10.0, code=1)), 12.0)["job"]["kind"] == "failed"
    want = wanted(plain)
    want = replace(want, targets={"job-1": replace(want.targets["job-1"], stopped=True)})
    assert told(want, facts(ended(plain, 10.0)), 12.0)["job"]["sentence"] == "job is stopped by hand since 10"
    broken = replace(running(plain), made=False, run=None, trouble="no space", trouble_at=11.9, troubles=2)
    assert told(wanted(plain), facts(broken), 12.0)["job"]["sentence"] == "job cannot be made: no space"


def test_a_circle_of_waiting_ends():
    """It cannot be written in a file, but facts may be anything."""
    a, b = service("a", need("b")), service("b", need("a"))
    idle = {"made": True, "run": None}
    seen = facts(replace(running(a), **idle), replace(running(b), **idle))
    want = wanted(a, b)
    found = causes(want, seen, replace(reconcile(wanted(), facts(), 0.0)), 1.0, 1.0, str, {})
    assert {cause["service"] for cause in found} == {"a", "b"}


def test_what_is_paused_says_so_and_how_it_goes_on():
    """It is not ready, and nobody but a person changes that."""
    seen = facts(replace(running(CART, 5.0, health="healthy"), paused=True))
    found = told(wanted(CART), seen, 20.0)["cart"]
    assert (found["kind"], found["sentence"]) == ("paused", "cart is paused by hand")
    assert found["next"] == {"text": "nothing by itself", "at": None, "command": "orchestra unpause cart"}
