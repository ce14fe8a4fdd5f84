"""Sharing as it is planned: leases, joins, and when they end. Compared as printed."""

from __future__ import annotations

from dataclasses import replace

from sketch import NETWORK, need, running, service, stack, wanted

from orchestra.plan import apply, sharing
from orchestra.plan.facts import Draining, Facts, Guest, Seen, Shared, Wanted
from orchestra.plan.guests import guest_rows, use_rows
from orchestra.plan.reconcile import reconcile
from orchestra.plan.rehearse import rehearse
from orchestra.stack.model import Join, Use

USE = Use("accounts", "own", "accounts", "/own.yml", (Join("default"),))
WEB = service("web", need("accounts"))
LEASED = frozenset(["own/accounts"])
HEALTHY = Guest(made=True, alive=True, health="healthy", serving=True)


def wants(**parts: object) -> Wanted:
    return wanted(WEB, uses={"accounts": USE}, **parts)


def sees(
    guest: Guest | None = HEALTHY, leases: frozenset[str] = LEASED, web: Seen | None = None, away: str = ""
) -> Facts:
    shared = Shared({"own-accounts-1": guest} if guest else {}, away)
    made = web or Seen(WEB, 1, made=True)
    return Facts(
        {"web-1": made}, {"default": NETWORK}, leases=leases, shared={"own/accounts": shared} if leases else {}
    )


def told(wish: Wanted, facts: Facts) -> str:
    return reconcile(wish, facts, 0.0).describe()


def joined(guest: Guest = HEALTHY) -> Guest:
    return replace(guest, joined=frozenset(["default"]))


def test_first_a_lease_is_taken() -> None:
    """Who needs the service waits meanwhile, and says for what."""
    assert told(wants(), sees(leases=frozenset())) == (
        "lease accounts of stack own: accounts uses it, and it is started if need be\n"
        "hold web-1: accounts (of stack own) is not asked for yet"
    )


def test_a_container_is_joined_as_soon_as_it_is_made() -> None:
    """Healthy or not: whoever waits for its health waits on."""
    starting = Guest(made=True, alive=True, health="starting")
    assert told(wants(), sees(starting)) == (
        "join own-accounts-1 of stack own to network shop_default: it is accounts there\n"
        "hold web-1: accounts (of stack own) is not healthy yet (starting)"
    )
    assert told(wants(), sees(Guest())) == "hold web-1: accounts (of stack own) is not started yet"


def test_a_dependent_starts_when_the_used_service_is_healthy_and_joined() -> None:
    """Healthy alone is not enough: there would be nobody under its name."""
    assert told(wants(), sees(HEALTHY)).endswith("hold web-1: accounts (of stack own) is not joined yet")
    assert told(wants(), sees(joined())) == "start web-1: it does not run"


def test_a_guest_that_is_going_holds_nobody_up() -> None:
    """While the owner replaces it, its successor is what counts."""
    going = replace(joined(), leaving=True, health="unhealthy")
    facts = sees(joined())
    both = Shared({**facts.shared["own/accounts"].guests, "own-accounts-2": going})
    assert told(wants(), replace(facts, shared={"own/accounts": both})) == "start web-1: it does not run"


def test_who_is_away_is_a_reason_without_hope() -> None:
    """`up` says so at once, and what runs goes on."""
    plan = reconcile(wants(), sees(None, away="stack own does not run"), 0.0)
    assert [hold.describe() for hold in plan.holds] == [
        "hold web-1: accounts (of stack own) is away: stack own does not run"
    ]
    assert plan.holds[0].hopeless
    assert told(wants(), sees(None, away="gone", web=running(WEB))) == ""


def test_a_lease_is_given_back_when_nobody_is_left_who_needs_it() -> None:
    """Not while a container still ends that may be talking to the service."""
    facts = sees(joined(), web=running(WEB))
    assert told(Wanted(), facts) == "stop web-1: it is not wanted any more"
    assert "give back accounts of stack own: it is not used any more" in told(Wanted(), replace(facts, containers={}))


def test_a_lease_whose_owner_is_to_be_asked_again_is_given_back_all_the_same() -> None:
    """`up` doubts what it last heard of an owner; who does not use it any more has nothing to ask."""
    doubted = replace(sees(joined()), unsure=LEASED)
    assert told(wants(), doubted) == (
        "lease accounts of stack own: accounts uses it, and it runs\n"
        "hold web-1: accounts (of stack own) is not asked for yet"
    )
    assert "give back accounts of stack own" in told(Wanted(), replace(doubted, containers={}))


def test_a_stack_of_which_all_is_stopped_uses_nothing() -> None:
    """A stopped site keeps nothing running at the owner's."""
    wish = wants()
    stopped = apply.changed(wish, ["web-1"], stopped=True)
    assert sharing.in_force(wish) == {"accounts": USE}
    assert sharing.in_force(stopped) == {}
    assert "give back accounts of stack own" in told(stopped, sees(joined()))


def test_a_rehearsal_goes_all_the_way() -> None:
    """From nothing to the last start, with the owner as it is now."""
    shop = replace(stack(WEB), uses={"accounts": USE})
    wish = apply.applied(Wanted(), {}, shop, None, "diverged", False, False, False)
    facts = Facts(shared={"own/accounts": Shared(away="stack own does not run")})
    assert rehearse(wish, facts, "shop") == [
        "make network shop_default: it does not exist",
        "lease accounts of stack own: accounts uses it, and it does not run: it is started",
        "join own-accounts-1 of stack own to network shop_default: it is accounts there",
        "make shop-web-1: it does not exist",
        "start shop-web-1: it does not run",
    ]


def test_only_what_was_lent_ends_with_the_last_lease() -> None:
    """And what that needs; what a person wants stays, and whatever that needs as well."""
    db, accounts, admin = service("db"), service("accounts", "db"), service("admin", "db")
    shop = stack(db, accounts, admin)
    lent = apply.applied(Wanted(), {}, shop, ["accounts"], "never", False, False, False, lent=True)
    assert sharing.lent(lent) == ["accounts", "db"]
    assert sharing.still_lent(lent, ["accounts"]) is lent
    assert sharing.still_lent(lent, []).targets == {}
    both = apply.applied(lent, {}, shop, ["admin"], "diverged", False, False, False)
    assert sharing.lent(both) == ["accounts"], "a person's admin needs db"
    assert {one.service.name for one in sharing.still_lent(both, []).targets.values()} == {"admin", "db"}
    again = apply.applied(both, {}, shop, ["accounts"], "never", False, False, False, lent=True)
    assert sharing.lent(again) == ["accounts"], "what is a person's is not lent by being used"


def test_a_draining_container_waits_for_every_user() -> None:
    """Until each has joined the successor and switched its names, a moment longer, and not for ever."""
    drains = Wanted(draining={"old": Draining("accounts", "new", since=100.0, longest=10.0)})
    users = [("a", "accounts"), ("b", "accounts"), ("c", "other")]

    def why(now: float, **holdings: sharing.Holding) -> str:
        return sharing.waits(drains, users, holdings, now).needed.get("old", "")

    done = sharing.Holding(frozenset(["new"]), frozenset(["new"]), since=100.5)
    assert why(101.0, a=done) == "names in stack a have just been switched"
    assert why(103.0, a=done) == "stack b has not been heard"
    assert why(103.0, a=done, b=sharing.Holding()) == "stack b has not joined it yet"
    half = sharing.Holding(frozenset(["new"]), frozenset(["old"]), since=90.0)
    assert why(103.0, a=done, b=half) == "names in stack b have not been switched yet"
    assert why(103.0, a=done, b=done) == ""
    assert why(106.0, a=done) == "", "who is not there is waited for but shortly"
    late = sharing.waits(drains, users, {"a": done, "b": half}, 131.0)
    assert (late.needed, late.given_up) == ({}, {"old": "names in stack b have not been switched yet"})


def test_rows_of_guests_say_whose_they_are() -> None:
    """With the name and the addresses that they have here; one stands for what is away."""
    row = {"name": "own-accounts-1", "service": "accounts", "addresses": {"own": "10.9.0.2"}}
    wish, facts = wants(), sees(joined())
    rows = list(
        guest_rows(
            replace(wish, uses={"id": replace(USE, name="id")}),
            facts,
            {"own/accounts/own-accounts-1": row},  # type: ignore[dict-item]
            {"default": {"own/accounts/own-accounts-1": "10.1.0.7"}},
            0.0,
        )
    )
    assert [(one["name"], one["service"], one["owner"], one["addresses"]) for one in rows] == [
        ("own-accounts-1", "id", "own", {"default": "10.1.0.7"})
    ]
    away = sees(None, away="stack own does not run")
    (absent,) = guest_rows(wish, away, {}, {}, 0.0)
    assert (absent["state"], absent["owner"]) == ("waiting", "own")
    assert absent["why"] == "waiting: stack own does not run (orchestra up /own.yml starts it)"
    assert [(one["state"], one["why"]) for one in use_rows(wish, facts)] == [("joined", "")]
    assert use_rows(wish, away)[0]["state"] == "away"
