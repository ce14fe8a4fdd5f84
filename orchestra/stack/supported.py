"""What is valid Compose but not built yet is refused by name, and what means nothing on one host gets a warning.

Nothing of a stack file is ever ignored in silence.
"""

from __future__ import annotations

import re
from typing import Any

from orchestra.plan.defaults import IPC_SYSCTLS
from orchestra.stack import updates
from orchestra.stack.problems import Path, did_you_mean, spell
from orchestra.stack.scope import Scope, shown
from orchestra.stack.units import ip_version

_IMAGE = "images are not supported yet (say rootfs: host to run from this machine's /usr, or rootfs: ./folder)"

REFUSED: dict[str, str] = {
    "annotations": "annotations are not supported yet (labels are)",
    "build": f"build is not supported yet: {_IMAGE}",
    "cgroup": "cgroup is not supported yet: every container has its own cgroup namespace",
    "cgroup_parent": "cgroup_parent is not supported yet",
    "credential_spec": "credential_spec is for Windows",
    "develop": "develop (watch) is not supported yet",
    "device_cgroup_rules": "device_cgroup_rules is not supported yet",
    "devices": "devices are not supported yet",
    "domainname": "domainname is not supported yet (use hostname)",
    "external_links": "external_links are not supported yet (use an external network)",
    "gpus": "gpus are not supported yet",
    "image": _IMAGE,
    "ipc": "ipc is not supported yet: every container has its own",
    "label_file": "label_file is not supported yet (use labels)",
    "mac_address": "mac_address is not supported here (set it below networks)",
    "models": "models are not supported",
    "pid": "pid is not supported yet: every container has its own processes",
    "platform": "platform is not supported yet",
    "post_start": "post_start is not supported yet",
    "pre_stop": "pre_stop is not supported yet",
    "provider": "provider is not supported",
    "runtime": "runtime is not supported yet",
    "use_api_socket": "use_api_socket is not supported: there is no such socket",
    "userns_mode": "userns_mode is not supported: every container has its own user namespace",
    "uts": "uts is not supported yet: every container has its own hostname",
    "volumes_from": "volumes_from is not supported yet (name the volumes)",
}
WITHOUT_EFFECT = frozenset(
    [
        "cpu_count",
        "cpu_percent",
        "cpu_rt_period",
        "cpu_rt_runtime",
        "isolation",
        "mem_swappiness",
        "oom_kill_disable",
        "pull_policy",
        "pull_refresh_after",
        "storage_opt",
    ]
)
# getrlimit(2), less RLIMIT_LOCKS, which means nothing since Linux 2.4.25.
_ULIMITS = (
    *("as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice"),
    *("nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"),
)
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}")
_JOIN_REFUSED = ("ipv6_address", "link_local_ips", "interface_name", "driver_opts", "gw_priority")
_NETWORK_REFUSED = ("driver_opts", "enable_ipv6")


def refuse_unbuilt(model: dict[str, Any], scope: Scope) -> None:
    """Reports everything in the model that could not be done if it were run."""
    for name, service in model["services"].items():
        path: Path = ("services", name)
        if "uses" in service:
            _joins(service, path, scope)
            continue
        _service(service, path, scope)
        _kernel(service, path, scope)
        _deploy(service.get("deploy") or {}, (*path, "deploy"), scope)
        _network_mode(service, path, scope)
        _bandwidth(service, path, scope)
        _joins(service, path, scope)
        _resolvers(service, path, model.get("networks", {}), scope)
        _mounts(service, path, scope)
    for key, network in model.get("networks", {}).items():
        _network(network, ("networks", key), scope)
    for key, volume in model.get("volumes", {}).items():
        _volume(volume, ("volumes", key), scope)


def _service(service: dict[str, Any], path: Path, scope: Scope) -> None:
    for key in service:
        if key in REFUSED and not (key == "image" and "build" in service):
            scope.report.key_problem((*path, key), REFUSED[key])
        elif key in WITHOUT_EFFECT:
            scope.report.warn(f"{spell((*path, key))} has no effect")
    if not any(key in service for key in ("rootfs", "image", "build", "provider")):
        scope.report.key_problem(path, "there is nothing to run from (say rootfs: host, or rootfs: ./folder)")
    check = service.get("healthcheck", {})
    if service.get("on_unhealthy") == "restart" and not any(key in check for key in ("test", "http", "tcp")):
        scope.report.key_problem((*path, "on_unhealthy"), "nothing tells when it is unhealthy (add a healthcheck)")
    for index, resolver in enumerate(service.get("dns", ())):
        if ip_version(resolver) is None:
            scope.report.problem((*path, "dns", index), f"{resolver!r} is not an IP address")
    for index, link in enumerate(service.get("links", ())):
        other, colon, alias = link.partition(":")
        if colon and alias != other:
            what = f"link {link!r}: a name of one's own for a link is not supported yet (use aliases below networks)"
            scope.report.problem((*path, "links", index), what)


def _kernel(service: dict[str, Any], path: Path, scope: Scope) -> None:
    for name in service.get("ulimits", {}):
        if name not in _ULIMITS:
            what = f"there is no limit {name!r}{did_you_mean(name, _ULIMITS)}"
            scope.report.key_problem((*path, "ulimits", name), what)
    for name in service.get("sysctls", {}):
        if why := _why_no_sysctl(name, service.get("network_mode", "")):
            scope.report.key_problem((*path, "sysctls", name), why)


def _why_no_sysctl(name: str, mode: str) -> str | None:
    if name in IPC_SYSCTLS:
        return None
    if not re.fullmatch(r"net(\.[^./]+)+", name):
        meant = did_you_mean(name, IPC_SYSCTLS) or " (expected one of net., fs.mqueue., kernel.msg, .sem or .shm)"
        return f"{name} does not belong to a container{meant}"
    if mode == "host":
        return f"{name} is this machine's with network_mode: host (set it there: sysctl -w)"
    if mode.startswith("service:"):
        owner = mode.removeprefix("service:")
        return f"{name} is that of {owner}, whose network this service shares (set it there)"
    return None


def _deploy(deploy: dict[str, Any], path: Path, scope: Scope) -> None:
    for key in deploy:
        if key in ("endpoint_mode", "labels") or (key == "placement" and deploy[key]):
            scope.report.warn(f"{spell((*path, key))} has no effect on one host")
    updates.refuse_unbuilt(deploy, path, scope)
    mode = deploy.get("mode", "replicated")
    if mode == "global":
        scope.report.warn(f"{spell((*path, 'mode'))}: global means one container on one host")
    elif mode != "replicated":
        scope.report.problem((*path, "mode"), f"mode {mode!r} is not supported (expected replicated or global)")
    for key in ("delay", "window"):
        if key in deploy.get("restart_policy", {}):
            scope.report.warn(f"{spell((*path, 'restart_policy', key))} has no effect yet")
    resources = deploy.get("resources", {})
    for key in resources.get("reservations", {}):
        if key == "cpus":
            scope.report.warn(f"{spell((*path, 'resources', 'reservations', key))} has no effect")
        elif key != "memory":
            what = f"reservation of {key} is not supported yet"
            scope.report.key_problem((*path, "resources", "reservations", key), what)


def _network_mode(service: dict[str, Any], path: Path, scope: Scope) -> None:
    mode = service.get("network_mode", "")
    if mode == "bridge" or mode.startswith("container:"):
        what = f"network_mode {mode!r} is not supported yet (expected none, host or service:NAME)"
        scope.report.problem((*path, "network_mode"), what)
    if mode == "host":
        scope.report.warn(
            f"{spell((*path, 'network_mode'))}: with network_mode: host it reaches every service of this machine, "
            "also those on 127.0.0.1 and on abstract sockets, and may listen on its ports "
            "from net.ipv4.ip_unprivileged_port_start (1024) on"
        )
    if mode == "host" and service.get("ports"):
        scope.report.warn(f"{spell((*path, 'ports'))} has no effect with network_mode: host")
    elif mode and mode != "bridge" and service.get("ports"):
        owner = mode.removeprefix("service:")
        where = "nothing can be published with network_mode: none"
        if mode.startswith("service:"):
            where = f"publish them at {owner}, whose network this service shares"
        scope.report.key_problem((*path, "ports"), where)


def _bandwidth(service: dict[str, Any], path: Path, scope: Scope) -> None:
    """Rates are held at the container's own links."""
    rates = (service.get("deploy") or {}).get("resources", {}).get("limits", {}).get("network", {})
    at = (*path, "deploy", "resources", "limits", "network")
    mode = service.get("network_mode", "")
    if rates and mode == "none":
        scope.report.warn(f"{spell(at)} has no effect with network_mode: none")
    elif rates and mode:
        owner = "the machine's own network" if mode == "host" else f"the network of {mode.removeprefix('service:')}"
        scope.report.key_problem(at, f"{owner} is not this service's to limit")


def _joins(service: dict[str, Any], path: Path, scope: Scope) -> None:
    for network, entry in (service.get("networks") or {}).items():
        for key in entry or {}:
            if key in _JOIN_REFUSED:
                scope.report.key_problem((*path, "networks", network, key), f"{key} is not supported yet")


def _resolvers(service: dict[str, Any], path: Path, networks: dict[str, Any], scope: Scope) -> None:
    mode = service.get("network_mode", "")
    if service.get("dns") and mode.startswith("service:"):
        owner = mode.removeprefix("service:")
        scope.report.warn(
            f"{spell((*path, 'dns'))} has no effect: {owner}, whose network it shares, says who is asked"
        )
    joined = [networks[key] for key in service.get("networks") or () if key in networks]
    # In a subnet of its own it may be one of the containers.
    if service.get("dns") and joined and all(each.get("internal") and not each.get("ipam") for each in joined):
        scope.report.warn(f"{spell((*path, 'dns'))} has no effect: none of its networks leads out")


def _mounts(service: dict[str, Any], path: Path, scope: Scope) -> None:
    for index, mount in enumerate(service.get("volumes", ())):
        at = (*path, "volumes", index)
        if mount["type"] not in ("bind", "volume", "tmpfs"):
            scope.report.problem(at, f"mounts of type {mount['type']} are not supported yet")
        bind = mount.get("bind", {})
        if "recursive" in bind:
            scope.report.problem(at, "bind.recursive is not supported yet")
        propagation = bind.get("propagation", "rprivate")
        if propagation in ("slave", "rslave"):
            what = f"propagation {propagation} has no effect: what is mounted later stays outside"
            scope.report.warn(f"{spell(at)}: {what}")
        elif propagation not in ("private", "rprivate"):
            what = f"propagation {propagation} is not supported: what is mounted inside stays inside"
            scope.report.problem(at, what)
        if "labels" in mount.get("volume", {}):
            scope.report.problem(at, "volume.labels are not supported yet (label the volume at the top level)")
        if "selinux" in bind:
            scope.report.warn("mount options z and Z have no effect: containers run without SELinux labels")


def _network(network: dict[str, Any], path: Path, scope: Scope) -> None:
    _name("network", network, path, scope)
    if network.get("external"):
        for key in ("driver", "internal", "ipam", "labels"):
            if network.get(key):
                scope.report.warn(f"{spell((*path, key))} has no effect: what is external was made elsewhere")
        return
    driver = network.get("driver", "bridge")
    if driver == "overlay":
        scope.report.warn(f"{spell((*path, 'driver'))}: overlay is a bridge on one host")
    elif driver not in ("bridge", "default"):
        scope.report.problem((*path, "driver"), f"driver {driver!r} is not supported yet (expected bridge)")
    if "attachable" in network:
        scope.report.warn(f"{spell((*path, 'attachable'))} has no effect")
    if network.get("enable_ipv4") is False:
        scope.report.problem((*path, "enable_ipv4"), "a network without IPv4 is not supported yet")
    for key in _NETWORK_REFUSED:
        if network.get(key):
            scope.report.key_problem((*path, key), f"{key} is not supported yet")
    _ipam(network.get("ipam") or {}, (*path, "ipam"), scope)


def _ipam(ipam: dict[str, Any], path: Path, scope: Scope) -> None:
    if ipam.get("driver", "default") != "default":
        scope.report.problem((*path, "driver"), f"driver {ipam['driver']!r} is not supported (expected default)")
    if ipam.get("options"):
        scope.report.key_problem((*path, "options"), "options are not supported yet")
    configs = ipam.get("config") or []
    if len(configs) > 1:
        scope.report.problem((*path, "config", 1), "a second subnet is not supported yet")
    for key in configs[0] if configs else ():
        if key in ("ip_range", "aux_addresses"):
            scope.report.key_problem((*path, "config", 0, key), f"{key} is not supported yet")
    if configs and ":" in str(configs[0].get("subnet", "")):
        scope.report.problem((*path, "config", 0, "subnet"), "IPv6 subnets are not supported yet")


def _name(kind: str, model: dict[str, Any], path: Path, scope: Scope) -> None:
    """It becomes a folder's, as docker's (moby, names.RestrictedNamePattern)."""
    if not _NAME.fullmatch(model["name"]):
        what = f"{shown(model['name'])} is no name for a {kind} (use at most 200 letters, digits, _, . and -)"
        scope.report.key_problem((*path, "name"), what)


def _volume(volume: dict[str, Any], path: Path, scope: Scope) -> None:
    _name("volume", volume, path, scope)
    if volume.get("driver", "local") != "local":
        scope.report.problem((*path, "driver"), f"driver {volume['driver']!r} is not supported (expected local)")
    if volume.get("driver_opts"):
        scope.report.key_problem((*path, "driver_opts"), "driver_opts are not supported yet")
