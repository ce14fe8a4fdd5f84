"""The launch spec: a `config.json` of the OCI Runtime Specification 1.2, the part of it that orchestra uses.

`plan/launch` writes it, the runtime carries it out, and crun or runc could read it too: what OCI has no word for
stands under `orchestra`, which they have to ignore ("unknown properties", OCI config.md, Extensibility). Plain
dictionaries with types: the keeper decodes one with json.loads and nothing else.
"""

from __future__ import annotations

from typing import Literal, NotRequired

from .shapes import TypedDict


class User(TypedDict):
    uid: int
    gid: int
    additionalGids: NotRequired[list[int]]
    umask: NotRequired[int]
    username: NotRequired[str]
    """"name", "name:group", "1000:group": resolved inside of the root file system, wins over uid and gid."""
    groups: NotRequired[list[str]]
    """`group_add`: names or numbers, resolved inside."""


class Capabilities(TypedDict):
    bounding: list[str]
    effective: list[str]
    permitted: list[str]
    inheritable: list[str]
    ambient: list[str]


class Rlimit(TypedDict):
    type: str  # "RLIMIT_NOFILE"
    soft: int
    hard: int


class Process(TypedDict):
    terminal: bool
    user: User
    args: list[str]
    env: list[str]  # "KEY=value"; HOME is added from the container's passwd where it is missing
    cwd: str
    capabilities: Capabilities
    rlimits: list[Rlimit]
    noNewPrivileges: bool
    oomScoreAdj: NotRequired[int]


class Root(TypedDict):
    path: str  # unused by the native runtime when orchestra.layers is there
    readonly: bool


class Mount(TypedDict):
    destination: str
    type: str  # bind, tmpfs, proc, sysfs, devpts, mqueue, cgroup
    source: str
    options: list[str]
    """ro, rw, suid, nosuid, nodev, noexec, rbind, size=…, mode=…, idmap (ownership on disk as without the namespace);
    orchestra's own: `beneath=PATH` (what is there in the source, and not what a link leads to outside of it)."""


class Namespace(TypedDict):
    type: Literal["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"]
    path: NotRequired[str]  # join the one pinned here


class IdMapping(TypedDict):
    containerID: int
    hostID: int
    size: int


class Memory(TypedDict, total=False):
    limit: int  # bytes
    reservation: int
    swap: int  # memory plus swap, -1 without limit


class Cpu(TypedDict, total=False):
    shares: int
    quota: int  # microseconds per period
    period: int
    cpus: str  # cpuset


class Pids(TypedDict):
    limit: int


class DeviceWeight(TypedDict):
    major: int
    minor: int
    weight: int


class DeviceRate(TypedDict):
    major: int
    minor: int
    rate: int  # bytes or operations a second


class BlockIO(TypedDict, total=False):
    weight: int  # 10 to 1000
    weightDevice: list[DeviceWeight]
    throttleReadBpsDevice: list[DeviceRate]
    throttleWriteBpsDevice: list[DeviceRate]
    throttleReadIOPSDevice: list[DeviceRate]
    throttleWriteIOPSDevice: list[DeviceRate]


class Resources(TypedDict, total=False):
    memory: Memory
    cpu: Cpu
    pids: Pids
    blockIO: BlockIO


class Linux(TypedDict):
    namespaces: list[Namespace]
    uidMappings: list[IdMapping]
    gidMappings: list[IdMapping]
    cgroupsPath: str  # relative to the root of each hierarchy
    resources: Resources
    sysctl: dict[str, str]
    maskedPaths: list[str]
    readonlyPaths: list[str]


class GivenFile(TypedDict):
    """A secret, a config or one of the container's own: bytes (base64) or a file of the host, shown inside as a file
    of a private tmpfs, so that neither the host's path nor its disk is within reach."""

    destination: str
    source: NotRequired[str]
    content: NotRequired[str]  # base64
    uid: int
    gid: int
    mode: int
    writable: NotRequired[bool]  # and below what the service mounts


class Extras(TypedDict):
    """What orchestra needs beyond OCI."""

    layers: list[str]  # lower directories, topmost first
    upper: str  # "" together with work: the root is read-only and has no writable layer
    work: str
    usr: list[Mount]  # for `rootfs: host`: read-only binds below the root, made before everything else
    seccomp: str  # path of ready BPF bytes, "" for none
    files: list[GivenFile]
    init: bool
    stdin: bool  # keep standard input open instead of /dev/null
    cgroupUnified: NotRequired[str]


class Spec(TypedDict):
    ociVersion: str
    hostname: str
    process: Process
    root: Root
    mounts: list[Mount]
    linux: Linux
    annotations: dict[str, str]
    orchestra: Extras
