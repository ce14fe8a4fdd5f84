"""What clients ask about use, health, causes and the past; requests and answers as in `wire/api`.

Times are epoch seconds (float), durations seconds, sizes bytes, shares of processors cores (1.5: one and a half).
`None` means that nobody counts it on this machine (a controller that is missing, no pressure stall information).
Every answer is bounded: `truncated` true says that there was more than it holds. A stored answer never waits for
more than a few seconds of the disk; past that it is an error.
"""

from __future__ import annotations

from typing import Literal, NotRequired

from .shapes import TypedDict

# Use, now


class Traffic(TypedDict):
    """One interface of a container, as the container sees it: counters since its network was made."""

    network: str  # key of the network
    interface: str  # "eth0"
    received_bytes: int
    received_packets: int
    received_dropped: int
    sent_bytes: int
    sent_packets: int
    sent_dropped: int


class Rates(TypedDict):
    """Between two samples, `over` seconds apart. Per second, but for `cpu`."""

    over: float
    cpu: float | None  # cores
    throttled: float | None  # share of the time (0..1 for each core) in which the limit held it back
    read: float | None
    written: float | None
    received: float | None  # bytes of all interfaces
    sent: float | None
    received_packets: float | None
    sent_packets: float | None
    dropped: float | None  # packets, both directions


class Usage(TypedDict):
    """What one running container uses. Totals count from the start of its run (cgroup), network from its making."""

    time: float
    container: str
    service: str
    cpu: float | None  # seconds of processor time
    cpu_limit: float | None  # cores
    throttled_periods: int | None
    throttled: float | None  # seconds
    memory: int | None  # everything that is charged, page cache included
    working_set: int | None  # without the page cache that the kernel takes back at once (inactive_file)
    memory_limit: int | None
    memory_peak: int | None
    oom_kills: int
    pids: int | None
    pids_limit: int | None
    read: int | None  # bytes from block devices
    written: int | None
    pressure_cpu: float | None  # PSI, some avg10: per cent of the last ten seconds in which some task waited
    pressure_memory: float | None
    pressure_io: float | None
    networks: list[Traffic]
    rates: NotRequired[Rates]  # missing where there is no earlier sample of this run


class UsageRequest(TypedDict):
    """What containers use: of these services (None: all), one-offs included.

    Without `follow`, done: {"usage": [Usage, ...]}; rates are since the supervisor's own last sample (at most ten
    seconds ago), or over half a second where there is none. With `follow`, answers with "usage" every `interval`
    seconds (at least 1, which is the default) until the client goes away; the first comes at once.
    """

    id: int
    do: Literal["usage"]
    services: NotRequired[list[str] | None]
    follow: NotRequired[bool]
    interval: NotRequired[float]


# Health, over time

Verdict = Literal[
    "healthy",  # its probes succeed
    "unhealthy",
    "starting",  # runs, no verdict yet
    "running",  # runs, and has no health check
    "waiting",  # held back by something, or being made
    "restarting",  # ended, will be started again
    "dead",  # ended and given up, or could not be started
    "exited",  # ended, and that is fine by its policy
    "stopped",  # by hand, or on its way there
    "paused",  # by hand: nothing of it runs, and no probe is made
    "absent",  # there is no such container
    "unknown",  # nobody was there to look (the machine or the supervisor was away)
]


class Span(TypedDict):
    """A service (the worst of its replicas) or a container was so for that time. Joined end to end in an answer."""

    start: float
    end: float
    verdict: Verdict
    text: str  # what was said when it began: "connection refused", "killed by SIGKILL"
    cause: str  # one sentence: "cart-1 is unhealthy: connection refused"
    open: bool  # it goes on (its end is the moment of asking)


class Outage(TypedDict):
    """A service was not well: from the first span that is not to the next that is."""

    service: str
    start: float
    end: float
    open: bool
    verdict: Verdict  # the worst of it
    cause: str
    restarts: int
    text: str  # "unhealthy 14:02:10 to 14:02:31 (21 s): connection refused; restarted once" is made of this


class HealthRequest(TypedDict):
    """Done: {"from", "until", "spans": {service: [Span]}, "outages": [Outage], "share": {service: part of the
    window (0..1), of what is known, in which it was well}, "truncated"}. Services without a past are left out."""

    id: int
    do: Literal["health"]
    services: NotRequired[list[str] | None]
    start: NotRequired[float | None]  # default: an hour ago
    until: NotRequired[float | None]
    by_container: NotRequired[bool]  # "spans" by container as well, under "containers": {container: [Span]}


class Probes(TypedDict):
    """The probes of one container in one minute."""

    time: float  # when the minute began
    count: int
    failed: int
    least: float  # seconds that a probe took
    mean: float
    most: float
    text: str  # what the last failed one said, or the last one


class ProbesRequest(TypedDict):
    """Done: {"probes": {container: [Probes]}, "truncated"}; the newest are kept where there are too many."""

    id: int
    do: Literal["probes"]
    services: NotRequired[list[str] | None]
    start: NotRequired[float | None]
    until: NotRequired[float | None]


# Metrics, over time

METRICS: dict[str, str] = {
    "cpu": "cores",
    "throttled": "share of time",
    "memory": "bytes",
    "working_set": "bytes",
    "pids": "processes",
    "read": "bytes per second",
    "written": "bytes per second",
    "received": "bytes per second",
    "sent": "bytes per second",
    "dropped": "packets per second",
    "pressure_cpu": "per cent",
    "pressure_memory": "per cent",
    "pressure_io": "per cent",
}
"""What is stored, and its unit. Of a service or the stack: the sum of its containers (pressure: the most)."""


class SeriesRequest(TypedDict):
    """One line for each metric: of a container, of a service, or of the whole stack where neither is named.

    Done: {"from", "until", "step", "series": {metric: [[time, least, mean, most], ...]}, "limits": {"cpu": cores,
    "memory": bytes, "pids": n} (those that there are, summed for a service), "marks": [Mark], "truncated"}. `step`
    is what the answer uses: at least what was asked for, enough to keep the answer below 1500 points, and never
    finer than what is still stored (1 s for 15 minutes while somebody follows, 10 s for a day, 5 min for 30 days).
    `time` is the beginning of a step; steps of which nothing is known are left out.
    """

    id: int
    do: Literal["series"]
    container: NotRequired[str | None]
    service: NotRequired[str | None]
    metrics: NotRequired[list[str] | None]  # None: all
    start: NotRequired[float | None]  # default: an hour ago
    until: NotRequired[float | None]
    step: NotRequired[float | None]  # default: 10


MarkKind = Literal["start", "restart", "end", "oom", "unhealthy", "healthy", "up"]


class Mark(TypedDict):
    """Something on the time axis. The event of that id says more."""

    id: int
    time: float
    kind: MarkKind
    service: str
    container: str
    text: str


class MarksRequest(TypedDict):
    """Done: {"marks": [Mark], "truncated"}: at most 1000, the newest."""

    id: int
    do: Literal["marks"]
    services: NotRequired[list[str] | None]
    start: NotRequired[float | None]
    until: NotRequired[float | None]


# The last start


class Segment(TypedDict):
    """What a container was about. `waiting` for `on` (a service), or to be made where that is ""."""

    kind: Literal["waiting", "making", "starting", "checking", "ready"]
    start: float
    end: float
    on: str
    text: str


class Lane(TypedDict):
    container: str
    service: str
    segments: list[Segment]  # in order, joined
    first_probe: float | None
    ready: float | None  # healthy; started where it has no health check; ended well where it is a job
    ended: float | None  # it will not become ready: ended badly, or taken away
    how: str  # how it ended, or ""
    critical: bool  # on the longest way from the request to the last that became ready


class StartupRequest(TypedDict):
    """The last `up` that started something. Done: {"from": when it was asked for, "until": when the last became
    ready, or ended without (None: some are still on their way), "lanes": [Lane] in order of the first start,
    "critical": [container names from the first to the last]}. Empty lanes: no start is remembered."""

    id: int
    do: Literal["startup"]


# Why

Kind = Literal[
    "ready",
    "starting",
    "unhealthy",
    "waiting",  # for a dependency: see blocked_by
    "backing_off",  # ended, will be started again: see next
    "gave_up",
    "failed",  # could not be made or started
    "paused",
    "stopped",
    "stopping",
    "finished",
]


class Next(TypedDict):
    """What happens next without anybody's help."""

    text: str  # "restarting in 6.4 s (5th)", "it starts once cart is ready", "nothing by itself"
    at: float | None  # when, if that is known
    command: str  # what a person could do: "orchestra restart cart"


class Cause(TypedDict):
    """Why a service is where it is. Of several replicas the one that is worst off speaks."""

    service: str
    container: str
    kind: Kind
    since: float | None
    text: str  # of this service alone: "unhealthy since 14:02:10, its probe says connection refused"
    sentence: str  # with those that it waits for, to the last: "orders is waiting: cart is unhealthy since …"
    blocked_by: list[Cause]  # services that it waits for; a circle is cut
    restarts: int
    last_exit: str
    next: Next


class WhyRequest(TypedDict):
    """Done: {"causes": [Cause]}, one for each service, not ready ones first. `orchestra why` prints `sentence`."""

    id: int
    do: Literal["why"]
    services: NotRequired[list[str] | None]


# Alerts


class Rule(TypedDict):
    name: str  # "unhealthy"
    kind: Literal["health", "ended", "restarts", "oom", "log", "cpu", "memory", "pids"]
    text: str  # "a service is unhealthy for 30 s"
    services: list[str] | None  # None: all
    builtin: bool


class Alert(TypedDict):
    """One rule about one service, or container. Resolved ones stay for 30 days."""

    id: int
    rule: str
    service: str
    container: str
    since: float
    resolved: float | None  # None: it is firing
    text: str
    sent: int  # to how many receivers it went out
    failed: str  # why the last one that failed did so; never with an address or a secret in it


class Receiver(TypedDict):
    name: str  # of the webhook in the stack file
    host: str  # "ntfy.sh": an address may hold a secret, so more is never told
    format: Literal["json", "text"]


class AlertsRequest(TypedDict):
    """Done: {"rules": [Rule], "receivers": [Receiver], "alerts": [Alert], firing first, then the newest}."""

    id: int
    do: Literal["alerts"]
    start: NotRequired[float | None]  # resolved ones since then; default: a day
    limit: NotRequired[int]


class AlertTestRequest(TypedDict):
    """Really sends a message that says that it is a test. Done: {"results": [{"name", "host", "ok", "text"}]}."""

    id: int
    do: Literal["alert_test"]
    receiver: NotRequired[str | None]  # None: all
