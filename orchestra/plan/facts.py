"""What is wanted and what is so, as values. `reconcile` compares the two; nobody else decides anything.

Times are monotonic seconds, the machine's own (CLOCK_MONOTONIC outlives a restart of the supervisor).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Literal

from ..stack.model import Network, Service, Use, Volume
from ..values import dataclass

Verdict = Literal["", "starting", "healthy", "unhealthy"]


@dataclass(frozen=True, slots=True)
class Run:
    """One life of a container's process. `ended` None: it runs."""

    number: int
    config: str  # config_hash of the service that it was started from
    epoch: int  # the request that it satisfies, see Target.epoch
    started: float
    ended: float | None = None
    code: int | None = None  # None after an end: nobody could tell
    signal: int | None = None
    oom: bool = False  # it ended because the kernel killed for want of memory
    oom_kills: int = 0  # processes of it that the kernel killed for that, also while it went on
    trouble: str = ""  # it could not even be started: why

    @property
    def alive(self) -> bool:
        return self.ended is None

    @property
    def failed(self) -> bool:
        return self.ended is not None and self.code != 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known about one container that exists, or once did."""

    service: Service  # what it was made from
    replica: int
    made: bool = False  # sandbox, plugs and files are there
    made_at: float = 0.0
    oneoff: bool = False
    run: Run | None = None
    contents: str = ""  # of the files that it was given at its last start, see plan/changes; "": unknown, or none
    health: Verdict = ""
    health_text: str = ""  # what the last probe said
    health_since: float = 0.0
    asked_to_stop: float | None = None  # when the stop signal was sent to this run
    killed: bool = False
    paused: bool = False  # this run is frozen, by hand
    busy: bool = False  # a step is under way
    leaving: bool = False  # its removal has begun; something of it may be there until that is done
    last_exit: str = ""  # how the last run that ended did so
    restarts: int = 0  # by policy, since the container was made
    streak: int = 0  # runs in a row that lasted less than ten seconds
    failures: int = 0  # failed runs in a row
    oom_kills_before: int = 0  # of the runs before this one
    oom_at: float = 0.0  # when the last of all was noticed
    trouble: str = ""  # why the last attempt to make, change or remove it failed
    trouble_at: float = 0.0
    troubles: int = 0  # such attempts in a row

    @property
    def alive(self) -> bool:
        return self.run is not None and self.run.alive

    @property
    def oom_kills(self) -> int:
        """Processes that the kernel has killed for want of memory since the container was made."""
        return self.oom_kills_before + (self.run.oom_kills if self.run is not None else 0)


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted of one container."""

    service: Service
    replica: int
    epoch: int = 1  # raised by restart, start, and up on something that had stopped
    stopped: bool = False  # by hand
    held: bool = False  # made, not started: `create`, `up --no-start`
    oneoff: bool = False  # made by `run`
    lent: bool = False  # wanted only because other stacks use it: no person has asked for it
    grace: float | None = None  # instead of the service's stop_grace_period
    replaces: str = ""  # the container that serves until this one is ready to (start-first)


@dataclass(frozen=True, slots=True)
class Draining:
    """A container that another one has taken over from: it gets nothing new and finishes what it has."""

    service: str
    by: str  # who has taken over
    since: float
    longest: float  # seconds that its connections may last


@dataclass(frozen=True, slots=True)
class Replacement:
    """How far the replacement of a service's containers is, or what became of one that failed."""

    before: Service  # what there was, to go back to
    last: float | None = None  # when one last took over
    failed: Mapping[str, str] = field(default_factory=dict)  # container that did not become ready -> why
    going_back: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that should be so. A container that exists and has no target is to be stopped and removed."""

    targets: Mapping[str, Target] = field(default_factory=dict)  # container name -> target
    networks: Mapping[str, Network] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    uses: Mapping[str, Use] = field(default_factory=dict)  # services that other stacks own, by their names here
    discard_volumes: frozenset[str] = frozenset()  # names of volumes that go when nobody uses them
    leaving_grace: float | None = None  # grace for containers without a target
    draining: Mapping[str, Draining] = field(default_factory=dict)  # containers without a target that serve on
    replacements: Mapping[str, Replacement] = field(default_factory=dict)  # by service


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something could not be made: since when, how often in a row, and why."""

    since: float
    times: int
    what: str


@dataclass(frozen=True, slots=True)
class Guest:
    """A container of a service that another stack owns, as the owner tells of it."""

    made: bool = False  # there is a network namespace to join
    alive: bool = False
    health: Verdict = ""  # "" while it runs: it has no health check
    serving: bool = False  # fit to be led to
    apart: bool = False  # only its own name leads to it: it drains, or has not taken over yet
    leaving: bool = False  # it is being stopped or replaced
    code: int | None = None  # exit code of the run that ended
    asked: str = ""  # what its owner wants of it now: another one after a restart by hand and after a change
    text: str = ""  # why it is where it is
    hopeless: bool = False  # and whether that will not pass by itself
    joined: frozenset[str] = frozenset()  # networks of this stack that it is plugged into


@dataclass(frozen=True, slots=True)
class Shared:
    """A service that another stack owns. `away`: why its owner has nothing to tell of it."""

    guests: Mapping[str, Guest] = field(default_factory=dict)  # container -> what is known of it
    away: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    containers: Mapping[str, Seen] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)  # those that are up
    volumes: frozenset[str] = frozenset()  # names of volumes that exist
    busy_networks: frozenset[str] = frozenset()
    troubles: Mapping[str, Trouble] = field(default_factory=dict)  # of networks, volumes, leases and joins
    connections: Mapping[str, int] = field(default_factory=dict)  # draining container -> how many it still serves
    needed: Mapping[str, str] = field(default_factory=dict)  # container that drains -> who outside still uses it
    leases: frozenset[str] = frozenset()  # "accounts/accounts": services of others that this stack holds a lease on
    unsure: frozenset[str] = frozenset()  # those of them whose owner is to be asked once more whether it runs
    shared: Mapping[str, Shared] = field(default_factory=dict)  # by the same key: what their owners tell


def jobs(services: Iterable[Service]) -> set[str]:
    """Services of which one of these awaits the completion."""
    return {
        need.service
        for service in services
        for need in service.depends_on
        if need.condition == "service_completed_successfully"
    }


def container_name(stack: str, service: Service, replica: int) -> str:
    return service.container_name or f"{stack}-{service.name}-{replica}"
