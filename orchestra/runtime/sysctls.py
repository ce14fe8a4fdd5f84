"""Kernel parameters of a container: only those of its network namespace.

The starter writes them while it is in that namespace: proc shows the network parameters of whoever looks. Group ids
in a value mean the writer's, so they are translated.
"""

from __future__ import annotations

import errno

from orchestra.plan.defaults import SYSCTLS

from .cgroups import write as write_file
from .failure import StartError

OWN, SHARED, HOST = "own", "shared", "host"
_GROUPS = "net.ipv4.ping_group_range"


def write(values: dict[str, str], network: str, base: int, size: int) -> None:
    """`network`: whose namespace it is. In one that belongs to another service, that one's parameters hold."""
    for name, value in values.items():
        if not name.startswith("net.") or ".." in name or "/" in name:
            raise StartError("sysctl", errno.EPERM, f"{name} does not belong to a container")
        if network == SHARED and SYSCTLS.get(name) == value:
            continue
        if network != OWN:
            whose = "the host" if network == HOST else "the service whose network this is"
            raise StartError("sysctl", errno.EPERM, f"{name} belongs to {whose}")
        write_file(
            "/proc/sys/" + name.replace(".", "/"), host_groups(value, base, size) if name == _GROUPS else value
        )


def host_groups(value: str, base: int, size: int) -> str:
    """A range of the container's group ids, cut to those that it has, as the host counts them."""
    low, _, high = value.replace("\t", " ").strip().partition(" ")
    if not low.isdigit() or not high.strip().isdigit() or int(low) > int(high):
        return value  # "1 0" means nobody
    return f"{base + min(int(low), size - 1)} {base + min(int(high), size - 1)}"
