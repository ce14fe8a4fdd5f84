"""Facts in, plan out: compared as printed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sketch import NETWORK, ended, facts, need, running, service, stack, wanted

from orchestra.errors import OrchestraError
from orchestra.plan import apply
from orchestra.plan.changes import why_replaced
from orchestra.plan.facts import Facts, Seen, Wanted
from orchestra.plan.reconcile import reconcile
from orchestra.plan.update import updated
from orchestra.stack.model import Limits, Mount, Port, Restart, Security, Volume

DB = service("db", check=True)
API = service("api", need("db"))
CHANGED = "its configuration changed (a network, volume, secret or config that it uses)"


def told(wants: Wanted, sees: Facts, now: float = 0.0) -> str:
    return reconcile(wants, sees, now).describe()


def test_first_the_network_is_made():
    """Nothing is made of a container before its network is there."""
    assert told(wanted(DB), Facts()) == (
        "make network shop_default: it does not exist\nhold db-1: network shop_default is not there yet"
    )


def test_containers_are_made_before_anybody_may_start():
    """What costs time and hurts nobody happens while others are waited for."""
    assert told(wanted(DB, API), facts()) == "make api-1: it does not exist\nmake db-1: it does not exist"


def test_a_dependent_waits_until_its_dependency_is_healthy():
    """service_healthy holds the start back until a probe has succeeded."""
    made = Seen(API, 1, made=True)
    assert told(wanted(DB, API), facts(running(DB), made)) == "hold api-1: db is not healthy yet (starting)"
    assert told(wanted(DB, API), facts(running(DB, health="healthy"), made)) == "start api-1: it does not run"


def test_the_reason_of_a_hold_is_the_whole_chain():
    """Who asks why web is not up is told what everything waits for in the end."""
    web = service("web", need("api", "service_started"))
    sees = facts(running(DB, health="unhealthy"), Seen(API, 1, made=True), Seen(web, 1, made=True))
    plan = reconcile(wanted(DB, API, web), sees, 0)
    assert plan.describe() == ("hold api-1: db is unhealthy\nhold web-1: api is not started (db is unhealthy)")
    assert all(hold.hopeless for hold in plan.holds)


def test_a_dependency_that_is_not_required_holds_nobody_back_once_it_failed():
    """required: false turns a failure into something to go on with."""
    api = service("api", need("db", required=False))
    sees = facts(running(DB, health="unhealthy"), Seen(api, 1, made=True))
    assert told(wanted(DB, api), sees) == "start api-1: it does not run"


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (running(service("job")), "hold api-1: job has not completed yet"),
        (ended(service("job"), at=1, code=0), "start api-1: it does not run"),
        (
            ended(service("job"), at=1, code=3),
            "hold api-1: job did not complete successfully (exit code 3)",
        ),
    ],
)
def test_completion_means_exit_code_zero(seen, says):
    """service_completed_successfully holds until the job has ended well."""
    api = service("api", need("job", "service_completed_successfully"))
    assert told(wanted(service("job"), api), facts(seen, Seen(api, 1, made=True)), now=1) == says


def test_all_replicas_have_to_be_healthy():
    """One replica that is not healthy yet holds dependents back."""
    db = replace(DB, scale=2)
    second = replace(running(db), replica=2)
    sees = facts(running(db, health="healthy"), second, Seen(API, 1, made=True))
    assert told(wanted(db, API), sees) == "hold api-1: db is not healthy yet (starting)"


def test_a_crashed_service_comes_back_whatever_became_of_its_dependencies():
    """Conditions are for the first start; a restart by policy does not wait for them again."""
    api = replace(API, restart=service("x", restart="always").restart)
    sees = facts(running(DB, health="unhealthy"), ended(api, at=30, code=1, since=0))
    assert told(wanted(DB, api), sees, now=30) == "start api-1: it ended (exit code 1), restart: always"


def test_a_replacement_names_the_keys_that_changed():
    """In the words of the stack file; keys that do not make up the container are not among them."""
    new = replace(
        DB, config_hash="c2", user="7", scale=2, limits=Limits(memory=1), security=Security(cap_add=("ALL",))
    )
    assert why_replaced(DB, new) == "its configuration changed (user, cap_add, mem_limit)"
    assert why_replaced(DB, replace(DB, config_hash="c2")) == CHANGED
    assert why_replaced(DB, replace(DB, config_hash=f"{DB.config_hash}~1")) == "a new one was asked for"


def test_a_changed_configuration_replaces_exactly_that_service():
    """Stop, remove, make, start; the others are left alone."""
    new = replace(DB, config_hash="c2")
    other = service("other")
    assert told(wanted(new, other), facts(running(DB), running(other))) == f"stop db-1: {CHANGED}"
    assert told(wanted(new), facts(ended(DB, at=1)), now=1) == f"remove db-1: {CHANGED}"


def test_nothing_to_do_is_an_empty_plan():
    """`up` on what is up plans nothing, and asks for no further look."""
    plan = reconcile(wanted(DB, API), facts(running(DB, health="healthy"), running(API)), 5)
    assert (plan.describe(), plan.look_again) == ("", None)


def test_dependents_stop_first():
    """`down` goes backwards through the dependencies."""
    sees = facts(running(DB, health="healthy"), running(API))
    assert told(Wanted(), sees) == ("stop api-1: it is not wanted any more\nhold db-1: stops after api-1")


def test_who_does_not_stop_is_killed_after_its_grace():
    """The grace is counted from the signal."""
    asked = replace(running(DB), asked_to_stop=100.0)
    plan = reconcile(Wanted(), facts(asked), 103)
    assert plan.describe() == "hold db-1: asked to stop, has 10 s for it"
    assert plan.look_again == pytest.approx(7)
    assert told(Wanted(), facts(asked), 110) == "kill db-1: it did not stop within 10 s"


def test_a_network_goes_with_its_last_container():
    """As long as a container is plugged in, its network stays."""
    assert told(Wanted(), facts(ended(DB, at=1))) == "remove db-1: it is not wanted any more"
    assert told(Wanted(), Facts({}, {"default": NETWORK})) == (
        "remove network shop_default: no service uses it any more"
    )


def test_a_network_goes_while_its_last_container_is_removed():
    """Not while somebody is being made in it; an external one, which others use, only after its container."""
    removed = facts(ended(DB, at=1, made=False, busy=True, leaving=True))
    gone, under_way = "remove network shop_default: no service uses it any more", "hold db-1: it is being removed"
    assert told(Wanted(), removed) == f"{gone}\n{under_way}"
    changed = {"default": replace(NETWORK, internal=True)}
    assert told(wanted(DB, networks=changed), removed) == under_way
    assert told(Wanted(), replace(removed, networks={"default": replace(NETWORK, external=True)})) == under_way


def test_nobody_is_made_in_a_network_or_with_a_volume_that_is_just_taken_away():
    """Both are facts until they are gone: `up` may come while `down` takes them."""
    db = replace(DB, mounts=(Mount("volume", "/data", "data"),))
    wants = replace(wanted(db), volumes={"data": Volume("data", "shop_data")})
    there = Facts({}, {"default": NETWORK}, frozenset({"shop_data"}))
    assert told(wants, replace(there, busy_networks=frozenset({"default"}))) == (
        "hold db-1: network shop_default is not there yet"
    )
    assert told(wants, replace(there, busy_networks=frozenset({"shop_data"}))) == (
        "hold db-1: volume shop_data is not there yet"
    )


def test_volumes_go_only_when_asked_for():
    """`down` leaves them, `down --volumes` takes them once nobody can be using them."""
    there = Facts(volumes=frozenset({"shop_data"}))
    assert told(Wanted(), there) == ""
    discard = Wanted(discard_volumes=frozenset({"shop_data"}))
    assert told(discard, there) == "remove volume shop_data: down --volumes"
    assert "remove volume" not in told(discard, replace(there, containers=facts(ended(DB, at=1)).containers))


def test_a_container_waits_for_its_volume():
    """A named volume is there before the container that mounts it is made."""
    db = replace(DB, mounts=(Mount("volume", "/data", "data"),))
    wants = replace(wanted(db), volumes={"data": Volume("data", "shop_data")})
    assert told(wants, facts()) == (
        "make volume shop_data: it does not exist\nhold db-1: volume shop_data is not there yet"
    )


def test_an_unhealthy_service_is_restarted_only_if_it_asks_for_it():
    """on_unhealthy: restart is ours; without it health alone restarts nothing (Compose Specification)."""
    sick = replace(running(DB, health="unhealthy"), health_text="connection refused")
    assert told(wanted(DB), facts(sick)) == ""
    healing = replace(DB, on_unhealthy="restart")
    assert told(wanted(healing), facts(replace(sick, service=healing))) == (
        "stop db-1: it is unhealthy (connection refused)"
    )


def test_a_service_in_the_network_of_another_waits_for_that_network():
    """network_mode: service:x needs the sandbox of x, not x itself, which may restart meanwhile."""
    side = replace(service("side"), network_mode="service:db", networks=())
    assert told(wanted(DB, side), facts()) == (
        "make db-1: it does not exist\nhold side-1: the network of db is not there yet"
    )
    assert "make side-1" in told(wanted(DB, side), facts(ended(DB, at=0)), now=1)


def test_a_container_that_cannot_be_removed_is_tried_again_later():
    """No busy loop; who could not be made goes at once."""
    failed = Seen(DB, 1, leaving=True, trouble="device busy", trouble_at=10.0, troubles=1)
    plan = reconcile(wanted(), facts(failed), 10.2)
    assert plan.describe() == "hold db-1: could not be removed: device busy"
    assert plan.look_again == pytest.approx(0.8)
    assert told(wanted(), facts(failed), now=11.1) == "remove db-1: it is not wanted any more"
    assert "remove db-1" in told(wanted(), facts(replace(failed, leaving=False)), now=10.2)


def test_a_container_that_cannot_be_made_is_tried_again_later():
    """A trouble is told, and the next try waits longer each time."""
    failed = Seen(DB, 1, trouble="no address left", trouble_at=10.0, troubles=1)
    plan = reconcile(wanted(DB), facts(failed), 10.2)
    assert plan.describe() == "hold db-1: could not be made: no address left"
    assert plan.look_again == pytest.approx(0.8)
    assert told(wanted(DB), facts(failed), 11.0) == "make db-1: it does not exist"


def test_other_limits_are_given_where_it_stands():
    """Without a stop; one that ends meanwhile is started with them; what was refused is tried again later."""
    more = replace(DB, limits=Limits(memory=1 << 30, ingress=1_000_000))
    asked = "adjust db-1: mem_limit and deploy.resources.limits.network changed"
    assert told(wanted(more), facts(running(DB, health="healthy"))) == asked
    assert told(wanted(more), facts(ended(DB, at=0.0))) == asked
    refused = replace(running(DB, health="healthy"), trouble="too little", trouble_at=0.0, troubles=1)
    assert told(wanted(more), facts(refused), now=0.5) == ""
    assert told(wanted(more), facts(refused), now=1.5) == asked


def test_an_update_lasts_until_the_file_says_something_new():
    """`up` of an unchanged service keeps what was updated, of a changed or forced one what the file says."""
    up = {"services": None, "no_deps": False, "no_start": False, "remove_orphans": False}
    first = apply.applied(Wanted(), {}, stack(DB), recreate="diverged", **up)
    more = updated(first, ["shop-db-1"], {"memory": 1 << 30}, Restart("always"))
    sees = {"shop-db-1": running(more.targets["shop-db-1"].service)}

    def after(shop, recreate="diverged"):
        found = apply.applied(more, sees, shop, recreate=recreate, **up)
        return [(one.service.limits.memory, one.service.restart.policy) for one in found.targets.values()]

    assert after(stack(DB)) == [(1 << 30, "always")]
    assert after(stack(replace(DB, scale=2))) == [(1 << 30, "always")] * 2
    assert after(stack(replace(DB, config_hash="c2"))) == [(None, "no")]
    assert after(stack(DB), "force") == [(None, "no")]


def test_a_renamed_service_does_not_share_its_port_with_the_old_one():
    """Else every other request went to a service that the file has no more; docker finds the port taken, too."""
    up = {"services": None, "recreate": "diverged", "no_deps": False, "no_start": False}
    old = replace(DB, ports=(Port(80, (8080, 8080)), Port(81, (9000, 9001))))
    before = apply.applied(Wanted(), {}, stack(old), remove_orphans=False, **up)
    new = stack(replace(old, name="base"))
    sees = {"shop-db-1": running(old)}
    with pytest.raises(OrchestraError, match="cannot start base: host port 8080/tcp is used by shop-db-1, which"):
        apply.applied(before, sees, new, remove_orphans=False, **up)
    assert list(apply.applied(before, sees, new, remove_orphans=True, **up).targets) == ["shop-base-1"]
    other = stack(replace(old, name="base", ports=(Port(80, (8080, 8080), protocol="udp"), Port(81, (9000, 9001)))))
    assert len(apply.applied(before, sees, other, remove_orphans=False, **up).targets) == 2
    stopped = apply.changed(before, ["shop-db-1"], stopped=True)
    assert len(apply.applied(stopped, sees, new, remove_orphans=False, **up).targets) == 2


def test_the_last_word_about_processors_counts():
    """cpus and cpu_quota exclude each other in a file; an update replaces one by the other."""
    slow = replace(DB, limits=Limits(cpu_quota=5000, cpu_period=10000))
    new = updated(wanted(slow), ["db-1"], {"cpus": 2.0}, None).targets["db-1"].service.limits
    assert new == Limits(cpus=2.0)
    with pytest.raises(OrchestraError, match=r"cannot update db: .* it needs mem_limit"):
        updated(wanted(DB), ["db-1"], {"memory_swap": 1 << 30}, None)


@pytest.mark.parametrize("leaving", [True, False])
def test_a_network_in_which_somebody_is_just_being_made_is_not_removed(leaving):
    """Although nobody wants either any more. Who is being removed needs it no longer."""
    sees = facts(Seen(API, 1, busy=True, leaving=leaving))
    assert ("remove network shop_default" in told(Wanted(), sees)) == leaving


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (ended(DB, at=1, busy=True, leaving=True), "it is being removed"),
        (ended(DB, at=1, busy=True, made=False), "it is being made"),
        (ended(DB, at=1, busy=True), "it is being started"),
        (replace(running(DB), busy=True), "it is being changed"),
    ],
)
def test_who_is_at_work_says_at_what(seen: Seen, reason: str):
    """A sentence for people, for each kind of step."""
    assert told(wanted(DB), facts(seen)) == f"hold db-1: {reason}"


def test_a_dependency_is_called_what_people_call_it():
    """Not by the names that phases have inside."""
    db = service("db", check=True, restart="always")
    for at, word in ((9.95, "restarting"), (9.8, "restarting")):
        seen = facts(ended(db, at=at, code=1, since=9.0, streak=1), replace(running(API), made=True, run=None))
        assert f"db is not healthy yet ({word})" in told(wanted(db, API), seen)
