"""What clients (command line, dashboard) and a stack's supervisor tell each other: frames on the API socket.

A request carries "id" and "do". Answers carry the number as "re": any number of them with "rows" (containers whose
row changed), "event" or "line", one with "accepted": true as soon as what was asked for is written down (a command
has the stack's turn until then, see state/turns), then exactly one with "done": true and the fields named here, or
with "error": {"what", "hint", "status"}. Several requests may be under way on one connection; closing the connection
ends waiting, never the work that was asked for. Whoever may connect is root on this machine (socket 0600,
SO_PEERCRED).

What is asked about use, health, causes and the past is in `wire/history`.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from .shapes import TypedDict

State = Literal["created", "waiting", "running", "paused", "restarting", "stopping", "exited", "dead"]
"""`created`: made, never ran; `waiting`: held back by a dependency; `dead`: given up; docker's words where it has
them (docker ps: created, running, restarting, exited, dead)."""


class PortRow(TypedDict):
    host_ip: str  # "" means every address
    host_port: int
    port: int
    protocol: str
    count: int  # of neighbours, each of which leads to the next port; 1 but for a long range


class Row(TypedDict):
    """One container as people see it."""

    name: str
    service: str
    replica: int
    oneoff: bool
    state: State
    health: Literal["", "starting", "healthy", "unhealthy"]
    health_since: float | None  # epoch seconds of the present verdict
    health_text: str  # what the last probe said
    pid: int | None
    run: int  # number of the current or last run, 0: never ran
    restarts: int
    created: float  # epoch seconds
    started: float | None
    ended: float | None
    exit_code: int | None
    last_exit: str  # "", "killed by SIGKILL", "exit code 3", "out of memory": of the last run that ended
    oom_kills: NotRequired[int]  # processes that the kernel killed for want of memory since the container was made
    why: str  # "waiting: cart is not healthy yet (starting)", "restarting in 6.4 s (5th)", …
    waits_for: list[str]  # the services that hold it back
    ports: list[PortRow]
    addresses: dict[str, str]  # network key -> address
    networks: list[str]  # their names
    mounts: list[str]  # names of volumes, and folders and files of the host
    image: str  # what the root file system is: "rootfs:host", "rootfs:/srv/tree"
    command: str
    logs: str  # directory of the log
    log_driver: NotRequired[str]  # "none": nothing is kept
    labels: dict[str, str]
    gone: NotRequired[bool]  # the container has been removed
    owner: NotRequired[str]
    """The stack that owns it, when that is another one: a container of a shared service, in the rows of a user.
    `name` is the container's name there, `service` the name that it has here, `addresses` those in the networks here.
    Only looking is possible: stop, restart, … are refused with the owner's name."""


class UseRow(TypedDict):
    """A service of this stack that another stack owns (`uses:` in the file)."""

    service: str  # its name in this stack
    owner: str  # the stack that owns it
    owned: str  # its name there
    file: str  # the owner's stack file, absolute
    state: Literal["joined", "joining", "away"]  # in our networks; on its way; its owner does not run it
    why: str  # "", or one sentence why it is not joined


class UserRow(TypedDict):
    """A stack that uses a service of this one: it holds a lease on it."""

    service: str  # its name in this stack
    stack: str  # who uses it
    name: str  # under which name there
    file: str  # the user's first stack file, "" if it has none
    since: float  # epoch seconds
    connected: bool  # its supervisor watches the service now
    joined: list[str]  # containers that are in its networks


class NetworkRow(TypedDict):
    """A network that belongs to the stack."""

    key: str
    name: str
    id: str
    subnet: str
    gateway: str
    internal: bool
    labels: dict[str, str]


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
    own_networks: list[NetworkRow]
    notices: list[str]
    uses: list[UseRow]  # services that other stacks own
    used_by: list[UserRow]  # who uses services of this one
    lent: list[str]  # services that run only because other stacks use them


class OriginRequest(TypedDict):
    """From which files the stack runs. Done: Origin."""

    id: int
    do: Literal["origin"]


class Origin(TypedDict):
    stack: str
    directory: str
    files: list[str]
    own: list[str]  # services of these files
    services: list[str]  # those that have containers, or are to have some


class BorrowRequest(TypedDict):
    """From the supervisor of a stack that uses services of this one. Answers with "lent": for each of these services
    all its containers, at first and whenever one changes, until the user goes away."""

    id: int
    do: Literal["borrow"]
    stack: str  # who asks
    services: list[str]


class LentContainer(TypedDict):
    row: Row
    guest: Any  # wire.codec.encode(plan.facts.Guest)


class JoinedRequest(TypedDict):
    """On the connection of a `borrow`, whenever it changes. A container that is replaced is kept until its
    successor is joined and names lead to that."""

    id: int
    do: Literal["joined"]
    joined: list[str]  # containers that are in all networks where they are used
    led_to: list[str]  # containers that the service's names lead to there


class ReturnedRequest(TypedDict):
    """A lease was given back: look. Done: {"leaving"}: nobody wants the stack any more, it is about to go."""

    id: int
    do: Literal["returned"]


class OwnerRequest(TypedDict):
    """Whose a service, or a container, is. Done: {"owner": the stack that owns it, "" for this one; "service": its
    name there}."""

    id: int
    do: Literal["owner"]
    service: str


class StackRequest(TypedDict):
    """What runs, as the model. Done: {"stack": wire.codec.encode(Stack), without the contents of secrets}."""

    id: int
    do: Literal["stack"]


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
    stack: Any  # wire.codec.encode(Stack); None: the one that runs
    scales: NotRequired[dict[str, int]]  # service -> replicas
    services: list[str] | None
    recreate: Literal["diverged", "force", "never"]
    no_deps: bool
    no_start: bool
    remove_orphans: bool
    timeout: float | None  # seconds of grace instead of the service's own
    until: Literal["accepted", "running", "healthy"]
    lent: NotRequired[bool]  # not a person asks, but a stack that uses these services


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
    force: NotRequired[bool]  # stop: although other stacks use them


class FollowRequest(TypedDict):
    """Wait on for what an earlier supervisor has accepted, without asking for it anew. Rows meanwhile."""

    id: int
    do: Literal["follow"]
    services: list[str]
    until: Literal["running", "healthy", "stopped"]


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
    force: NotRequired[bool]  # although other stacks use something of it


class RemoveRequest(TypedDict):
    """`rm`: remove containers that do not run. Done: {"removed": [names]}."""

    id: int
    do: Literal["rm"]
    services: list[str] | None
    stop: bool
    force: NotRequired[bool]  # although other stacks use them


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


class CopyRequest(TypedDict):
    """`cp`: comes with three descriptors, as keeping.CopyRequest has them. Done: {"code", "container"}."""

    id: int
    do: Literal["copy"]
    service: str
    index: int  # replica, 0: the first one that runs
    order: Any  # wire.keeping.CopyOrder
    fds: NotRequired[int]


class AttachRequest(TypedDict):
    """Answer {"attached": container, "tty", "logs"}, with a descriptor into it (the master of its terminal, or the
    end of a pipe) if `stdin` and its standard input is open; done {"code"} when this run of it has ended."""

    id: int
    do: Literal["attach"]
    service: str
    index: int
    stdin: bool


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


class TopRequest(TypedDict):
    """Done: {"containers": {name: [ProcessRow]}} of those that run."""

    id: int
    do: Literal["top"]
    services: list[str] | None


class ProcessRow(TypedDict):
    pid: int  # as the host counts
    inside: int  # as the container counts
    parent: int  # as the host counts
    user: str  # as the container names it
    cpu: float  # seconds
    started: float  # epoch seconds
    memory: int  # bytes, resident
    terminal: str
    command: str


class InspectRequest(TypedDict):
    """`names`: services or containers, None: all. Done: {"containers": [documents with docker inspect's keys]}.

    Values of environment variables are there with `environment` only; secrets never are.
    """

    id: int
    do: Literal["inspect"]
    names: list[str] | None
    environment: bool


class ProbeRecord(TypedDict):
    start: float  # epoch seconds
    end: float
    ok: bool
    text: str


class UpdateRequest(TypedDict):
    """Other limits without another run: fields of stack.model.Limits, None lifts one. Ends when they are in force."""

    id: int
    do: Literal["update"]
    services: list[str]
    limits: dict[str, Any]
    restart: Any  # wire.codec.encode(Restart), None: as it was


class PauseRequest(TypedDict):
    """Freeze, or go on. Done: {"changed": [names]}."""

    id: int
    do: Literal["pause", "unpause"]
    services: list[str] | None


class EventsRequest(TypedDict):
    """Answers with "event": Event, stored ones since `since` (epoch seconds) first, then, with `follow`, new ones.

    At most `limit` stored ones, the newest; to page back, ask again with `before` the lowest id that came. Done:
    {"more": whether there are older stored ones that match}. `search` is looked for in text, container and action,
    whatever its case.
    """

    id: int
    do: Literal["events"]
    since: float | None
    until: float | None
    services: list[str] | None
    follow: bool
    containers: NotRequired[list[str] | None]
    actions: NotRequired[list[str] | None]  # "health_status" stands for both of its kinds
    search: NotRequired[str]
    before: NotRequired[int | None]  # ids below this one
    after: NotRequired[int | None]  # ids above this one: to go on after the last that was seen
    limit: NotRequired[int]  # 1..10000, default 10000


class Event(TypedDict):
    """`action` has docker's words where it has them: create, start, die, stop, kill, oom, destroy,
    health_status: healthy; ours: asked (somebody wants up, down, restart; `do` and `by` in
    the attributes), hold, trouble, notice, supervisor (it was away), alert."""

    id: int  # rises with time, whoever wrote it; a microsecond of the epoch, so safe as a JSON number
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
