"""What is wanted and what is so, as values. `reconcile` compares the two; nobody else decides anything.

Times are monotonic seconds, the machine's own (CLOCK_MONOTONIC outlives a restart of the supervisor).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..stack.model import Network, Service, Stack, Volume

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
    oom: bool = False
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
    health: Verdict = ""
    health_text: str = ""  # what the last probe said
    health_since: float = 0.0
    asked_to_stop: float | None = None  # when the stop signal was sent to this run
    killed: bool = False
    busy: bool = False  # a step is under way
    last_exit: str = ""  # how the last run that ended did so
    restarts: int = 0  # by policy, since the container was made
    streak: int = 0  # runs in a row that lasted less than ten seconds
    failures: int = 0  # failed runs in a row
    trouble: str = ""  # why the last attempt to make it failed
    trouble_at: float = 0.0
    troubles: int = 0  # such attempts in a row

    @property
    def alive(self) -> bool:
        return self.run is not None and self.run.alive


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted of one container."""

    service: Service
    replica: int
    epoch: int = 1  # raised by restart, start, and up on something that had stopped
    stopped: bool = False  # by hand
    held: bool = False  # made, not started: `create`, `up --no-start`
    oneoff: bool = False  # made by `run`
    grace: float | None = None  # instead of the service's stop_grace_period


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that should be so. A container that exists and has no target is to be stopped and removed."""

    targets: Mapping[str, Target] = field(default_factory=dict)  # container name -> target
    networks: Mapping[str, Network] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    discard_volumes: frozenset[str] = frozenset()  # names of volumes that go when nobody uses them
    leaving_grace: float | None = None  # grace for containers without a target


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something could not be made: since when, how often in a row, and why."""

    since: float
    times: int
    what: str


@dataclass(frozen=True, slots=True)
class Facts:
    containers: Mapping[str, Seen] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)  # those that are up
    volumes: frozenset[str] = frozenset()  # names of volumes that exist
    busy_networks: frozenset[str] = frozenset()
    troubles: Mapping[str, Trouble] = field(default_factory=dict)  # of networks and volumes


def container_name(stack: str, service: Service, replica: int) -> str:
    return service.container_name or f"{stack}-{service.name}-{replica}"


def targets_of(stack: Stack) -> dict[str, Target]:
    """One target for each replica, none of them special."""
    return {
        container_name(stack.name, service, replica): Target(service, replica)
        for service in stack.services.values()
        for replica in range(1, service.scale + 1)
    }
