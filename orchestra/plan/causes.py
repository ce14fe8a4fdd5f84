"""Why a service is where it is: its own state, those that it waits for down to the one that everything hangs on, and
what happens next. Read from the same facts and holds as the plan; `clock` puts an epoch second into words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from ..stack.model import Condition, Dependency, Use
from ..values import dataclass, replace
from ..wire.history import Cause, Kind, Next
from . import sharing
from .facts import Facts, Seen, Shared, Target, Wanted
from .phase import Phase, due_at, how_it_ended, phase_of
from .reconcile import ASKED, ordinal, why_outdated
from .spans import times
from .steps import Hold, Plan

Clock = Callable[[float], str]
WORST_FIRST: tuple[Kind, ...] = (
    *("failed", "gave_up", "unhealthy", "backing_off", "waiting", "starting"),
    *("stopping", "paused", "stopped", "finished", "ready"),
)
NOTHING: Next = {"text": "nothing: it is as it should be", "at": None, "command": ""}
BY_HAND = "nothing by itself"


def causes(
    wanted: Wanted, facts: Facts, plan: Plan, now: float, wall: float, clock: Clock, words: Mapping[str, str]
) -> list[Cause]:
    """One for each service, those that are worst off first. `now` and `wall` are the same moment, monotonic and since
    the epoch; `words`: container -> the last that it has said, of those that `gave_a_reason`."""
    look = _Look(wanted, facts, {hold.container: hold for hold in plan.holds}, now, wall, clock, words)
    services = dict.fromkeys(target.service.name for target in wanted.targets.values() if not target.oneoff)
    services |= dict.fromkeys(sharing.in_force(wanted))
    found = [look.cause(service, ()) for service in services]
    return sorted(found, key=lambda cause: (WORST_FIRST.index(cause["kind"]), cause["service"]))


def gave_a_reason(seen: Seen) -> bool:
    """Whether it has ended by itself, and badly: what it said last is often why."""
    run = seen.run
    return run is not None and run.failed and run.signal is None and not (run.oom or run.trouble)


@dataclass(frozen=True, slots=True)
class _State:
    """What one container is, without its dependencies."""

    kind: Kind
    since: float | None  # monotonic
    text: str
    next: Next


@dataclass(frozen=True, slots=True)
class _Look:
    wanted: Wanted
    facts: Facts
    holds: Mapping[str, Hold]
    now: float
    wall: float
    clock: Clock
    words: Mapping[str, str]

    def cause(self, service: str, above: tuple[str, ...], condition: Condition = "service_healthy") -> Cause:
        """`above`: the services whose waiting led here, so that a circle ends; `condition`: what they wait for."""
        if use := self.wanted.uses.get(service):
            return self._used(use, condition)
        mine = {
            name: each
            for name, each in self.wanted.targets.items()
            if each.service.name == service and not each.oneoff
        }
        states = {name: self._state(name, each) for name, each in mine.items()}
        # A container that is to replace another says nothing about the service before it serves.
        serving = [name for name, each in mine.items() if not each.replaces] or list(mine)
        name = min(serving, key=lambda each: WORST_FIRST.index(states[each].kind))
        state, target, seen = states[name], mine[name], self.facts.containers.get(name)
        coming = [
            f"{other} is {states[other].text}, {each.replaces} serves until it is ready"
            for other, each in mine.items()
            if each.replaces
        ]
        if coming:
            state = replace(state, text=f"{state.text}; replacing: {'; '.join(coming)}", next=_next("it is replaced"))
        blocked = []
        if state.kind == "waiting":
            needs = [need for need in target.service.depends_on if need.service not in (*above, service)]
            blocked = [
                self.cause(need.service, (*above, service), need.condition) for need in needs if self._is_unmet(need)
            ]
        restarts = seen.restarts if seen else 0
        last_exit = seen.last_exit if seen else ""
        return {
            "service": service,
            "container": name,
            "kind": state.kind,
            "since": None if state.since is None else self.wall - self.now + state.since,
            "text": state.text,
            "sentence": _sentence(service, state, blocked, restarts, last_exit, self._memory(mine)),
            "blocked_by": blocked,
            "restarts": restarts,
            "last_exit": last_exit,
            "next": state.next,
        }

    def _used(self, use: Use, condition: Condition) -> Cause:
        """A service that another stack owns, as its owner tells of it."""
        shared = self.facts.shared.get(sharing.key(use)) or Shared()
        reason, hopeless = sharing.unmet(use, condition, self.facts)
        ill = any(guest.health == "unhealthy" for guest in shared.guests.values())
        kind: Kind
        done = bool(shared.guests) and all(guest.code == 0 and not guest.alive for guest in shared.guests.values())
        if reason is None or done:
            kind, text, after = "finished" if done else "ready", f"(of stack {use.stack}) is there", NOTHING
        elif shared.away:
            comes = "it is joined again as soon as its stack runs it"
            kind, text, after = "failed", reason, _next(comes, command=f"orchestra up -d {use.file}")
        else:
            owner = f"orchestra -p {use.stack} why {use.service}"
            kind, text = "unhealthy" if ill else "failed" if hopeless else "starting", reason
            after = _next(f"stack {use.stack} looks after it", command=owner)
        return {
            "service": use.name,
            "container": next(iter(shared.guests), ""),
            "kind": kind,
            "since": None,
            "text": text,
            "sentence": f"{use.name} {text}",
            "blocked_by": [],
            "restarts": 0,
            "last_exit": "",
            "next": after,
        }

    def _is_unmet(self, need: Dependency) -> bool:
        if use := self.wanted.uses.get(need.service):
            return sharing.unmet(use, need.condition, self.facts)[0] is not None
        for name, target in self.wanted.targets.items():
            if target.service.name != need.service or target.oneoff:
                continue
            seen = self.facts.containers.get(name)
            phase = phase_of(target, seen, self.now)
            if need.condition == "service_completed_successfully":
                met = phase is Phase.FINISHED and seen is not None and seen.run is not None and seen.run.code == 0
            elif need.condition == "service_healthy":
                met = phase in (Phase.HEALTHY, Phase.RUNNING)
            else:
                met = seen is not None and seen.run is not None and not seen.run.trouble
            if not met:
                return True
        return False

    def _state(self, name: str, target: Target) -> _State:
        seen, hold = self.facts.containers.get(name), self.holds.get(name)
        phase = phase_of(target, seen, self.now)
        service = target.service.name
        if seen is None or phase in (Phase.ABSENT, Phase.CREATED):
            return self._not_started(target, seen, hold)
        if seen.alive and seen.paused and phase is not Phase.OUTDATED:
            return _State("paused", None, "paused by hand", _next(BY_HAND, command=f"orchestra unpause {service}"))
        match phase:
            case Phase.RUNNING | Phase.HEALTHY:
                since = seen.health_since if phase is Phase.HEALTHY else seen.run.started if seen.run else None
                return _State("ready", since, f"{phase.value}{self._since(since)}", NOTHING)
            case Phase.STARTING:
                return self._starting(target, seen)
            case Phase.UNHEALTHY:
                return self._unhealthy(target, seen)
            case Phase.OUTDATED:
                left = f" ({hold.reason.removeprefix(ASKED)})" if hold and hold.reason.startswith(ASKED) else ""
                text = f"stopping: {why_outdated(target, seen)}{left}"
                return _State("stopping", seen.asked_to_stop, text, _next("it ends or is killed when its time is up"))
            case Phase.BACKING_OFF | Phase.DUE:
                return self._backing_off(name, seen)
            case Phase.GAVE_UP:
                text = f"gave up after {seen.failures} failures in a row: {self._how(name, seen)}"
                return _State("gave_up", _ended(seen), text, _next(BY_HAND, command=f"orchestra start {service}"))
            case Phase.STOPPED:
                ended = _ended(seen)
                text = f"stopped by hand{self._since(ended)}"
                return _State("stopped", ended, text, _next(BY_HAND, command=f"orchestra start {service}"))
        bad = seen.run is not None and (seen.run.failed or bool(seen.run.trouble))
        text = f"ended{self._since(_ended(seen), 'at')}: {self._how(name, seen)}"
        comes_back = _next(BY_HAND, command=f"orchestra start {service}") if bad else NOTHING
        return _State("failed" if bad else "finished", _ended(seen), text, comes_back)

    def _not_started(self, target: Target, seen: Seen | None, hold: Hold | None) -> _State:
        service = target.service.name
        if seen is not None and seen.trouble:
            text = f"cannot be made: {seen.trouble}"
            return _State(
                "failed", seen.trouble_at, text, _next("it is tried again", command=f"orchestra up -d {service}")
            )
        since = seen.made_at if seen is not None and seen.made else None
        if hold is None:
            return _State("starting", since, "about to start", _next("it is started"))
        if not hold.on:
            return _State("failed" if hold.hopeless else "waiting", since, hold.reason, _next("it is tried again"))
        others = " and ".join(hold.on)
        command = f"orchestra why {hold.on[0]}" if hold.hopeless else ""
        after = f"nothing before somebody helps {others}" if hold.hopeless else f"it starts once {others} is ready"
        return _State("waiting", since, f"waiting: {hold.reason}", _next(after, command=command))

    def _starting(self, target: Target, seen: Seen) -> _State:
        assert seen.run is not None
        said = f", its probe says {seen.health_text}" if seen.health_text else ""
        text = f"starting{self._since(seen.run.started)}{said}"
        return _State("starting", seen.run.started, text, _next("it is probed until it is healthy"))

    def _unhealthy(self, target: Target, seen: Seen) -> _State:
        check, service = target.service.healthcheck, target.service.name
        said = f", its probe says {seen.health_text}" if seen.health_text else ""
        text = f"unhealthy{self._since(seen.health_since)}{said}"
        if target.service.on_unhealthy == "restart":
            return _State("unhealthy", seen.health_since, text, _next("it is restarted"))
        interval = f"{check.interval:g} s" if check else "a while"
        after = _next(f"it is probed again within {interval}", command=f"orchestra restart {service}")
        return _State("unhealthy", seen.health_since, text, after)

    def _how(self, name: str, seen: Seen) -> str:
        how, words = how_it_ended(seen.run), self.words.get(name)
        return f"{how} (its last words: {words})" if words and gave_a_reason(seen) else how

    def _backing_off(self, name: str, seen: Seen) -> _State:
        assert seen.run is not None
        at = due_at(seen, seen.run)
        again = f"restarting in {max(0.0, at - self.now):.1f} s ({ordinal(seen.restarts + 1)})"
        text = f"ended{self._since(seen.run.ended, 'at')}: {self._how(name, seen)}, {again}"
        after: Next = {
            "text": again,
            "at": self.wall - self.now + at,
            "command": f"orchestra restart {seen.service.name}",
        }
        return _State("backing_off", seen.run.ended, text, after)

    def _memory(self, containers: Collection[str]) -> str:
        """What the kernel killed in them for want of memory, whatever has been started since."""
        short = [seen for name in containers if (seen := self.facts.containers.get(name)) and seen.oom_kills]
        if not short:
            return ""
        number, last = sum(seen.oom_kills for seen in short), max(seen.oom_at for seen in short)
        what = "a process was killed" if number == 1 else f"{number} processes were killed, the last"
        return f"out of memory: {what}{self._since(last, 'at')}"

    def _since(self, moment: float | None, word: str = "since") -> str:
        return "" if moment is None else f" {word} {self.clock(self.wall - self.now + moment)}"


def _ended(seen: Seen) -> float | None:
    return seen.run.ended if seen.run else None


def _next(text: str, command: str = "") -> Next:
    return {"text": text, "at": None, "command": command}


def _sentence(service: str, state: _State, blocked: list[Cause], restarts: int, last_exit: str, memory: str) -> str:
    if blocked:
        return f"{service} is waiting: " + "; ".join(cause["sentence"] for cause in blocked)
    verb = "" if state.kind in ("failed", "gave_up", "finished", "backing_off") else "is "
    parts = [f"{service} {verb}{state.text}"]
    if restarts and state.kind not in ("ready", "finished"):
        last = f", last end: {last_exit}" if last_exit and last_exit not in state.text else ""
        parts.append(f"{service} restarted {times(restarts)}{last}")
    if memory and "out of memory" not in state.text:
        parts.append(memory)
    return "; ".join(parts)
