"""The road does not matter: from any state, carrying out plans until they are empty leaves what was asked for."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from sketch import need, service, stack

from orchestra.plan import apply
from orchestra.plan.facts import Facts, Seen, Wanted, jobs
from orchestra.plan.phase import after_end
from orchestra.plan.reconcile import reconcile
from orchestra.plan.rehearse import after
from orchestra.plan.steps import Launch
from orchestra.plan.update import updated
from orchestra.stack.model import Dependency, Service, Stack, Update

CONDITIONS = st.sampled_from(["service_started", "service_healthy", "service_completed_successfully"])


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    """Up to five services; each may depend on earlier ones, so there is no cycle."""
    services = []
    for index in range(draw(st.integers(1, 5))):
        earlier = (
            draw(st.lists(st.sampled_from(services), unique_by=lambda s: s.name, max_size=2)) if services else []
        )
        needs = [need(one.name, draw(CONDITIONS), restart=draw(st.booleans())) for one in earlier]
        needs = [replace(one, condition="service_started") if _is_kept_up(services, one) else one for one in needs]
        restart = draw(st.sampled_from(["no", "always", "on-failure", "unless-stopped"]))
        services.append(
            replace(
                service(
                    f"s{index}",
                    *needs,
                    restart=restart,
                    check=draw(st.booleans()),
                    config=f"{draw(st.sampled_from(['c1', 'c2']))}-{restart}",  # what the file says is in its hash
                    scale=draw(st.integers(1, 2)),
                ),
                # One that fails is not the end of it, or what it waits for would be no convergence.
                update=Update(parallelism=draw(st.integers(0, 2)), failure_action="continue"),
            )
        )
    return stack(*services)


def _is_kept_up(services, one: Dependency) -> bool:
    """A service that is started again whenever it ends can never count as completed."""
    policy = next(each for each in services if each.name == one.service).restart.policy
    return one.condition == "service_completed_successfully" and policy in ("always", "unless-stopped")


changes = st.lists(
    st.one_of(
        st.tuples(st.just("up"), stacks()),
        st.tuples(st.just("force"), stacks()),
        st.tuples(st.sampled_from(["stop", "restart", "start", "crash"]), st.integers(0, 9)),
        st.tuples(st.just("update"), st.integers(0, 9)),
        st.tuples(st.just("down"), st.booleans()),
    ),
    min_size=1,
    max_size=6,
)


def change(kind: str, value: object, wants: Wanted, sees: Facts, now: float) -> tuple[Wanted, Facts]:
    if kind in ("up", "force"):
        assert isinstance(value, Stack)
        recreate = "force" if kind == "force" else "diverged"
        return apply.applied(wants, sees.containers, value, None, recreate, False, False, True), sees
    if kind == "down":
        return apply.nothing(wants, bool(value), None), sees
    names = sorted(wants.targets)
    if not names:
        return wants, sees
    assert isinstance(value, int)
    name = names[value % len(names)]
    if kind == "update":
        return updated(wants, [name], {"memory": (value + 8) << 20}, None), sees
    if kind == "stop":
        return apply.changed(wants, [name], stopped=True), sees
    if kind == "start":
        return apply.started(wants, sees.containers, [name]), sees
    if kind == "restart":
        return apply.restarted(wants, sees.containers, [name], None), sees
    seen = sees.containers.get(name)
    if seen is None or seen.run is None or not seen.alive:
        return wants, sees
    crashed = after_end(seen, replace(seen.run, ended=now, code=137, signal=9))
    return wants, replace(sees, containers={**sees.containers, name: crashed})


def carry_out(wants: Wanted, sees: Facts, now: float, few: int | None = None) -> tuple[Facts, float]:
    """Perform plans until nothing is left to do, or only a `few` steps, as if interrupted."""
    awaited = jobs(target.service for target in wants.targets.values())
    for _ in range(400):
        plan = reconcile(wants, sees, now)
        if not list(plan) and plan.look_again is None:
            if (rest := jobs_done(wants, sees, awaited, now)) is sees:
                return sees, now
            sees = rest
        for step in plan:
            if few is not None and few <= 0:
                return sees, now
            if isinstance(step, Launch):
                check_conditions(step.container, wants, sees)
            sees = after(step, wants, sees, now, awaited)
            few = None if few is None else few - 1
        now += (plan.look_again or 0.0) + 0.001
    raise AssertionError(f"does not converge: {plan.describe()}")


def jobs_done(wants: Wanted, sees: Facts, awaited: set[str], now: float) -> Facts:
    """Jobs that were no jobs yet when they were started end at some time, too."""
    for name, target in wants.targets.items():
        seen = sees.containers.get(name)
        if target.service.name in awaited and seen is not None and seen.alive and seen.run is not None:
            ended = after_end(seen, replace(seen.run, ended=now, code=0))
            sees = replace(sees, containers={**sees.containers, name: ended})
    return sees


def check_conditions(name: str, wants: Wanted, sees: Facts) -> None:
    """No dependent starts before the condition holds, unless it comes back from a crash of its own."""
    target, seen = wants.targets[name], sees.containers[name]
    if seen.run is not None and seen.run.epoch == target.epoch and seen.run.config == target.service.config_hash:
        return
    for dependency in target.service.depends_on:
        for other, its in wants.targets.items():
            if its.service.name != dependency.service or its.stopped:
                continue
            run = sees.containers[other].run
            assert run is not None, f"{name} started before {other} ever ran"
            if dependency.condition == "service_healthy" and its.service.healthcheck and run.alive:
                assert sees.containers[other].health == "healthy"
            if dependency.condition == "service_completed_successfully":
                assert run.code == 0


def is_as_made(service: Service, seen: Seen) -> bool:
    same = seen.service.config_hash == service.config_hash or not seen.alive
    return same and seen.service.limits == service.limits


def is_as_wanted(wants: Wanted, sees: Facts, now: float) -> bool:
    """What cannot be started for want of another (which was stopped, or has ended) does not take the place of what
    runs: the replicas of that service that are as before stay."""
    stuck = {
        wants.targets[hold.container].service.name for hold in reconcile(wants, sees, now).holds if hold.hopeless
    }
    if set(sees.containers) - set(wants.targets) or set(sees.networks) != set(wants.networks):
        return False
    for name, target in wants.targets.items():
        seen = sees.containers.get(name)
        if seen is None:
            continue
        if target.stopped and seen.alive:
            return False
        if not target.stopped and not is_as_made(target.service, seen) and target.service.name not in stuck:
            return False
    return True


@settings(max_examples=300, deadline=None)
@given(changes, st.lists(st.integers(0, 12), min_size=6, max_size=6))
def test_any_sequence_of_changes_converges(todo, interruptions):
    """Whatever is asked for, in whatever state, interrupted wherever: in the end all is as wanted."""
    wants, sees, now = Wanted(), Facts(), 0.0
    for (kind, value), few in zip(todo, interruptions, strict=False):
        wants, sees = change(kind, value, wants, sees, now)
        sees, now = carry_out(wants, sees, now, few)
    sees, now = carry_out(wants, sees, now)
    assert is_as_wanted(wants, sees, now)


@settings(max_examples=100, deadline=None)
@given(stacks())
def test_up_twice_does_nothing_the_second_time(shop):
    """An unchanged stack is left alone."""
    wants = apply.applied(Wanted(), {}, shop, None, "diverged", False, False, False)
    sees, now = carry_out(wants, Facts(), 0.0)
    again = apply.applied(wants, sees.containers, shop, None, "diverged", False, False, False)
    assert list(reconcile(again, sees, now)) == []


@settings(max_examples=100, deadline=None)
@given(stacks())
def test_down_leaves_nothing(shop):
    """After `down` there is no container and no network."""
    wants = apply.applied(Wanted(), {}, shop, None, "diverged", False, False, False)
    sees, now = carry_out(wants, Facts(), 0.0)
    sees, _ = carry_out(apply.nothing(wants, True, None), sees, now)
    assert sees == Facts()
