"""What clients (command line, dashboard) and a stack's supervisor tell each other: frames on the API socket.

A request carries "id" and "do". Answers carry the number as "re": any number of them with "rows" (containers whose
row changed), "event" or "line", then exactly one with "done": true and the fields named here, or with
"error": {"what", "hint", "status"}. Several requests may be under way on one connection; closing the connection
ends waiting, never the work that was asked for. Whoever may connect is root on this machine (socket 0600,
SO_PEERCRED).
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

State = Literal["created", "waiting", "running", "restarting", "stopping", "exited", "dead"]
"""`created`: made, never ran; `waiting`: held back by a dependency; `dead`: given up; docker's words where it has
them (docker ps: created, running, restarting, exited, dead)."""


class PortRow(TypedDict):
    host_ip: str  # "" means every address
    host_port: int
    port: int
    protocol: str


class Row(TypedDict):
    """One container as people see it."""

    name: str
    service: str
    replica: int
    oneoff: bool
    state: State
    health: Literal["", "starting", "healthy", "unhealthy"]
    pid: int | None
    run: int  # number of the current or last run, 0: never ran
    restarts: int
    created: float  # epoch seconds
    started: float | None
    ended: float | None
    exit_code: int | None
    last_exit: str  # "", "killed by SIGKILL", "exit code 3", "out of memory": of the last run that ended
    why: str  # "waiting: cart is not healthy yet (starting)", "restarting in 6.4 s (5th)", …
    ports: list[PortRow]
    addresses: dict[str, str]  # network key -> address
    image: str  # what the root file system is: "rootfs:host", "rootfs:/srv/tree"
    command: str
    logs: str  # directory of the log
    labels: dict[str, str]
    gone: NotRequired[bool]  # the container has been removed


class StatusRequest(TypedDict):
    """Done: Status."""

    id: int
    do: Literal["status"]


class Status(TypedDict):
    stack: str
    directory: str
    files: list[str]
    supervisor: int  # pid
    keeper: int  # pid
    rows: list[Row]
    networks: dict[str, str]  # key -> subnet
    notices: list[str]


class WatchRequest(TypedDict):
    """Rows: all at first, then each that changes, until the client goes away. `settled` in an answer says that
    nothing is under way (true after every container reached what is wanted of it)."""

    id: int
    do: Literal["watch"]


class ApplyRequest(TypedDict):
    """`up`: make this stack what is wanted, then wait for `until`. Rows meanwhile.

    `services` limits what is started to these and their dependencies (not those with no_deps). Problems that can
    be known before (a taken port, a foreign container name, an impossible subnet) are errors before any start.
    """

    id: int
    do: Literal["apply"]
    stack: Any  # wire.codec.encode(Stack)
    services: list[str] | None
    recreate: Literal["diverged", "force", "never"]
    no_deps: bool
    no_start: bool
    remove_orphans: bool
    timeout: float | None  # seconds of grace instead of the service's own
    until: Literal["accepted", "running", "healthy"]


class PlanRequest(TypedDict):
    """`up --dry-run`: the steps that `apply` would take. Done: {"lines": ["start cart: it does not run", …]}."""

    id: int
    do: Literal["plan"]
    stack: Any
    recreate: Literal["diverged", "force", "never"]


class ServicesRequest(TypedDict):
    """`services` None: all. Ends when it is true (stopped, started, restarted, killed). Rows meanwhile."""

    id: int
    do: Literal["stop", "start", "restart"]
    services: list[str] | None
    timeout: float | None
    until: NotRequired[Literal["accepted", "running", "healthy"]]  # start and restart
    no_deps: NotRequired[bool]  # restart: only these, not who leans on them


class KillRequest(TypedDict):
    id: int
    do: Literal["kill"]
    services: list[str] | None
    signal: str  # "SIGKILL", "HUP", "9"


class DownRequest(TypedDict):
    """Stop and remove containers, networks and, if asked, volumes. With all gone supervisor and keeper end, and
    the connection closes after `done`. `services` limits it to these."""

    id: int
    do: Literal["down"]
    services: list[str] | None
    volumes: bool
    remove_orphans: bool
    timeout: float | None


class RemoveRequest(TypedDict):
    """`rm`: remove containers that do not run. Done: {"removed": [names]}."""

    id: int
    do: Literal["rm"]
    services: list[str] | None
    stop: bool


class ExecRequest(TypedDict):
    """Comes with three descriptors, or without and the answer {"started": pid} brings the terminal's master.
    After {"started"}: done {"code": exit code} when it has ended (128+n for a signal)."""

    id: int
    do: Literal["exec"]
    service: str
    index: int  # replica, 0: the first one that runs
    args: list[str]
    env: list[str]
    cwd: str | None
    user: str | None
    tty: bool
    privileged: bool
    detach: bool
    fds: NotRequired[int]


class RunRequest(TypedDict):
    """`run`: a one-off container of a service, beside its others; starts its dependencies first. Descriptors and
    answers as for exec; {"started": pid, "name": container}. `remove`: gone when it has ended."""

    id: int
    do: Literal["run"]
    stack: Any
    service: str
    name: str | None
    args: list[str] | None
    entrypoint: list[str] | None
    env: list[str]
    cwd: str | None
    user: str | None
    labels: dict[str, str]
    mounts: list[Any]  # wire.codec.encode(Mount)
    ports: list[Any]  # wire.codec.encode(Port)
    service_ports: bool
    use_aliases: bool
    no_deps: bool
    tty: bool
    remove: bool
    detach: bool
    fds: NotRequired[int]


class SignalRunRequest(TypedDict):
    """Signal one container by its name (Ctrl-C during `run`)."""

    id: int
    do: Literal["signal"]
    name: str
    signal: str


class EventsRequest(TypedDict):
    """Answers with "event": Event, stored ones since `since` (epoch seconds) first, then, with `follow`, new ones."""

    id: int
    do: Literal["events"]
    since: float | None
    until: float | None
    services: list[str] | None
    follow: bool


class Event(TypedDict):
    """`action` has docker's words where it has them: create, start, die, stop, kill, oom, restart, destroy,
    health_status: healthy; ours: hold, give_up, notice."""

    time: float  # epoch seconds
    action: str
    service: str  # "" when it is about the stack
    container: str
    text: str  # one sentence with the cause
    attributes: dict[str, str]


class Trouble(TypedDict):
    what: str
    hint: str | None
    status: int
