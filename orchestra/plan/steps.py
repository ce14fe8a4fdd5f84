"""The closed list of what a plan can say. Every step knows its cause, and prints."""

from __future__ import annotations

from collections.abc import Iterator

from ..stack.model import Network, Use, Volume
from ..values import dataclass


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


BY_HEALTH = "it is unhealthy"
"""How the cause of a stop begins that health asked for, and no person."""


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


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Names and published ports lead to this container from now on; the one that it replaces drains."""

    container: str
    replaces: str
    cause: str

    def describe(self) -> str:
        return f"switch from {self.replaces} to {self.container}: {self.cause}"


@dataclass(frozen=True, slots=True)
class Adjust:
    """Other limits for a container, whether it runs or not."""

    container: str
    cause: str

    def describe(self) -> str:
        return f"adjust {self.container}: {self.cause}"


@dataclass(frozen=True, slots=True)
class GoBack:
    """Give up a container that was to replace another, which serves on."""

    container: str
    cause: str

    def describe(self) -> str:
        return f"give up {self.container}: {self.cause}"


@dataclass(frozen=True, slots=True)
class Lease:
    """Take a lease on a service of another stack, which starts it if it does not run."""

    use: Use
    cause: str

    def describe(self) -> str:
        return f"lease {self.use.service} of stack {self.use.stack}: {self.cause}"


@dataclass(frozen=True, slots=True)
class Join:
    """Plug a container of another stack into a network of this one."""

    owner: str
    service: str
    container: str
    network: Network
    cause: str

    def describe(self) -> str:
        return f"join {self.container} of stack {self.owner} to network {self.network.name}: {self.cause}"


@dataclass(frozen=True, slots=True)
class Part:
    """Pull it out again."""

    owner: str
    service: str
    container: str
    network: Network
    cause: str

    def describe(self) -> str:
        return f"part {self.container} of stack {self.owner} from network {self.network.name}: {self.cause}"


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Give a lease back: the owner may stop what nobody else wants."""

    owner: str
    service: str
    cause: str

    def describe(self) -> str:
        return f"give back {self.service} of stack {self.owner}: {self.cause}"


ContainerStep = Make | Launch | Adjust | Stop | Kill | Remove | TakeOver | GoBack
SharingStep = Lease | Join | Part | GiveBack
Groundwork = MakeNetwork | DropNetwork | MakeVolume | DropVolume | SharingStep
Step = ContainerStep | Groundwork


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing is done for a container although something is wanted of it.

    `hopeless` says that time alone will not change it: a dependency has failed. `on` names the services that have
    to move first.
    """

    container: str
    reason: str
    hopeless: bool = False
    on: tuple[str, ...] = ()

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
