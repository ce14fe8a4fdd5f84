"""The closed list of what a plan can say. Every step knows its cause, and prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..stack.model import Network, Volume


@dataclass(frozen=True, slots=True)
class MakeNetwork:
    network: Network
    cause: str

    def describe(self) -> str:
        return f"make network {self.network.name}: {self.cause}"


@dataclass(frozen=True, slots=True)
class DropNetwork:
    network: Network
    cause: str

    def describe(self) -> str:
        return f"remove network {self.network.name}: {self.cause}"


@dataclass(frozen=True, slots=True)
class MakeVolume:
    volume: Volume
    cause: str

    def describe(self) -> str:
        return f"make volume {self.volume.name}: {self.cause}"


@dataclass(frozen=True, slots=True)
class DropVolume:
    name: str
    cause: str

    def describe(self) -> str:
        return f"remove volume {self.name}: {self.cause}"


@dataclass(frozen=True, slots=True)
class Make:
    """Sandbox, plugs, ports and files of a container; nothing runs yet."""

    container: str
    cause: str

    def describe(self) -> str:
        return f"make {self.container}: {self.cause}"


@dataclass(frozen=True, slots=True)
class Launch:
    container: str
    cause: str

    def describe(self) -> str:
        return f"start {self.container}: {self.cause}"


@dataclass(frozen=True, slots=True)
class Stop:
    """Send the stop signal; `grace` seconds later the rest is killed."""

    container: str
    grace: float
    cause: str

    def describe(self) -> str:
        return f"stop {self.container}: {self.cause}"


@dataclass(frozen=True, slots=True)
class Kill:
    container: str
    cause: str

    def describe(self) -> str:
        return f"kill {self.container}: {self.cause}"


@dataclass(frozen=True, slots=True)
class Remove:
    """Take away a container that does not run: sandbox, plugs, ports, files, writable layer, log."""

    container: str
    cause: str

    def describe(self) -> str:
        return f"remove {self.container}: {self.cause}"


ContainerStep = Make | Launch | Stop | Kill | Remove
Groundwork = MakeNetwork | DropNetwork | MakeVolume | DropVolume
Step = ContainerStep | Groundwork


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing is done for a container although something is wanted of it.

    `hopeless` says that time alone will not change it: a dependency has failed.
    """

    container: str
    reason: str
    hopeless: bool = False

    def describe(self) -> str:
        return f"hold {self.container}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Plan:
    """`look_again`: seconds after which time alone may change the plan; None: only new facts can."""

    groundwork: tuple[Groundwork, ...] = ()
    steps: tuple[ContainerStep, ...] = ()
    holds: tuple[Hold, ...] = ()
    look_again: float | None = None

    def __iter__(self) -> Iterator[Step]:
        yield from self.groundwork
        yield from self.steps

    def describe(self) -> str:
        return "\n".join(part.describe() for part in (*self.groundwork, *self.steps, *self.holds))
