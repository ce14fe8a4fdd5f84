"""Facts in, plan out: what should happen next so that what is so becomes what is wanted.

One look decides at most one step for each container. Order between services is a hold that a later look lifts;
there is no second engine for waiting. Nothing here does I/O, and time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeGuard

from ..stack.model import Dependency, Network, Service
from . import sharing
from .changes import why_replaced
from .facts import Facts, Seen, Target, Wanted
from .phase import Phase, delay_before, due_at, how_it_ended, phase_of
from .replacing import judged, why_draining, why_not_stopped_yet, why_not_yet
from .standing import MOMENT, Standing, standing
from .steps import (
    BY_HEALTH,
    Adjust,
    ContainerStep,
    DropNetwork,
    DropVolume,
    GoBack,
    Groundwork,
    Hold,
    Kill,
    Launch,
    Make,
    MakeNetwork,
    MakeVolume,
    Plan,
    Remove,
    Stop,
    TakeOver,
)
from .update import why_adjusted

RUNS = frozenset({Phase.STARTING, Phase.RUNNING, Phase.HEALTHY, Phase.UNHEALTHY})
ASKED = "asked to stop, "
OVER = frozenset({Phase.FINISHED, Phase.GAVE_UP})
ON_THE_WAY = {Phase.DUE: "restarting", Phase.OUTDATED: "stopping"}
"""Phases that people know by other words."""
JUST_STARTED = "has just been started"


def reconcile(wanted: Wanted, facts: Facts, now: float) -> Plan:
    """What to do next, why nothing is done for the rest, and when to look again."""
    look = _Look(wanted, facts, now)
    groundwork = tuple(look.groundwork())
    steps: list[ContainerStep] = []
    holds: list[Hold] = []
    for name in sorted({*wanted.targets, *facts.containers}):
        decided = look.decide(name)
        if isinstance(decided, Hold):
            holds.append(decided)
        elif decided is not None:
            steps.append(decided)
    return Plan(groundwork, tuple(steps), tuple(holds), look.again)


class _Look:
    """One look at the world; its only changing attribute is the earliest time worth another look."""

    def __init__(self, wanted: Wanted, facts: Facts, now: float) -> None:
        self.wanted = wanted
        self.facts = facts
        self.now = now
        self.again: float | None = None
        self.phases = {
            name: phase_of(target, facts.containers.get(name), now) for name, target in wanted.targets.items()
        }
        self.replicas = _by_service(wanted.targets)

    def later(self, at: float) -> None:
        wait = max(0.0, at - self.now)
        self.again = wait if self.again is None else min(self.again, wait)

    # Networks and volumes

    def groundwork(self) -> Iterator[Groundwork]:
        for key, network in self.wanted.networks.items():
            if key not in self.facts.networks and self._network_idle(key):
                yield MakeNetwork(network, "it does not exist")
        for volume in self.wanted.volumes.values():
            if volume.name not in self.facts.volumes and not volume.external and self._rested(volume.name):
                yield MakeVolume(volume, "it does not exist")
        for key, network in self.facts.networks.items():
            changed = key in self.wanted.networks and self.wanted.networks[key] != network
            gone = key not in self.wanted.networks
            if (gone or changed) and self._network_idle(key) and not self._network_used(key, network):
                yield DropNetwork(network, "its definition changed" if changed else "no service uses it any more")
        kept = {volume.name for volume in self.wanted.volumes.values()}
        for name in sorted(self.wanted.discard_volumes & self.facts.volumes - kept):
            if not self.facts.containers:
                yield DropVolume(name, "down --volumes")
        yield from sharing.steps(self.wanted, self.facts, self._rested)

    def _network_idle(self, key: str) -> bool:
        return not self._under_way(key) and self._rested(key)

    def _network_used(self, key: str, network: Network) -> bool:
        """Who is just being removed uses it no longer: both wait for the kernel, and can do so at the same time.

        Who is just being made uses it, wanted or not. An external one stays for others, who must not get an address
        that is still in use.
        """
        return any(
            key == join.network
            for name, seen in self.facts.containers.items()
            if seen.made or (seen.busy and (network.external or name in self.wanted.targets or not seen.leaving))
            for join in seen.service.networks
        )

    def _rested(self, thing: str) -> bool:
        trouble = self.facts.troubles.get(thing)
        return trouble is None or self._pause_over(trouble.since, trouble.times)

    def _pause_over(self, since: float, times: int) -> bool:
        if not times:
            return True
        at = since + max(1.0, delay_before(times))
        if self.now < at:
            self.later(at)
            return False
        return True

    # Containers

    def decide(self, name: str) -> ContainerStep | Hold | None:
        seen = self.facts.containers.get(name)
        target = self.wanted.targets.get(name)
        if seen is not None and seen.busy:
            return Hold(name, under_way(seen))
        if target is None:
            assert seen is not None
            return self._leave(name, seen)
        if target.replaces:
            return self._replace(name, target, seen)
        return self._keep(name, target, seen)

    def _replace(self, name: str, target: Target, seen: Seen | None) -> ContainerStep | Hold | None:
        """On the way to take over from another one; see plan/replacing."""
        if target.replaces not in self.wanted.targets:
            return TakeOver(name, target.replaces, "that one is gone")
        verdict = judged(target, seen, self.now)
        if verdict.failure:
            return GoBack(name, verdict.failure)
        if verdict.ready:
            cause = f"it is {self.phases[name].value}"
            return TakeOver(name, target.replaces, cause)
        why, again = why_not_yet(self.wanted, self.facts, name, self.now)
        for moment in (verdict.again, again):
            if moment is not None:
                self.later(moment)
        if why:
            return Hold(name, why)
        decided = self._keep(name, target, seen)
        return GoBack(name, f"cannot be started: {decided.reason}") if _hopeless(decided) else decided

    def _keep(self, name: str, target: Target, seen: Seen | None) -> ContainerStep | Hold | None:
        if seen is None or not seen.made:
            return self._make(name, target, seen)
        phase = self.phases[name]
        if phase is Phase.OUTDATED:
            why, again, hopeless = self._turn(name)
            if again is not None:
                self.later(again)
            return (
                Hold(name, why, hopeless) if why else self._stop(name, seen, why_outdated(target, seen), target.grace)
            )
        if phase is Phase.UNHEALTHY and target.service.on_unhealthy == "restart":
            return self._stop(name, seen, f"{BY_HEALTH} ({seen.health_text})", target.grace)
        if not seen.alive and seen.service.config_hash != target.service.config_hash:
            return Remove(name, why_replaced(seen.service, target.service))
        if not seen.alive and self._stale_network(seen.service):
            return Remove(name, "its network changed")
        if seen.service.limits != target.service.limits and self._pause_over(seen.trouble_at, seen.troubles):
            return Adjust(name, why_adjusted(seen.service, target.service))
        if phase is Phase.BACKING_OFF:
            return self._back_off(name, seen)
        if phase in (Phase.CREATED, Phase.DUE):
            return self._start(name, target, seen, phase)
        if seen.run is not None and standing(target, seen, self.now) is Standing.FRESH:
            self.later(seen.run.started + MOMENT)  # somebody may wait for it
        return None

    def _leave(self, name: str, seen: Seen) -> ContainerStep | Hold:
        draining = self.wanted.draining.get(name)
        if seen.alive and draining is not None and seen.asked_to_stop is None:
            why, again = why_draining(draining, self.facts, name, self.now)
            if again is not None:
                self.later(again)
            if why:
                return Hold(name, why)
        if seen.alive:
            cause = f"{draining.by} has taken over" if draining else "it is not wanted any more"
            return self._stop(name, seen, cause, self.wanted.leaving_grace)
        if seen.leaving and not self._pause_over(seen.trouble_at, seen.troubles):
            return Hold(name, f"could not be removed: {seen.trouble}")
        return Remove(name, "it is not wanted any more")

    def _make(self, name: str, target: Target, seen: Seen | None) -> ContainerStep | Hold | None:
        if target.stopped:
            return None
        if seen is not None and not self._pause_over(seen.trouble_at, seen.troubles):
            return Hold(name, f"could not be made: {seen.trouble}", hopeless=True)
        for join in target.service.networks:
            network = self.wanted.networks.get(join.network)
            if network is not None and not self._stands(network):
                return self._missing(name, f"network {network.name}", network.key)
        for mount in target.service.mounts:
            volume = self.wanted.volumes.get(mount.source) if mount.type == "volume" else None
            if volume is not None and volume.external and volume.name not in self.facts.volumes:
                return Hold(name, f"volume {volume.name} is external and does not exist", hopeless=True)
            if volume is not None and (volume.name not in self.facts.volumes or self._under_way(volume.name)):
                return self._missing(name, f"volume {volume.name}", volume.name)
        if provider := self._provider_missing(target.service):
            return Hold(name, f"the network of {provider} is not there yet", on=(provider,))
        return Make(name, "it does not exist")

    def _stands(self, network: Network) -> bool:
        return self.facts.networks.get(network.key) == network and not self._under_way(network.key)

    def _under_way(self, thing: str) -> bool:
        """It is being made or mended, or taken away: until that is over it is a fact."""
        return thing in self.facts.busy_networks

    def _missing(self, name: str, what: str, thing: str) -> Hold:
        if trouble := self.facts.troubles.get(thing):
            return Hold(name, f"{what} could not be made: {trouble.what}", hopeless=True)
        return Hold(name, f"{what} is not there yet")

    def _provider_missing(self, service: Service) -> str | None:
        if not service.network_mode.startswith("service:"):
            return None
        provider = service.network_mode.removeprefix("service:")
        made = [seen.made for name in self.replicas.get(provider, ()) if (seen := self.facts.containers.get(name))]
        return None if any(made) else provider

    def _stale_network(self, service: Service) -> bool:
        return any(
            join.network in self.wanted.networks
            and join.network in self.facts.networks
            and self.facts.networks[join.network] != self.wanted.networks[join.network]
            for join in service.networks
        )

    def _stop(self, name: str, seen: Seen, cause: str, grace: float | None) -> ContainerStep | Hold:
        if seen.killed:
            return Hold(name, "killed, its processes are ending")
        allowed = seen.service.stop_grace_period if grace is None else grace
        if seen.asked_to_stop is None:
            if dependents := self._still_leaning_on(name, seen):
                return Hold(name, f"stops after {' and '.join(dependents)}")
            return Stop(name, allowed, cause)
        end = seen.asked_to_stop + allowed
        if self.now < end:
            self.later(end)
            return Hold(name, f"{ASKED}has {allowed:g} s for it")
        return Kill(name, f"it did not stop within {allowed:g} s")

    def _still_leaning_on(self, name: str, seen: Seen) -> list[str]:
        """Running containers that depend on this one and are to stop as well: they go first."""
        return sorted(
            other
            for other, its in self.facts.containers.items()
            if other != name
            and its.alive
            and any(needed.service == seen.service.name for needed in its.service.depends_on)
            and its.service.name != seen.service.name
            and self._is_leaving(other)
        )

    def _is_leaving(self, name: str) -> bool:
        if name in self.wanted.targets:
            return self.phases[name] is Phase.OUTDATED and not self._turn(name)[0]
        return True

    def _turn(self, name: str) -> tuple[str, float | None, bool]:
        """Why a container of something changed is not stopped yet."""
        target, seen = self.wanted.targets[name], self.facts.containers[name]
        if target.stopped or self._stale_network(seen.service):
            return "", None, False  # asked to; or what it stands on goes, and takes all of them along
        return why_not_stopped_yet(self.wanted, self.facts, name, self.now)

    def _back_off(self, name: str, seen: Seen) -> Hold:
        assert seen.run is not None
        at = due_at(seen, seen.run)
        self.later(at)
        return Hold(name, f"restarting in {at - self.now:.1f} s ({ordinal(seen.restarts + 1)})")

    def _start(self, name: str, target: Target, seen: Seen, phase: Phase) -> ContainerStep | Hold:
        for dependency in target.service.depends_on:
            # A crashed service comes back whatever became of its dependencies meanwhile, as with docker.
            if phase is not Phase.DUE and (hold := self._held_by(name, dependency)):
                return hold
        if provider := self._provider_missing(target.service):
            return Hold(name, f"the network of {provider} is not there yet", on=(provider,))
        return Launch(name, _why_launch(target, seen, phase))

    def _held_by(self, name: str, dependency: Dependency) -> Hold | None:
        if use := self.wanted.uses.get(dependency.service):
            reason, hopeless = sharing.unmet(use, dependency.condition, self.facts)
            if reason is None or (hopeless and not dependency.required):
                return None
            return Hold(name, f"{dependency.service} {reason}", hopeless, (dependency.service,))
        for other in self.replicas.get(dependency.service, ()):
            reason, hopeless = self._unmet(other, dependency.condition)
            if reason is None or (hopeless and not dependency.required):
                continue
            return Hold(name, f"{dependency.service} {reason}", hopeless, (dependency.service,))
        return None

    def _unmet(self, other: str, condition: str) -> tuple[str | None, bool]:
        """Why the condition does not hold for this container, and whether it ever may without help."""
        reason, hopeless = self._unmet_by(other, condition)
        # One that is to replace another gives up or takes over: neither is for ever.
        return reason, hopeless and not self.wanted.targets[other].replaces

    def _unmet_by(self, other: str, condition: str) -> tuple[str | None, bool]:
        phase = self.phases[other]
        target = self.wanted.targets[other]
        seen = self.facts.containers.get(other)
        run = seen.run if seen else None
        current = run is not None and run.epoch >= target.epoch and run.config == target.service.config_hash
        if phase is Phase.STOPPED:
            return "is stopped", True
        if phase is Phase.ABSENT and seen is not None and seen.trouble:
            return f"could not be made: {seen.trouble}", True
        if not current or run is None:
            return self._not_started(other, target)
        if run.trouble and phase in OVER:
            return f"could not be started: {run.trouble}", True
        if condition == "service_completed_successfully":
            return _unmet_completion(phase, target, run.code)
        if condition == "service_started":
            return self._unmet_start(target, phase, seen)
        return _unmet_health(phase, seen.health_text if seen else "", run.code)

    def _unmet_start(self, target: Target, phase: Phase, seen: Seen | None) -> tuple[str | None, bool]:
        """Who ends at once again and again has been started: whether it stays is up to its restart policy."""
        assert seen is not None
        stands = standing(target, seen, self.now)
        if stands is Standing.FRESH:
            return JUST_STARTED, False
        if stands is not Standing.FAILED or (seen.restarts and phase not in OVER):
            return None, False
        return f"has ended at once ({how_it_ended(seen.run)})", phase in OVER

    def _not_started(self, other: str, target: Target) -> tuple[str, bool]:
        """The chain of reasons, down to the one that everything waits for."""
        for dependency in target.service.depends_on:
            if hold := self._held_by(other, dependency):
                return f"is not started ({hold.reason})", hold.hopeless
        return "is not started yet", False


def under_way(seen: Seen) -> str:
    """What is just being done to a container."""
    if seen.leaving:
        return "it is being removed"
    if not seen.made:
        return "it is being made"
    return "it is being changed" if seen.alive else "it is being started"


def _hopeless(decided: object) -> TypeGuard[Hold]:
    return isinstance(decided, Hold) and decided.hopeless


def _unmet_completion(phase: Phase, target: Target, code: int | None) -> tuple[str | None, bool]:
    if phase in RUNS or phase is Phase.OUTDATED:
        return "has not completed yet", False
    if code == 0:
        return None, False
    return f"did not complete successfully (exit code {code})", phase in OVER


def _unmet_health(phase: Phase, said: str, code: int | None) -> tuple[str | None, bool]:
    if phase in (Phase.HEALTHY, Phase.RUNNING):
        return None, False
    if phase is Phase.UNHEALTHY:
        return f"is unhealthy ({said})" if said else "is unhealthy", True
    if phase in OVER:
        return f"has ended (exit code {code})", True
    return f"is not healthy yet ({ON_THE_WAY.get(phase, phase.value)})", False


def why_outdated(target: Target, seen: Seen) -> str:
    if target.stopped:
        return "asked to"
    if seen.service.config_hash != target.service.config_hash:
        return why_replaced(seen.service, target.service)
    return "a restart was asked for"


def _why_launch(target: Target, seen: Seen, phase: Phase) -> str:
    if seen.run is None:
        return "it does not run"
    if phase is Phase.DUE:
        return f"it ended ({how_it_ended(seen.run)}), restart: {target.service.restart.policy}"
    return "asked to"


def ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _by_service(targets: Mapping[str, Target]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, target in sorted(targets.items()):
        if not target.oneoff:
            found.setdefault(target.service.name, []).append(name)
    return found
