"""The stack as values: what `parse` makes of a file and everything else works from.

Frozen, complete and typed: defaults are filled in, durations are seconds (float), sizes are bytes (int), paths are
absolute. The terms and the defaults are those of the Compose Specification (compose-spec, 05-services.md and
neighbours); what is ours says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from orchestra.values import dataclass

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
RestartPolicy = Literal["no", "always", "on-failure", "unless-stopped"]
Protocol = Literal["tcp", "udp"]


@dataclass(frozen=True, slots=True)
class Dependency:
    """`depends_on`: what must be true of another service before this one starts."""

    service: str
    condition: Condition = "service_started"
    required: bool = True
    restart: bool = False


@dataclass(frozen=True, slots=True)
class ExecProbe:
    """`test:`; `args` is what runs inside of the container (CMD-SHELL already turned into /bin/sh -c)."""

    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """`http:` (ours). Asked from within the container's network namespace, without a process in it."""

    host: str  # "" means the container itself (127.0.0.1)
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """`tcp:` (ours). A connection that is accepted counts as success."""

    host: str
    port: int


Probe = ExecProbe | HttpProbe | TcpProbe


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """Times in seconds; defaults as moby's: 30, 30, 0, 5, three retries."""

    probe: Probe
    interval: float = 30.0
    timeout: float = 30.0
    start_period: float = 0.0
    start_interval: float = 5.0
    retries: int = 3


@dataclass(frozen=True, slots=True)
class Restart:
    """`restart`, or `deploy.restart_policy` which wins over it. `attempts` None: without end."""

    policy: RestartPolicy = "no"
    attempts: int | None = None


UNFOLDED = 100
"""Ports of a range that is taken apart. A longer one stays whole: a rule of the firewall, and no sockets."""


@dataclass(frozen=True, slots=True)
class Port:
    """A published port. `published` is a first and last host port; None asks for any free one.

    With a `count` it is so many in a row: the first one leads to `target`, the next one to the next.
    """

    target: int
    published: tuple[int, int] | None
    host_ip: str = ""  # "" means every address: 0.0.0.0 and ::
    protocol: Protocol = "tcp"
    count: int = 1


@dataclass(frozen=True, slots=True)
class Mount:
    """One entry of `volumes` or `tmpfs`. For `volume`, `source` is the key at the top level, "" if anonymous."""

    type: Literal["bind", "volume", "tmpfs"]
    target: str
    source: str = ""
    read_only: bool = False
    create_host_path: bool = True
    propagation: str = "rprivate"
    suid: bool = False  # bind only: set-ID programs may be made there, and count
    nocopy: bool = False
    subpath: str = ""
    size: int | None = None  # bytes, tmpfs only
    mode: int | None = None  # tmpfs only
    options: tuple[str, ...] = ()  # tmpfs only: exec, uid=, gid=, nr_inodes=


@dataclass(frozen=True, slots=True)
class Join:
    """A service's membership of a network."""

    network: str  # key at the top level
    aliases: tuple[str, ...] = ()
    ipv4_address: str | None = None
    mac_address: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """A secret or config that a service may read: where, whose, which mode."""

    source: str  # key at the top level
    target: str  # absolute path inside
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


@dataclass(frozen=True, slots=True)
class OfDevice:
    """A weight (10 to 1000) or a rate (bytes or operations a second) of one disk."""

    path: str  # "/dev/sda": of the host
    amount: int


@dataclass(frozen=True, slots=True)
class BlockIO:
    """`blkio_config`."""

    weight: int | None = None  # 10 to 1000
    weight_device: tuple[OfDevice, ...] = ()
    device_read_bps: tuple[OfDevice, ...] = ()
    device_read_iops: tuple[OfDevice, ...] = ()
    device_write_bps: tuple[OfDevice, ...] = ()
    device_write_iops: tuple[OfDevice, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits. None: not limited (pids has a default in `plan/launch`)."""

    cpus: float | None = None
    cpu_quota: int | None = None  # microseconds in each period, -1 without limit; instead of cpus
    cpu_period: int | None = None  # microseconds
    cpu_shares: int | None = None
    cpuset: str | None = None
    memory: int | None = None
    memory_reservation: int | None = None
    memory_swap: int | None = None  # memory plus swap, -1 without limit
    pids: int | None = None  # -1 without limit
    blkio: BlockIO = BlockIO()
    ingress: int | None = None  # bits a second into each of the container's links (ours)
    egress: int | None = None  # and out of it


@dataclass(frozen=True, slots=True)
class Ulimit:
    name: str  # "nofile"
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Logging:
    """Bounded by default: three files of 10 MiB. driver `none` keeps nothing."""

    driver: Literal["json-file", "local", "none"] = "json-file"
    max_size: int = 10 * 1024 * 1024
    max_file: int = 3


@dataclass(frozen=True, slots=True)
class Update:
    """`deploy.update_config`: how running containers are replaced by changed ones (Compose Deploy Specification).

    Times in seconds. `failure_action` of start-first is to go back (the specification: pause); `drain` is ours.
    """

    order: Literal["stop-first", "start-first"] = "stop-first"
    parallelism: int = 0  # containers replaced at a time; 0: all, and 1 where the file has an update_config
    delay: float = 0.0  # between one and the next
    failure_action: Literal["rollback", "pause", "continue"] = "rollback"
    monitor: float = 0.0  # how long a new container must have been running (healthy) before it takes over
    max_failure_ratio: float = 0.0
    drain: float = 10.0  # how long an old one may go on serving the connections that it has


@dataclass(frozen=True, slots=True)
class HostRoot:
    """`rootfs: host` (ours): the host's /usr and the running Python, read-only."""


@dataclass(frozen=True, slots=True)
class DirRoot:
    """`rootfs: ./dir` (ours): a directory as the lowest, read-only layer."""

    path: str


@dataclass(frozen=True, slots=True)
class Security:
    no_new_privileges: bool = True
    seccomp: str = "default"  # "default", "unconfined", or the absolute path of a profile in OCI JSON
    cap_add: tuple[str, ...] = ()  # upper case, without CAP_; "ALL" is possible
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    rootfs: HostRoot | DirRoot
    config_hash: str  # changes exactly when the container has to be replaced
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    user: str = ""  # "", "1000", "1000:1000", "name", "name:group"
    group_add: tuple[str, ...] = ()
    hostname: str = ""  # "" means one of its own for each container
    container_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    scale: int = 1
    init: bool = False
    tty: bool = False
    stdin_open: bool = False
    attach: bool = True  # part of the output of `up`
    stop_signal: str = "SIGTERM"
    stop_grace_period: float = 10.0
    restart: Restart = Restart()
    depends_on: tuple[Dependency, ...] = ()  # includes those that network_mode: service:x implies
    healthcheck: Healthcheck | None = None
    on_unhealthy: Literal["none", "restart"] = "none"  # ours
    network_mode: str = ""  # "" (use `networks`), "none", "host", "service:x"
    networks: tuple[Join, ...] = ()
    ports: tuple[Port, ...] = ()
    expose: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    extra_hosts: tuple[tuple[str, str], ...] = ()  # (name, address or "host-gateway")
    mounts: tuple[Mount, ...] = ()
    secrets: tuple[Grant, ...] = ()
    configs: tuple[Grant, ...] = ()
    read_only: bool = False
    shm_size: int = 64 * 1024 * 1024
    sysctls: Mapping[str, str] = field(default_factory=dict)
    ulimits: tuple[Ulimit, ...] = ()
    oom_score_adj: int | None = None
    security: Security = Security()
    limits: Limits = Limits()
    logging: Logging = Logging()
    update: Update = Update()
    rollback: Update | None = None  # how it goes back; None: as `update` says


@dataclass(frozen=True, slots=True)
class Use:
    """`uses` (ours): a service that another stack owns, under the name that it has in this one."""

    name: str
    stack: str  # the name of the stack that owns it
    service: str  # its name there
    file: str  # the owner's stack file, absolute
    networks: tuple[Join, ...] = ()  # of this stack: where it is to be found


@dataclass(frozen=True, slots=True)
class Network:
    key: str
    name: str  # "store_default"
    internal: bool = False
    external: bool = False
    subnet: str | None = None
    gateway: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Volume:
    key: str
    name: str  # "store_accounts-db"
    external: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileSource:
    """A top-level secret or config: a file to read when a container starts, or the bytes themselves."""

    key: str
    file: str | None = None
    content: str | None = None


AlertKind = Literal["health", "ended", "restarts", "oom", "log", "cpu", "memory", "pids"]


@dataclass(frozen=True, slots=True)
class AlertRule:
    """What counts as wrong (ours). Times in seconds."""

    name: str
    kind: AlertKind
    services: tuple[str, ...] = ()  # none: all
    above: float = 0.0  # restarts: how many; cpu, memory, pids: part of the limit, 0..1
    lasting: float = 0.0  # `for`: so long it has to be so before anybody is told
    within: float = 300.0  # restarts are counted in such a time; a single happening counts for so long
    words: tuple[str, ...] = ()  # log


@dataclass(frozen=True, slots=True)
class Receiver:
    """A webhook (ours). Address and headers may hold secrets: only the host is ever told."""

    name: str
    url: str
    format: Literal["json", "text"] = "json"
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Alerting:
    """`x-alerts` (ours), the built-in rules included."""

    receivers: tuple[Receiver, ...] = ()
    rules: tuple[AlertRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Stack:
    """What a person asked for: the active services of one project and what they use."""

    name: str
    directory: str  # absolute; the project folder
    files: tuple[str, ...]
    services: Mapping[str, Service]
    networks: Mapping[str, Network] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    secrets: Mapping[str, FileSource] = field(default_factory=dict)
    configs: Mapping[str, FileSource] = field(default_factory=dict)
    uses: Mapping[str, Use] = field(default_factory=dict)  # services that other stacks own; not among `services`
    owners: Mapping[str, Stack] = field(default_factory=dict)  # those stacks by name, as their own files have them
    alerts: Alerting | None = None  # None: the built-in rules, and nobody to tell
    disabled: frozenset[str] = frozenset()  # services that exist in the file but whose profiles are off
    places: Mapping[str, str] = field(default_factory=dict)
    """Path of what several services want for themselves alone -> "file:line:column: path"."""
