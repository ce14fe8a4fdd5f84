"""start-first, as printed and as a property: whoever serves goes on serving until another one does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sketch import NETWORK, need, service

from orchestra.plan import apply, replacing
from orchestra.plan.facts import Facts, Seen, Wanted
from orchestra.plan.phase import after_end
from orchestra.plan.reconcile import reconcile
from orchestra.plan.rehearse import after
from orchestra.plan.steps import GoBack, Launch, Make, Step, TakeOver
from orchestra.stack.model import Join, Network, Service, Stack, Update

START_FIRST = Update(order="start-first", parallelism=1)
STACK = "shop"


def web(config: str = "c1", scale: int = 1, check: bool = True, **update: object) -> Service:
    made = service("web", check=check, config=config, scale=scale, restart="always")
    return replace(made, update=replace(START_FIRST, **update))  # type: ignore[arg-type]


def shop(*services: Service, network: Network = NETWORK) -> Stack:
    return Stack(STACK, "/", (), {one.name: one for one in services}, networks={"default": network})


def up(wants: Wanted, sees: Facts, *services: Service, recreate: str = "diverged", **parts: object) -> Wanted:
    stack = shop(*services, **parts)  # type: ignore[arg-type]
    return apply.applied(wants, sees.containers, stack, None, recreate, False, False, True)  # type: ignore[arg-type]


class Play:
    """Carries out plans step by step; what a new container comes to is said by `verdicts` (config -> verdict)."""

    def __init__(self, **verdicts: str) -> None:
        self.wants, self.sees, self.now = Wanted(), Facts(), 0.0
        self.verdicts = verdicts
        self.story: list[str] = []

    def want(self, wants: Wanted) -> None:
        self.wants = wants

    def look(self) -> bool:
        """One look, and everything that it says; whether there was anything to do or to wait for."""
        plan = reconcile(self.wants, self.sees, self.now)
        steps = list(plan)
        for step in steps:
            self.do(step)
        self.now += (plan.look_again or 0.0) + (0.0 if steps else 0.001)
        return bool(steps) or plan.look_again is not None

    def do(self, step: Step) -> None:
        self.story.append(step.describe())
        self.sees = after(step, self.wants, self.sees, self.now, set())
        if isinstance(step, Launch):
            self.begin(step.container)
        self.wants = replacing.written(self.wants, self.sees.containers, STACK, step, self.now)

    def begin(self, name: str) -> None:
        seen = self.sees.containers[name]
        verdict = self.verdicts.get(seen.service.config_hash, "healthy")
        if verdict == "dies":
            assert seen.run is not None
            self.see(name, after_end(seen, replace(seen.run, ended=self.now, code=3)))
        else:
            self.see(name, replace(seen, health=verdict, health_text="says no" if verdict == "unhealthy" else ""))

    def see(self, name: str, seen: Seen) -> None:
        self.sees = replace(self.sees, containers={**self.sees.containers, name: seen})

    def through(self, most: int = 300) -> None:
        """To the end."""
        for _ in range(most):
            if not self.look():
                return
        raise AssertionError(f"does not converge: {reconcile(self.wants, self.sees, self.now).describe()}")

    def serving(self) -> list[str]:
        return [
            name for name, seen in self.sees.containers.items() if seen.alive and replacing.serves(self.wants, name)
        ]

    def told(self) -> str:
        return reconcile(self.wants, self.sees, self.now).describe()


def running(*services: Service, **verdicts: str) -> Play:
    play = Play(**verdicts)
    play.want(up(play.wants, play.sees, *services))
    play.through()
    play.story.clear()
    return play


def test_the_new_one_takes_over_once_it_is_healthy_and_the_old_one_drains() -> None:
    """Start, switch, drain, stop: in this order."""
    play = running(web())
    play.want(up(play.wants, play.sees, web("c2")))
    play.through()
    assert play.story == [
        "make shop-web-2: it does not exist",
        "start shop-web-2: it does not run",
        "switch from shop-web-1 to shop-web-2: it is healthy",
        "stop shop-web-1: shop-web-2 has taken over",
        "remove shop-web-1: it is not wanted any more",
    ]
    assert set(play.wants.targets) == {"shop-web-2"}
    assert (play.wants.draining, play.wants.replacements) == ({}, {})


def test_the_next_replacement_gets_the_first_number_again() -> None:
    """The lowest that is free."""
    play = running(web())
    for config in ("c2", "c3"):
        play.want(up(play.wants, play.sees, web(config)))
        play.through()
    assert set(play.wants.targets) == set(play.sees.containers) == {"shop-web-1"}


def test_the_old_one_serves_as_long_as_the_new_one_is_not_healthy() -> None:
    """And both say so."""
    play = running(web(), c2="starting")
    play.want(up(play.wants, play.sees, web("c2")))
    for _ in range(5):
        play.look()
    assert play.serving() == ["shop-web-1"]
    assert replacing.told(play.wants, "shop-web-2") == "replacing shop-web-1, which serves until shop-web-2 is ready"
    assert replacing.told(play.wants, "shop-web-1") == "serves until shop-web-2 is ready"


@pytest.mark.parametrize(
    ("verdict", "cause"), [("unhealthy", "is unhealthy: says no"), ("dies", "has ended: exit code 3")]
)
def test_what_does_not_become_healthy_is_given_up(verdict: str, cause: str) -> None:
    """The old definition is what is wanted again, and the cause is kept."""
    play = running(web(), c2=verdict)
    play.want(up(play.wants, play.sees, web("c2")))
    play.through()
    assert play.serving() == ["shop-web-1"]
    assert {one.service.config_hash for one in play.wants.targets.values()} == {"c1"}
    assert set(play.sees.containers) == {"shop-web-1"}
    assert replacing.failures(play.wants, ["web"]) == [f"web was not replaced: shop-web-2 {cause}"]


def test_a_failure_is_forgotten_with_the_next_up() -> None:
    """It was about another attempt."""
    play = running(web(), c2="unhealthy")
    for config in ("c2", "c3"):
        play.want(up(play.wants, play.sees, web(config)))
        play.through()
    assert replacing.failures(play.wants, ["web"]) == []
    assert {one.service.config_hash for one in play.wants.targets.values()} == {"c3"}


def test_replicas_are_replaced_one_after_the_other() -> None:
    """parallelism: 1; never more than one beyond the scale."""
    play = running(web(scale=3))
    play.want(up(play.wants, play.sees, web("c2", scale=3)))
    most = 0
    while play.look():
        most = max(most, len(play.sees.containers))
        assert len(play.serving()) == 3
    assert most == 4
    assert {one.service.config_hash for one in play.sees.containers.values()} == {"c2"}


def test_parallelism_replaces_so_many_at_a_time() -> None:
    """0 stands for all."""
    for parallelism, most in ((2, 5), (0, 6)):
        play = running(web(scale=3))
        play.want(up(play.wants, play.sees, web("c2", scale=3, parallelism=parallelism)))
        seen = 0
        while play.look():
            seen = max(seen, len(play.sees.containers))
        assert seen == most


def test_delay_is_between_one_and_the_next() -> None:
    """Counted from the moment at which one took over."""
    play = running(web(scale=2))
    play.want(up(play.wants, play.sees, web("c2", scale=2, delay=60.0)))
    play.through()
    assert play.now >= 60


@pytest.mark.parametrize(
    ("action", "generations"), [("rollback", {"c1"}), ("pause", {"c1", "c2"}), ("continue", {"c1", "c2"})]
)
def test_failure_action_says_what_becomes_of_the_others(action: str, generations: set[str]) -> None:
    """The second of three fails: all go back, or it stays at that, or the third has its turn."""
    play = running(web(scale=3))
    play.want(up(play.wants, play.sees, web("c2", scale=3, failure_action=action)))
    while not any(line.startswith("switch") for line in play.story):
        play.look()
    play.verdicts["c2"] = "unhealthy"
    while not any(line.startswith("give up") for line in play.story):
        play.look()
    play.verdicts.clear()
    play.through()
    configs = [one.service.config_hash for one in play.sees.containers.values()]
    assert set(configs) == generations
    assert configs.count("c2") == {"rollback": 0, "pause": 1, "continue": 2}[action]
    assert len(configs) == 3


def test_rollback_config_says_how_what_failed_goes_back() -> None:
    """The third of three fails: the two before it go back both at once, though the update was one by one."""
    rollback = replace(START_FIRST, parallelism=2, failure_action="pause")
    play = running(web(scale=3))
    play.want(up(play.wants, play.sees, replace(web("c2", scale=3), rollback=rollback)))
    while sum(line.startswith("switch") for line in play.story) < 2:
        play.look()
    play.verdicts["c2"] = "unhealthy"
    while not any(line.startswith("give up") for line in play.story):
        play.look()
    play.verdicts.clear()
    play.look()
    back = [name for name, one in play.wants.targets.items() if one.replaces]
    assert len(back) == 2
    play.look()
    assert all(name in play.sees.containers for name in back)
    play.through()
    assert {one.service.config_hash for one in play.sees.containers.values()} == {"c1"}


def test_a_tolerated_ratio_of_failures_does_not_end_the_replacement() -> None:
    """max_failure_ratio: 0.5 of two is one."""
    play = running(web(scale=2), c2="unhealthy")
    play.want(up(play.wants, play.sees, web("c2", scale=2, max_failure_ratio=0.5)))
    while not any(line.startswith("give up") for line in play.story):
        play.look()
    play.verdicts.clear()
    play.through()
    assert sorted(one.service.config_hash for one in play.sees.containers.values()) == ["c1", "c2"]


def test_monitor_is_how_long_it_has_to_run_before_it_takes_over() -> None:
    """With and without a check."""
    play = running(web(check=False))
    play.want(up(play.wants, play.sees, web("c2", check=False, monitor=5.0)))
    before = play.now
    while not any(line.startswith("switch") for line in play.story):
        play.look()
    assert play.now - before >= 5


def test_the_old_one_waits_for_its_connections_and_not_for_ever() -> None:
    """As long as there are some, at most `drain`."""
    play = running(web())
    play.want(up(play.wants, play.sees, web("c2", drain=8.0)))
    while not any(line.startswith("switch") for line in play.story):
        play.look()
    play.sees = replace(play.sees, connections={"shop-web-1": 2})
    assert play.told() == "hold shop-web-1: shop-web-2 has taken over, 2 connections left, 8.0 s at most"
    since = play.now
    play.through()
    assert play.now - since == pytest.approx(8, abs=0.1)


def test_the_old_one_waits_for_who_needs_it_from_outside() -> None:
    """A fact that others state holds it, however long ago its successor took over."""
    play = running(web())
    play.want(up(play.wants, play.sees, web("c2")))
    play.sees = replace(play.sees, needed={"shop-web-1": "forum has not joined it yet"})
    for _ in range(10):
        play.look()
    play.now += 100
    assert play.told() == "hold shop-web-1: shop-web-2 has taken over, forum has not joined it yet"
    play.sees = replace(play.sees, needed={})
    play.through()
    assert set(play.sees.containers) == {"shop-web-2"}


def test_the_newest_up_wins() -> None:
    """One in the middle of a replacement gives up the container that was to come."""
    play = running(web(), c2="starting")
    play.want(up(play.wants, play.sees, web("c2")))
    for _ in range(3):
        play.look()
    play.want(up(play.wants, play.sees, web("c3")))
    play.through()
    assert {one.service.config_hash for one in play.sees.containers.values()} == {"c3"}
    assert set(play.sees.containers) == set(play.wants.targets)


def test_the_same_up_again_goes_on() -> None:
    """As a client does whose supervisor was killed."""
    play = running(web(), c2="starting")
    play.want(up(play.wants, play.sees, web("c2")))
    for _ in range(3):
        play.look()
    again = up(play.wants, play.sees, web("c2"))
    assert set(again.targets) == set(play.wants.targets)
    assert again.targets["shop-web-2"].replaces == "shop-web-1"


def test_down_in_the_middle_takes_everything() -> None:
    """At once: nothing drains that nobody can reach any more."""
    play = running(web())
    play.want(up(play.wants, play.sees, web("c2")))
    while not any(line.startswith("switch") for line in play.story):
        play.look()
    play.want(apply.nothing(play.wants, True, None))
    assert play.told() == "stop shop-web-1: it is not wanted any more\nstop shop-web-2: it is not wanted any more"
    play.through()
    assert play.sees == Facts(needed={}, connections={})


def test_who_leans_on_it_is_started_anew_after_the_switch() -> None:
    """depends_on with restart: true."""
    play = running(web(), service("front", need("web", restart=True)))
    play.want(up(play.wants, play.sees, web("c2"), service("front", need("web", restart=True))))
    play.through()
    switch = next(at for at, line in enumerate(play.story) if line.startswith("switch"))
    assert play.story.index("stop shop-front-1: a restart was asked for") > switch


@pytest.mark.parametrize(
    "part",
    [
        {"container_name": "fixed"},
        {"network_mode": "host", "networks": ()},
        {"networks": (Join("default", ipv4_address="10.0.0.9"),)},
    ],
    ids=str,
)
def test_what_cannot_be_there_twice_stops_first(part: dict[str, object]) -> None:
    """A fixed name, somebody else's network, a fixed address."""
    old, new = (replace(web(config), **part) for config in ("c1", "c2"))  # type: ignore[arg-type]
    play = running(old)
    play.want(up(play.wants, play.sees, new))
    play.through()
    assert play.story[0].startswith("stop ")
    assert len(play.wants.targets) == 1


def test_a_network_that_is_made_anew_takes_its_containers_along() -> None:
    """Two of one name cannot be there at once."""
    play = running(web())
    play.want(up(play.wants, play.sees, web("c2"), network=replace(NETWORK, internal=True)))
    play.through()
    assert any(step.startswith("stop shop-web-1: its configuration changed") for step in play.story)
    assert {one.service.config_hash for one in play.sees.containers.values()} == {"c2"}


def test_stop_first_replaces_so_many_at_a_time() -> None:
    """parallelism, with a healthy one before the next is stopped, and delay between them."""
    rolling = Update(parallelism=1, delay=30.0)
    play = running(replace(web(scale=3), update=rolling))
    play.want(up(play.wants, play.sees, replace(web("c2", scale=3), update=rolling)))
    began = play.now
    while play.look():
        assert len(play.serving()) >= 2
    assert {one.service.config_hash for one in play.sees.containers.values()} == {"c2"}
    assert play.now - began >= 60


@pytest.mark.parametrize(("action", "left"), [("pause", 2), ("continue", 0)])
def test_stop_first_pauses_at_what_failed(action: str, left: int) -> None:
    """The rest runs on as it was, and `up` can say why."""
    rolling = Update(parallelism=1, failure_action=action)  # type: ignore[arg-type]
    play = running(replace(web(scale=3), update=rolling), c2="unhealthy")
    play.want(up(play.wants, play.sees, replace(web("c2", scale=3), update=rolling)))
    for _ in range(40):
        play.look()
    assert [one.service.config_hash for one in play.sees.containers.values()].count("c1") == left
    assert ("hold shop-web-2: shop-web-1 is unhealthy: says no" in play.told()) == bool(left)


def test_without_an_update_config_all_are_replaced_at_once() -> None:
    """As docker compose does."""
    play = running(replace(web(scale=3), update=Update()))
    play.want(up(play.wants, play.sees, replace(web("c2", scale=3), update=Update())))
    assert play.told().count("stop shop-web-") == 3


VERDICTS = st.sampled_from(["healthy", "unhealthy", "dies", "starting"])
UPS = st.lists(
    st.tuples(
        st.sampled_from(["c1", "c2", "c3"]),
        st.integers(1, 3),  # scale
        VERDICTS,
        st.integers(0, 25),  # steps until the next one comes
        st.sampled_from([0, 1, 2]),  # parallelism
        st.sampled_from(["diverged", "force"]),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=300, deadline=None)
@given(UPS, st.sampled_from(["rollback", "continue", "pause"]))
def test_somebody_always_serves_and_one_generation_is_left(ups, action) -> None:
    """Whatever is asked for one upon another, whatever becomes of new containers, wherever it is interrupted."""
    play = running(web())
    for config, scale, verdict, steps, parallelism, recreate in ups:
        play.verdicts = {config: verdict, f"{config}~1": verdict, f"{config}~2": verdict} if config != "c1" else {}
        new = web(config, scale, parallelism=parallelism, failure_action=action)
        play.want(up(play.wants, play.sees, new, recreate=recreate))
        for _ in range(steps):
            step_by_step(play)
    play.verdicts = {}
    for name, seen in play.sees.containers.items():
        if seen.alive and seen.health == "starting":
            play.see(name, replace(seen, health="healthy"))
    for _ in range(300):
        if not step_by_step(play):
            break
    assert set(play.sees.containers) == set(play.wants.targets)
    assert not play.wants.draining
    assert not any(one.replaces for one in play.wants.targets.values())
    if action == "rollback" and not play.wants.replacements:
        assert len({one.service.config_hash.partition("~")[0] for one in play.sees.containers.values()}) == 1


def step_by_step(play: Play) -> bool:
    """One look; after each single step somebody has to serve."""
    plan = reconcile(play.wants, play.sees, play.now)
    for step in plan:
        if isinstance(step, Make | Launch | TakeOver | GoBack) and step.container not in play.wants.targets:
            continue  # an earlier step of this look has dropped it
        play.do(step)
        assert play.serving(), f"nobody serves after {step.describe()}\n" + "\n".join(play.story)
    play.now += (plan.look_again or 0.0) + 0.001
    return bool(list(plan)) or plan.look_again is not None


def test_a_changed_update_config_replaces_nothing() -> None:
    """It is about how, not about what."""
    play = running(replace(web(), update=Update()))
    play.want(up(play.wants, play.sees, web(drain=3.0)))
    assert play.told() == ""
    assert play.wants.targets["shop-web-1"].service.update.drain == 3
