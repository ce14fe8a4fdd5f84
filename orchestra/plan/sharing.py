"""Services that one stack owns and others use: what a user has to do for it, and what an owner may let go of.

A user holds a lease on each service that it uses, and each container of that service is joined to the user's own
networks. Nothing of the owner's stack but that service comes within reach.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import field

from ..stack.model import Condition, Use
from ..values import dataclass, replace
from .facts import Draining, Facts, Guest, Seen, Shared, Target, Wanted
from .replacing import LINGER
from .steps import GiveBack, Join, Lease, Part, SharingStep

Rested = Callable[[str], bool]
"""Whether a thing may be tried (again) now."""


def key_of(owner: str, service: str) -> str:
    return f"{owner}/{service}"


def key(use: Use) -> str:
    """Under which a lease is held, and its owner's facts are kept."""
    return key_of(use.stack, use.service)


def guest_name(lease: str, container: str) -> str:
    """What a container of another stack is called in this one's book: no container of its own is called so."""
    return f"{lease}/{container}"


def thing_of(step: SharingStep) -> str:
    """Under which name its troubles and its being under way are kept."""
    match step:
        case Lease(use):
            return f"lease {key(use)}"
        case GiveBack(owner, service):
            return f"lease {key_of(owner, service)}"
        case Join(owner, service, container, network) | Part(owner, service, container, network):
            return join_thing(key_of(owner, service), container, network.key)


def join_thing(lease: str, container: str, network: str) -> str:
    return f"join {guest_name(lease, container)} {network}"


def in_force(wanted: Wanted) -> dict[str, Use]:
    """What is used now: nothing by a stack of which nothing is to run."""
    resting = wanted.targets and all(one.stopped or one.held for one in wanted.targets.values())
    return {} if resting else dict(wanted.uses)


# The user's side


def steps(wanted: Wanted, facts: Facts, rested: Rested) -> Iterator[SharingStep]:
    """Leases to take and to give back, containers to join and to part from."""
    needed = _still_needed(wanted, facts)
    for step in _all_steps(wanted, facts):
        if isinstance(step, (Part, GiveBack)) and needed:
            continue
        thing = thing_of(step)
        if thing not in facts.busy_networks and rested(thing):
            yield step


def _all_steps(wanted: Wanted, facts: Facts) -> Iterator[SharingStep]:
    uses = in_force(wanted)
    for name, use in uses.items():
        if key(use) not in facts.leases or key(use) in facts.unsure:
            yield Lease(use, f"{name} uses it, {_how_it_is(facts.shared.get(key(use)))}")
    for lease, shared in facts.shared.items():
        joins = {join.network: use.name for use in uses.values() if key(use) == lease for join in use.networks}
        for container, guest in shared.guests.items():
            if guest.made and lease in facts.leases - facts.unsure:
                yield from _joins(lease, container, guest, joins, wanted, facts)
    for lease in sorted(facts.leases - {key(use) for use in uses.values()}):
        owner, _, service = lease.partition("/")
        yield GiveBack(owner, service, "it is not used any more")


def _joins(
    lease: str, container: str, guest: Guest, joins: Mapping[str, str], wanted: Wanted, facts: Facts
) -> Iterator[SharingStep]:
    """`joins`: network -> the name that the service has there."""
    owner, _, service = lease.partition("/")
    for network, name in joins.items():
        there = None if network in facts.busy_networks else facts.networks.get(network)
        if network not in guest.joined and there is not None and there == wanted.networks.get(network):
            yield Join(owner, service, container, there, f"it is {name} there")
    for network in sorted((guest.joined - joins.keys()) & facts.networks.keys()):
        yield Part(owner, service, container, facts.networks[network], "it is not used there any more")


def _how_it_is(shared: Shared | None) -> str:
    if shared is None:
        return "and it is started if need be"
    return "and it does not run: it is started" if shared.away else "and it runs"


def _still_needed(wanted: Wanted, facts: Facts) -> bool:
    """Whether somebody who may need it is still ending."""
    return any(
        seen.alive and ((target := wanted.targets.get(name)) is None or target.stopped)
        for name, seen in facts.containers.items()
    )


def unmet(use: Use, condition: Condition, facts: Facts) -> tuple[str | None, bool]:
    """Why a condition does not hold for a used service, and whether it never will without help."""
    of = f"(of stack {use.stack})"
    if trouble := facts.troubles.get(f"lease {key(use)}"):
        return f"{of} cannot be had: {trouble.what}", True
    shared = facts.shared.get(key(use))
    if key(use) not in facts.leases - facts.unsure or shared is None:
        return f"{of} is not asked for yet", False
    if shared.away:
        return f"{of} is away: {shared.away}", True
    staying = {name: guest for name, guest in shared.guests.items() if not guest.leaving}
    if not staying:
        return f"{of} is not started yet", False
    for container, guest in staying.items():
        reason, hopeless = _unmet(guest, condition)
        if reason is None and guest.alive:
            reason, hopeless = _not_joined(use, container, guest, facts)
        if reason is not None:
            return f"{of} {reason}", hopeless
    return None, False


def _unmet(guest: Guest, condition: Condition) -> tuple[str | None, bool]:
    if condition == "service_completed_successfully":
        if guest.alive or guest.code is None:
            return "has not completed yet", guest.hopeless
        return (None, False) if guest.code == 0 else (f"did not complete (exit code {guest.code})", True)
    if not guest.alive:
        if condition == "service_started" and guest.code is not None:
            ended_badly = guest.code != 0 and guest.hopeless
            return (f"has ended (exit code {guest.code})", True) if ended_badly else (None, False)
        return f"is not started yet ({guest.text})" if guest.text else "is not started yet", guest.hopeless
    if condition == "service_started" or guest.health in ("", "healthy"):
        return None, False
    if guest.health == "unhealthy":
        return f"is unhealthy ({guest.text})", True
    return "is not healthy yet (starting)", False


def _not_joined(use: Use, container: str, guest: Guest, facts: Facts) -> tuple[str | None, bool]:
    for join in use.networks:
        if trouble := facts.troubles.get(join_thing(key(use), container, join.network)):
            return f"cannot be joined: {trouble.what}", True
        if join.network not in guest.joined:
            return "is not joined yet", False
    return None, False


def is_another(before: Iterable[Guest], now: Iterable[Guest]) -> bool:
    """Whether the owner has restarted or replaced the service meanwhile; that it has crashed does not count."""
    old, new = ({one.asked for one in guests if one.asked and not one.apart} for guests in (before, now))
    return bool(old and new) and not new & old


def leant_on(wanted: Wanted, seen: Mapping[str, Seen], lease: str) -> Wanted:
    """depends_on with `restart: true`: who leans on a service that was restarted gets a new run as well."""
    names = {name for name, use in wanted.uses.items() if key(use) == lease}
    targets = dict(wanted.targets)
    for name, target in targets.items():
        leans = any(need.restart and need.service in names for need in target.service.depends_on)
        if leans and (one := seen.get(name)) is not None and one.alive:
            targets[name] = replace(target, epoch=target.epoch + 1)
    return replace(wanted, targets=targets)


# The owner's side

PATIENCE = 30.0
"""Seconds that a user may take to join what replaces a container, before the old one is stopped all the same."""
UNHEARD = 5.0
"""The same for one whose supervisor is not there: it is back within a second, or its stack does not run."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a user tells of our containers."""

    joined: frozenset[str] = frozenset()  # those that are in all networks where they are used
    led_to: frozenset[str] = frozenset()  # those that the service's names lead to there
    since: float = 0.0  # when it began to lead to just these


@dataclass(frozen=True, slots=True)
class Waits:
    """Whom a draining container waits for, in words, and who has been waited for in vain."""

    needed: Mapping[str, str] = field(default_factory=dict)
    given_up: Mapping[str, str] = field(default_factory=dict)


def waits(wanted: Wanted, users: Collection[tuple[str, str]], holdings: Mapping[str, Holding], now: float) -> Waits:
    """`users`: (stack, service of ours) for each lease; `holdings`: by stack, of those that are connected."""
    needed: dict[str, str] = {}
    given_up: dict[str, str] = {}
    for old, drain in wanted.draining.items():
        for user, service in sorted(users):
            if service != drain.service:
                continue
            why, end = _still_uses(old, drain, user, holdings.get(user))
            if why and now < end:
                needed[old] = why
                break
            if why:
                given_up[old] = why
    return Waits(needed, given_up)


def _still_uses(old: str, drain: Draining, user: str, holding: Holding | None) -> tuple[str, float]:
    """Why a user still needs the old container, and until when that counts; "" if it does not."""
    if holding is None:
        return f"stack {user} has not been heard", drain.since + UNHEARD
    if drain.by not in holding.joined:
        return f"stack {user} has not joined it yet", drain.since + PATIENCE
    if old in holding.led_to:
        return f"names in stack {user} have not been switched yet", drain.since + PATIENCE
    linger = min(LINGER, drain.longest)
    return f"names in stack {user} have just been switched", min(holding.since + linger, drain.since + PATIENCE)


def still_lent(wanted: Wanted, leased: Collection[str]) -> Wanted:
    """Without what runs for others only and has lost its last lease, on itself and on what needs it.

    `leased`: services of this stack.
    """
    needed = _with_needs(wanted, leased)
    targets = {
        name: target for name, target in wanted.targets.items() if not target.lent or target.service.name in needed
    }
    return wanted if len(targets) == len(wanted.targets) else replace(wanted, targets=targets)


def lent(wanted: Wanted) -> list[str]:
    """Services that nobody but other stacks has asked for."""
    return sorted({target.service.name for target in wanted.targets.values() if target.lent})


def runs_anyhow(wanted: Wanted, services: Collection[str]) -> bool:
    """Whether these are wanted already, so that whoever comes to use them changes nothing."""
    found: dict[str, bool] = {}
    for target in wanted.targets.values():
        name = target.service.name
        found[name] = found.get(name, True) and not target.stopped and not target.held
    return all(found.get(name, False) for name in services)


def _with_needs(wanted: Wanted, services: Collection[str]) -> set[str]:
    needs = {one.service.name: one.service.depends_on for one in wanted.targets.values()}
    found: set[str] = set()
    todo = list(services)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [need.service for need in needs.get(name, ())]
    return found


def guest_of(
    target: Target | None, seen: Seen | None, serving: bool, apart: bool, leaving: bool, text: str, hopeless: bool
) -> Guest:
    """What an owner tells of one container."""
    asked = f"{target.service.config_hash} {target.epoch}" if target is not None else ""
    if seen is None:
        return Guest(asked=asked, text=text, hopeless=hopeless)
    run = seen.run
    return Guest(
        made=seen.made,
        alive=seen.alive,
        health=seen.health if seen.alive and seen.service.healthcheck else "",
        serving=serving,
        apart=apart,
        leaving=leaving,
        code=run.code if run is not None and not run.alive else None,
        asked=asked,
        text=text,
        hopeless=hopeless,
    )
