"""What supervisor and keeper tell each other: a closed list, over frames, on the keeper's socket.

Every request carries "id" and "do"; the reply carries the same number as "re", and either "ok": true with the
fields named here or "error": {"step", "errno", "what"}. Events carry "event" and no "re". The connected
supervisor gets every event; what happened while none was connected is in the answer to `children`.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from .shapes import TypedDict
from .spec import Process, Spec


class Failure(TypedDict):
    """Why a request failed: which step, the errno (0 if none), and one sentence that names the thing."""

    step: str
    errno: int
    what: str


class SandboxRequest(TypedDict):
    """Make the user and network namespace pairs that containers join, and pin them. Idempotent."""

    id: int
    do: Literal["sandbox"]
    sandboxes: list[SandboxSpec]


class SandboxSpec(TypedDict):
    user_pin: str
    net_pin: str  # "" when the container uses somebody else's network namespace
    base: int  # first host id of the range
    size: int  # ids in the range


class LaunchRequest(TypedDict):
    """Start a run of a container. Reply: {"pid": host pid, "started": monotonic seconds, "wall": epoch seconds,
    "unmapped": [Unmapped, …]}.

    With process.terminal the reply brings one descriptor, the terminal's master, which the keeper also logs from.
    Otherwise three descriptors may come along: stdin, stdout and stderr, which are then not logged.
    """

    id: int
    do: Literal["launch"]
    name: str
    run: int  # number of this run, counted by the supervisor; returned in events
    spec: Spec
    log: LogPolicy
    fds: NotRequired[int]
    note: dict[str, Any]
    """Opaque to the keeper, kept in the child's record: configuration hash and the like."""


class Unmapped(TypedDict):
    """A bind of which parts have no idmap, since their kinds of file systems cannot."""

    source: str
    kinds: list[str]


class LogPolicy(TypedDict):
    directory: str  # "" keeps nothing
    max_size: int  # bytes per file
    max_files: int


class ExecRequest(TypedDict):
    """Run a process in a running container. Reply: {"pid"}; then the event `exec_exited` with this "exec".

    Brings three descriptors (stdin, stdout, stderr) unless `process.terminal`, where the reply brings the
    terminal's master. `timeout` seconds later (0: never) the process is killed. With `clean` nothing that it has
    started outlives it; that takes a timeout, and no terminal.
    """

    id: int
    do: Literal["exec"]
    name: str
    exec: str
    process: Process
    seccomp: str
    timeout: float
    clean: NotRequired[bool]
    fds: NotRequired[int]


class CopyOrder(TypedDict):
    direction: Literal["in", "out"]
    path: str  # inside
    name: str  # of the top in the stream, "." for the contents of a folder; in, "": whatever the stream has
    follow: bool  # out: what a link at the end of the path leads to
    owners: bool  # in: keep the numbers of users and groups


class CopyRequest(TypedDict):
    """Pack or unpack a tar stream in a running container's file system. Reply: {"pid"}; then `exec_exited` as for
    exec, with code 0 or 1. Brings three descriptors: stdin or stdout is the stream, stderr takes the reasons."""

    id: int
    do: Literal["copy"]
    name: str
    exec: str
    order: CopyOrder
    counted: bool  # what it uses counts as the container's; not where that is frozen
    spec: NotRequired[Spec]  # of its file system: it does not run
    fds: NotRequired[int]


class SignalRequest(TypedDict):
    """Signal pid 1 of a container by pidfd. `everyone` reaches all processes of its cgroup (SIGKILL only)."""

    id: int
    do: Literal["signal"]
    name: str
    signal: int
    everyone: bool


class ForgetRequest(TypedDict):
    """Drop the records of containers, close their FIFOs and logs. Idempotent; refused if one of them still runs."""

    id: int
    do: Literal["forget"]
    names: list[str]


class ChildrenRequest(TypedDict):
    """Reply: {"children": [Child, …]}."""

    id: int
    do: Literal["children"]


class StoreRequest(TypedDict):
    """Keep one descriptor (it comes along) under a name for the next supervisor. Same name: replaced."""

    id: int
    do: Literal["store"]
    name: str
    fds: int


class FetchRequest(TypedDict):
    """Reply: {"names": […]} with as many descriptors in that order."""

    id: int
    do: Literal["fetch"]


class DropRequest(TypedDict):
    """Close what is stored under these names."""

    id: int
    do: Literal["drop"]
    names: list[str]


class AppearRequest(TypedDict):
    """Have again what somebody removed from the run directory: socket, lock, records. Reply: {"lacked": whether}."""

    id: int
    do: Literal["appear"]


class QuitRequest(TypedDict):
    """The stack is no more: the keeper ends once the supervisor has, without starting another. Refused while a
    container runs."""

    id: int
    do: Literal["quit"]


Request = (
    SandboxRequest
    | LaunchRequest
    | ExecRequest
    | CopyRequest
    | SignalRequest
    | ForgetRequest
    | ChildrenRequest
    | StoreRequest
    | FetchRequest
    | DropRequest
    | AppearRequest
    | QuitRequest
)


class Child(TypedDict):
    """A container as the keeper knows it, also the content of its record on disk."""

    name: str
    run: int
    pid: int
    start_time: int  # field 22 of /proc/PID/stat, so that a pid is never mistaken
    started: float  # monotonic seconds
    wall: float  # epoch seconds
    ended: float | None  # monotonic seconds; None while it runs
    ended_wall: float | None
    code: int | None  # exit code; None while it runs, or when unknown
    signal: int | None  # the signal that ended it
    cgroup: str
    note: dict[str, Any]


class ExitedEvent(TypedDict):
    event: Literal["exited"]
    child: Child


class ExecExitedEvent(TypedDict):
    event: Literal["exec_exited"]
    exec: str
    code: int | None
    signal: int | None
    timed_out: bool


class AppearEvent(TypedDict):
    """Somebody does not find the stack: the supervisor is to look whether its socket is where it was."""

    event: Literal["appear"]


Event = ExitedEvent | ExecExitedEvent | AppearEvent
