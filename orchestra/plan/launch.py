"""From a service to the launch spec of one container: what the keeper's runtime carries out, word for word.

The defaults are in `defaults`, with their reasons; here they meet what the stack file says.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import field

from ..stack.model import BlockIO, FileSource, Grant, Limits, Mount, OfDevice, Service
from ..values import dataclass
from ..wire import spec as oci
from . import defaults

ID_RANGE = 1 << 16
"""Ids that a container may use."""
TMPFS_SIZE = 1 << 30
"""Bytes, where a tmpfs has no size of its own: docker's half of the machine's memory is no bound."""
Disks = Mapping[str, tuple[int, int]]
"""Path of a block device -> its major and minor number."""
CPU_PERIOD = 100_000
"""Microseconds; the kernel's and docker's default (docker run --cpus)."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a container stands on, gathered by the caller: absolute paths on the host."""

    layers: tuple[str, ...]
    binds: tuple[oci.Mount, ...]  # `rootfs: host`: /usr and Python
    path: str  # PATH inside
    upper: str
    work: str
    files: str  # folder with hosts, hostname, resolv.conf
    user_pin: str
    net_pin: str  # "" joins the host's network
    cgroup: str
    seccomp: str  # path of ready filter bytes, "" for none
    id_base: int
    volumes: Mapping[str, str]  # key of a volume -> folder; anonymous ones by their target
    hostname: str
    disks: Disks = field(default_factory=dict)


def launch_spec(
    container: str,
    service: Service,
    ground: Ground,
    given: Mapping[str, FileSource],
) -> oci.Spec:
    """`given`: "secret/NAME" and "config/NAME" -> where its bytes come from."""
    process = process_of(service, ground.path, ground.hostname)
    process["env"] = [_of_instance(entry, container) for entry in process["env"]]
    return {
        "ociVersion": "1.2.0",
        "hostname": ground.hostname,
        "process": process,
        "root": {"path": "rootfs", "readonly": service.read_only},
        "mounts": [
            *defaults.MOUNTS,
            defaults.shm(service.shm_size),
            *_mounts(service, ground),
        ],
        "linux": {
            "namespaces": _namespaces(ground),
            "uidMappings": [{"containerID": 0, "hostID": ground.id_base, "size": ID_RANGE}],
            "gidMappings": [{"containerID": 0, "hostID": ground.id_base, "size": ID_RANGE}],
            "cgroupsPath": ground.cgroup,
            "resources": resources_of(service.limits, ground.disks),
            "sysctl": {**defaults.SYSCTLS, **service.sysctls} if ground.net_pin else dict(service.sysctls),
            "maskedPaths": [] if service.security.privileged else list(defaults.MASKED_PATHS),
            "readonlyPaths": [] if service.security.privileged else list(defaults.READONLY_PATHS),
        },
        "annotations": {f"label.{key}": value for key, value in service.labels.items()},
        "orchestra": {
            "layers": list(ground.layers),
            "upper": ground.upper,
            "work": ground.work,
            "usr": list(ground.binds),
            "seccomp": ground.seccomp,
            "files": [
                *_own_files(ground),
                *_granted(service.secrets, given, "secret"),
                *_granted(service.configs, given, "config"),
            ],
            "init": service.init,
            "stdin": service.stdin_open,
        },
    }


def files_spec(container: str, service: Service, ground: Ground, given: Mapping[str, FileSource]) -> oci.Spec:
    """The file system of a container alone, for who looks into one that does not run."""
    spec = launch_spec(container, service, ground, given)
    linux, process = spec["linux"], spec["process"]
    return {
        **spec,
        "mounts": [mount for mount in spec["mounts"] if mount["type"] == "bind"],
        "process": {**process, "cwd": "/"},
        "linux": {
            **linux,
            "namespaces": [{"type": "user", "path": ground.user_pin}, {"type": "mount"}],
            "maskedPaths": [],
            "readonlyPaths": [],
        },
        "orchestra": {**spec["orchestra"], "seccomp": "", "init": False},
    }


def process_of(service: Service, path: str, hostname: str) -> oci.Process:
    """The service's own process."""
    process: oci.Process = {
        "terminal": service.tty,
        "user": _user(service.user, service.group_add),
        "args": [*service.entrypoint, *service.command],
        "env": _environment(service, path, hostname),
        "cwd": service.working_dir or "/",
        "capabilities": capabilities(service),
        "rlimits": _rlimits(service),
        "noNewPrivileges": service.security.no_new_privileges and not service.security.privileged,
    }
    if service.oom_score_adj is not None:
        process["oomScoreAdj"] = service.oom_score_adj
    return process


def exec_process(
    service: Service,
    path: str,
    hostname: str,
    args: Sequence[str],
    env: Sequence[str] = (),
    cwd: str | None = None,
    user: str | None = None,
    tty: bool = False,
) -> oci.Process:
    """Another process in the same container, with the same rights."""
    process = process_of(service, path, hostname)
    process["args"] = list(args)
    process["env"] = [*process["env"], *env]
    process["terminal"] = tty
    if tty and not any(entry.startswith("TERM=") for entry in process["env"]):
        process["env"].append("TERM=xterm")
    if cwd is not None:
        process["cwd"] = cwd
    if user is not None:
        process["user"] = _user(user, ())
    return process


def capabilities(service: Service) -> oci.Capabilities:
    """Bounding, permitted and effective: docker's rules for cap_add and cap_drop, from a smaller list."""
    security = service.security
    if security.privileged or "ALL" in security.cap_add:
        chosen = set(defaults.ALL_CAPABILITIES)
    else:
        chosen = set() if "ALL" in security.cap_drop else set(defaults.CAPABILITIES)
        chosen |= {f"CAP_{name}" for name in security.cap_add}
    if not may_set_id(service) and "SETFCAP" not in security.cap_add:
        chosen.discard("CAP_SETFCAP")
    chosen -= {f"CAP_{name}" for name in security.cap_drop}
    names = sorted(chosen)
    plain_user = service.user not in ("", "0", "root") and not service.user.startswith(("0:", "root:"))
    # A plain user loses its capabilities at execve; what was asked for by name has to be ambient to reach it.
    ambient = sorted(chosen & {f"CAP_{name}" for name in security.cap_add}) if plain_user else []
    return {
        "bounding": names,
        "effective": ambient if plain_user else names,
        "permitted": ambient if plain_user else names,
        "inheritable": list(ambient),
        "ambient": ambient,
    }


def may_set_id(service: Service) -> bool:
    """Whether its processes may make programs that run as their owner, or with capabilities of their own.

    In a folder of the host that it writes to, root's files are the host's root's: any user of the host who can get
    there would become that one. `suid` at each such bind says that it may; nobody gets to the volumes.
    """
    writable = (mount for mount in service.mounts if mount.type == "bind" and not mount.read_only)
    return service.security.privileged or all(mount.suid for mount in writable)


def _user(user: str, groups: Sequence[str]) -> oci.User:
    found: oci.User = {"uid": 0, "gid": 0}
    if user:
        found["username"] = user
    if groups:
        found["groups"] = list(groups)
    return found


def _environment(service: Service, path: str, hostname: str) -> list[str]:
    given = {"PATH": path, "HOSTNAME": hostname}
    if service.tty:
        given["TERM"] = "xterm"
    return [f"{key}={value}" for key, value in {**given, **service.environment}.items()]


def _of_instance(entry: str, container: str) -> str:
    """What `x-otel` says of a service, said of one of its containers."""
    return entry.replace("{container}", container) if entry.startswith("OTEL_RESOURCE_ATTRIBUTES=") else entry


def _rlimits(service: Service) -> list[oci.Rlimit]:
    limits: dict[str, oci.Rlimit] = {limit["type"]: limit for limit in defaults.RLIMITS}
    for asked in service.ulimits:
        kind = f"RLIMIT_{asked.name.upper()}"
        limits[kind] = {"type": kind, "soft": asked.soft, "hard": asked.hard}
    return list(limits.values())


def _namespaces(ground: Ground) -> list[oci.Namespace]:
    made: list[oci.Namespace] = [
        {"type": "user", "path": ground.user_pin},
        {"type": "pid"},
        {"type": "mount"},
        {"type": "ipc"},
        {"type": "uts"},
        {"type": "cgroup"},
        {"type": "time"},
    ]
    if ground.net_pin:
        made.append({"type": "network", "path": ground.net_pin})
    return made


def resources_of(limits: Limits, disks: Disks) -> oci.Resources:
    """What a new cgroup is told."""
    memory: oci.Memory = {}
    if limits.memory is not None:
        memory["limit"] = limits.memory
        memory["swap"] = limits.memory * 2 if limits.memory_swap is None else limits.memory_swap
    if limits.memory_reservation is not None:
        memory["reservation"] = limits.memory_reservation
    cpu: oci.Cpu = {}
    if limits.cpus is not None:
        cpu["quota"] = round(limits.cpus * CPU_PERIOD)
        cpu["period"] = CPU_PERIOD
    elif limits.cpu_quota is not None:
        cpu["quota"] = limits.cpu_quota
        cpu["period"] = limits.cpu_period or CPU_PERIOD
    if limits.cpu_shares is not None:
        cpu["shares"] = limits.cpu_shares
    if limits.cpuset is not None:
        cpu["cpus"] = limits.cpuset
    pids = defaults.PIDS_LIMIT if limits.pids is None else limits.pids
    found: oci.Resources = {"memory": memory, "cpu": cpu, "pids": {"limit": pids}}
    if limits.blkio != BlockIO():
        found["blockIO"] = _block_io(limits.blkio, disks)
    return found


def changed_resources(limits: Limits, disks: Disks) -> oci.Resources:
    """What a cgroup in use is told: as for a new one, and that what is not limited any more is free again."""
    found = resources_of(limits, disks)
    memory: oci.Memory = {"limit": -1, "swap": -1, "reservation": -1}
    cpu: oci.Cpu = {"quota": -1, "period": CPU_PERIOD, "shares": 0, "cpus": ""}
    return {**found, "memory": {**memory, **found["memory"]}, "cpu": {**cpu, **found["cpu"]}}


def _block_io(asked: BlockIO, disks: Disks) -> oci.BlockIO:
    found: oci.BlockIO = {}
    if asked.weight is not None:
        found["weight"] = asked.weight
    if asked.weight_device:
        found["weightDevice"] = [
            {"major": disks[one.path][0], "minor": disks[one.path][1], "weight": one.amount}
            for one in asked.weight_device
        ]
    if asked.device_read_bps:
        found["throttleReadBpsDevice"] = _rates(asked.device_read_bps, disks)
    if asked.device_write_bps:
        found["throttleWriteBpsDevice"] = _rates(asked.device_write_bps, disks)
    if asked.device_read_iops:
        found["throttleReadIOPSDevice"] = _rates(asked.device_read_iops, disks)
    if asked.device_write_iops:
        found["throttleWriteIOPSDevice"] = _rates(asked.device_write_iops, disks)
    return found


def _rates(asked: Sequence[OfDevice], disks: Disks) -> list[oci.DeviceRate]:
    return [{"major": disks[one.path][0], "minor": disks[one.path][1], "rate": one.amount} for one in asked]


def _own_files(ground: Ground) -> list[oci.GivenFile]:
    return [
        {
            "destination": f"/etc/{name}",
            "source": f"{ground.files}/{name}",
            "uid": 0,
            "gid": 0,
            "mode": 0o644,
            "writable": True,
        }
        for name in ("hosts", "hostname", "resolv.conf")
    ]


def _mounts(service: Service, ground: Ground) -> list[oci.Mount]:
    # Parents before what is mounted below them.
    ordered = sorted(service.mounts, key=lambda mount: mount.target.rstrip("/").count("/"))
    return [_tmpfs(mount) if mount.type == "tmpfs" else _bind(mount, ground) for mount in ordered]


def _tmpfs(mount: Mount) -> oci.Mount:
    options = ["nosuid", "nodev", f"mode={0o1777 if mount.mode is None else mount.mode:o}"]
    options += [f"size={TMPFS_SIZE if mount.size is None else mount.size}", *mount.options]  # the last one counts
    if "exec" not in mount.options:
        options.append("noexec")
    return {
        "destination": mount.target,
        "type": "tmpfs",
        "source": "tmpfs",
        "options": [*options, "ro"] if mount.read_only else options,
    }


def _bind(mount: Mount, ground: Ground) -> oci.Mount:
    source = mount.source if mount.type == "bind" else ground.volumes[mount.source or mount.target]
    options = ["rbind", "ro" if mount.read_only else "rw", "suid" if mount.suid else "nosuid", "idmap"]
    if mount.subpath:
        options.append(f"beneath={mount.subpath}")
    return {"destination": mount.target, "type": "bind", "source": source, "options": options}


def _granted(grants: Sequence[Grant], given: Mapping[str, FileSource], kind: str) -> list[oci.GivenFile]:
    files: list[oci.GivenFile] = []
    for grant in grants:
        source = given[f"{kind}/{grant.source}"]
        file: oci.GivenFile = {
            "destination": grant.target,
            "uid": grant.uid,
            "gid": grant.gid,
            "mode": grant.mode,
        }
        if source.file is not None:
            file["source"] = source.file
        else:
            file["content"] = base64.b64encode((source.content or "").encode()).decode()
        files.append(file)
    return files
