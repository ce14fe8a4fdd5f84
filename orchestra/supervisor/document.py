"""Everything about one container as `inspect` prints it: docker inspect's keys where it has them, then our own.

What was asked for stands beside what the kernel holds, so that the two can be compared. Contents of secrets and
configs are nowhere, values of the environment only where they are asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from ..errors import OrchestraError
from ..network.shaping import shapes
from ..plan import spelling
from ..plan.defaults import PIDS_LIMIT
from ..plan.launch import capabilities, resources_of
from ..runtime import cgroups, processes
from ..stack.model import BlockIO, Service
from ..stack.units import spelled_rate
from ..wire.api import Row
from ..wire.codec import encode
from . import wiring
from .hostnames import hostname_of
from .limiting import disks_of
from .world import World

Document = dict[str, Any]


def document(world: World, row: Row, with_values: bool) -> Document:
    """Reads files of /proc and of the cgroup, and asks netlink: call it from a worker thread."""
    name = row["name"]
    seen, target = world.seen.get(name), world.wanted.targets.get(name)
    service = seen.service if seen is not None else target.service if target is not None else None
    assert service is not None
    pid = row["pid"] if seen is not None and seen.alive else None
    return {
        "Id": name,
        "Name": f"/{name}",
        "Service": service.name,
        "Project": world.places.name,
        "Replica": row["replica"],
        "Created": _stamp(row["created"]),
        "Path": next(iter([*service.entrypoint, *service.command]), ""),
        "Args": [*service.entrypoint, *service.command][1:],
        "State": _state(world, row, pid),
        "RestartCount": row["restarts"],
        "Image": row["image"],
        "LogPath": row["logs"],
        "Config": _config(service, hostname_of(world.places, name, service), with_values),
        "HostConfig": _host_config(service),
        "Mounts": _mounts(world, name, service),
        "NetworkSettings": _networks(world, row, service),
        "Namespaces": _namespaces(world, name, service, pid),
        "Limits": _limits(world, name, service, pid),
        "Security": _security(service, pid),
        "MountTable": processes.mounts(pid) if pid else [],
    }


def _state(world: World, row: Row, pid: int | None) -> Document:
    seen = world.seen.get(row["name"])
    run = seen.run if seen is not None else None
    state: Document = {
        "Status": row["state"],
        "Running": pid is not None,
        "Paused": row["state"] == "paused",
        "Restarting": row["state"] == "restarting",
        "OOMKilled": bool(run and run.oom),
        "Dead": row["state"] == "dead",
        "Pid": pid or 0,
        "ExitCode": row["exit_code"] or 0,
        "Error": run.trouble if run else "",
        "StartedAt": _stamp(row["started"]),
        "FinishedAt": _stamp(row["ended"]),
        "Run": row["run"],
        "LastExit": row["last_exit"],
        "Why": row["why"],
    }
    if seen is not None and seen.service.healthcheck is not None:
        probes = list(world.probes.get(row["name"], ()))
        state["Health"] = {
            "Status": row["health"] or "none",
            "FailingStreak": _failing([probe["ok"] for probe in probes]),
            "Log": [
                {
                    "Start": _stamp(probe["start"]),
                    "End": _stamp(probe["end"]),
                    "ExitCode": 0 if probe["ok"] else 1,
                    "Output": probe["text"],
                }
                for probe in probes
            ],
        }
    return state


def _failing(results: Iterable[bool]) -> int:
    streak = 0
    for ok in results:
        streak = 0 if ok else streak + 1
    return streak


def _config(service: Service, hostname: str, with_values: bool) -> Document:
    return {
        "Hostname": hostname,
        "User": service.user,
        "Env": [f"{key}={value}" if with_values else key for key, value in sorted(service.environment.items())],
        "Entrypoint": list(service.entrypoint),
        "Cmd": list(service.command),
        "WorkingDir": service.working_dir,
        "Labels": dict(service.labels),
        "Tty": service.tty,
        "OpenStdin": service.stdin_open,
        "StopSignal": service.stop_signal,
        "StopTimeout": service.stop_grace_period,
        "Healthcheck": _plain(service.healthcheck),
        "Hash": service.config_hash,
    }


def _host_config(service: Service) -> Document:
    """Of docker's keys those that tell of limits and restarts."""
    limits, restart = service.limits, service.restart
    return {
        "Memory": limits.memory or 0,
        "MemoryReservation": limits.memory_reservation or 0,
        "MemorySwap": limits.memory_swap or (limits.memory or 0) * 2,
        "NanoCpus": round((limits.cpus or 0) * 1e9),
        "CpuShares": limits.cpu_shares or 0,
        "CpuQuota": limits.cpu_quota or 0,
        "CpuPeriod": limits.cpu_period or 0,
        "CpusetCpus": limits.cpuset or "",
        "PidsLimit": PIDS_LIMIT if limits.pids is None else limits.pids,
        "BlkioWeight": limits.blkio.weight or 0,
        "OomScoreAdj": service.oom_score_adj or 0,
        "ShmSize": service.shm_size,
        "ReadonlyRootfs": service.read_only,
        "Privileged": service.security.privileged,
        "NetworkMode": service.network_mode or "bridge",
        "RestartPolicy": {"Name": restart.policy, "MaximumRetryCount": restart.attempts or 0},
        "Ulimits": [{"Name": one.name, "Soft": one.soft, "Hard": one.hard} for one in service.ulimits],
    }


def _mounts(world: World, name: str, service: Service) -> list[Document]:
    volumes = {key: volume.name for key, volume in world.wanted.volumes.items()}
    found: list[Document] = []
    for mount in service.mounts:
        volume, source = "", mount.source
        if mount.type == "volume":
            volume = volumes.get(mount.source, "")
            source = world.places.home.volume(volume) if volume else f"{world.places.data}/anonymous/{name}"
        found.append(
            {
                "Type": mount.type,
                "Name": volume,
                "Source": source,
                "Destination": mount.target,
                "RW": not mount.read_only,
            }
        )
    for kind, grants in (("secret", service.secrets), ("config", service.configs)):
        found += [
            {"Type": kind, "Name": one.source, "Source": "", "Destination": one.target, "RW": False} for one in grants
        ]
    return found


def _networks(world: World, row: Row, service: Service) -> Document:
    networks = {}
    with contextlib.suppress(KeyError):  # of a network that is not made yet
        for key, plug in wiring.plugs_of(world, row["name"], service):
            router = world.page.routers[key]
            networks[router.label] = {
                "Interface": plug.interface,
                "IPAddress": plug.address,
                "IPPrefixLen": plug.prefix,
                "Gateway": router.gateway,
                "MacAddress": plug.mac,
                "Aliases": sorted(
                    {service.name, *(a for j in service.networks if j.network == key for a in j.aliases)}
                ),
            }
    ports: dict[str, list[Document]] = {}
    for port in row["ports"]:
        entry = {"HostIp": port["host_ip"] or "0.0.0.0", "HostPort": spelling.ports(port["host_port"], port["count"])}
        ports.setdefault(f"{spelling.ports(port['port'], port['count'])}/{port['protocol']}", []).append(entry)
    return {"Networks": networks, "Ports": ports}


def _namespaces(world: World, name: str, service: Service, pid: int | None) -> Document:
    """Inode numbers, as lsns(8) shows them; of what does not run, those that are kept for it."""
    pins = {"user": world.places.user_pin(name), "net": wiring.own_net_pin(world, name, service)}
    kept = {kind: inode for kind, pin in pins.items() if pin and (inode := processes.inode(pin)) is not None}
    return {**kept, **(processes.namespaces(pid) if pid else {})}


def _limits(world: World, name: str, service: Service, pid: int | None) -> Document:
    limits = service.limits
    asked = {key: value for key, value in _plain(limits).items() if value is not None}
    if limits.blkio == BlockIO():
        del asked["blkio"]
    for direction in ("ingress", "egress"):
        if direction in asked:
            asked[direction] = spelled_rate(asked[direction])
    found: Document = {"Asked": asked}
    with contextlib.suppress(OrchestraError):
        found["Requested"] = resources_of(limits, disks_of(service))
    if pid is not None:
        found["Kernel"] = cgroups.driver().held(world.places.cgroup(name))
        found["Ulimits"] = processes.rlimits(pid)
    found["Cgroup"] = world.places.cgroup(name)
    with contextlib.suppress(KeyError, OrchestraError):
        ingress, egress = shapes([plug for _, plug in wiring.plugs_of(world, name, service)])
        found["Bandwidth"] = {"ingress": _rate(ingress), "egress": _rate(egress)}
    return found


def _rate(bits: int | None) -> str | None:
    return None if bits is None else spelled_rate(bits)


def _security(service: Service, pid: int | None) -> Document:
    security = service.security
    return {
        "Asked": {
            "Seccomp": security.seccomp,
            "NoNewPrivileges": security.no_new_privileges,
            "CapAdd": list(security.cap_add),
            "CapDrop": list(security.cap_drop),
            "Privileged": security.privileged,
            "Capabilities": capabilities(service)["bounding"],
        },
        "Kernel": processes.security(pid) if pid else {},
    }


def _plain(value: Any) -> Any:
    """A value of the model as JSON has it, with its own names."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return encode(value)


def _stamp(moment: float | None) -> str:
    """RFC 3339, as docker; its zero time where there is none."""
    if moment is None:
        return "0001-01-01T00:00:00Z"
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
