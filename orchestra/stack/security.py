"""What a service may do: capabilities, `security_opt`, `privileged`."""

from __future__ import annotations

from typing import Any

from orchestra.stack.model import Security
from orchestra.stack.problems import Path, did_you_mean
from orchestra.stack.scope import Scope

# capabilities(7), up to Linux 6.18.
CAPABILITIES = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
]


def parsed(service: dict[str, Any], path: Path, scope: Scope) -> Security:
    given: dict[str, Any] = {"privileged": service.get("privileged", False)}
    for key in ("cap_add", "cap_drop"):
        given[key] = _capabilities(service.get(key, ()), (*path, key), scope)
    if given["privileged"]:
        # What docker gives with --privileged; the explicit options below may still narrow it.
        given |= {"seccomp": "unconfined"}
    for index, option in enumerate(service.get("security_opt", ())):
        _option(option, (*path, "security_opt", index), scope, given)
    return Security(**given)


def _capabilities(names: Any, path: Path, scope: Scope) -> tuple[str, ...]:
    found = []
    for index, name in enumerate(names):
        capability = name.upper().removeprefix("CAP_")
        if capability != "ALL" and capability not in CAPABILITIES:
            near = did_you_mean(capability, CAPABILITIES)
            scope.report.problem((*path, index), f"{name!r} is not a capability{near}")
            continue
        found.append(capability)
    return tuple(sorted(set(found)))


def _option(option: str, path: Path, scope: Scope, given: dict[str, Any]) -> None:
    """Both `name=value` and the older `name:value`."""
    sign = "=" if "=" in option else ":"
    name, _, value = option.partition(sign)
    if name == "no-new-privileges" and value in ("", "true", "false"):
        given["no_new_privileges"] = value != "false"
    elif name == "seccomp" and value:
        given["seccomp"] = value if value == "unconfined" else scope.absolute(value)
    elif name in ("apparmor", "label") and value:
        scope.report.warn(f"security_opt {name} has no effect: containers run without a profile of {_module(name)}")
    else:
        expected = "no-new-privileges[:true|false], seccomp=unconfined or seccomp=FILE"
        scope.report.problem(path, f"{option!r} is not known (expected {expected})")


def _module(name: str) -> str:
    return "AppArmor" if name == "apparmor" else "SELinux"
