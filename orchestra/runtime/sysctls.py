"""Kernel parameters of a container: only those of its network and its IPC namespace.

The starter writes them while it is in the namespace: proc shows the parameters of whoever looks. Group ids in a value
mean the writer's, so they are translated.
"""

from __future__ import annotations

import contextlib
import errno
import os

from orchestra.plan.defaults import IPC_SYSCTLS, SYSCTLS

from . import syscalls
from .cgroups import write as write_file
from .failure import StartError, step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OWN, SHARED, HOST = "own", "shared", "host"
_GROUPS = "net.ipv4.ping_group_range"
_LAST_GROUP = 2**31 - 1
"""The largest that the kernel takes for a range of groups (net/ipv4/sysctl_net_ipv4.c)."""


def write(values: dict[str, str], network: str, base: int, size: int) -> None:
    """Those of the network. `network`: whose namespace it is. In one that belongs to another service, that one's
    parameters hold."""
    for name, value in values.items():
        if name in IPC_SYSCTLS:
            continue
        if not name.startswith("net.") or ".." in name or "/" in name:
            raise StartError("sysctl", errno.EPERM, f"{name} does not belong to a container")
        if network == SHARED and SYSCTLS.get(name) == value:
            continue
        if network != OWN:
            whose = "the host" if network == HOST else "the service whose network this is"
            raise StartError("sysctl", errno.EPERM, f"{name} belongs to {whose}")
        write_file(_path(name), host_groups(value, base, size) if name == _GROUPS else value)


def write_ipc(values: dict[str, str], pid: int, base: int) -> None:
    """Those of the IPC namespace of process `pid`, where `base` is root. Leaves this process in its own again."""
    asked = {name: value for name, value in values.items() if name in IPC_SYSCTLS}
    if not asked:
        return
    with _namespace("self") as home, _namespace(pid) as there:
        syscalls.setns(there, syscalls.CLONE_NEWIPC)
        try:
            for name, value in asked.items():
                with step("sysctl", f"{name} cannot be {value!r}"):
                    _write_as_owner(_path(name), value, base)
        finally:
            syscalls.setns(home, syscalls.CLONE_NEWIPC)


@contextlib.contextmanager
def _namespace(pid: int | str) -> Iterator[int]:
    try:
        fd = os.open(f"/proc/{pid}/ns/ipc", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None  # it has just ended
    try:
        yield fd
    finally:
        os.close(fd)


def _write_as_owner(path: str, value: str, base: int) -> None:
    """Up to Linux 6.10 they are the machine's root's; since then the namespace's root's, and nobody else's."""
    try:
        write_file(path, value)
    except PermissionError:
        os.seteuid(base)
        try:
            write_file(path, value)
        finally:
            os.seteuid(0)


def _path(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")


def host_groups(value: str, base: int, size: int) -> str:
    """A range of the container's group ids as the host counts them. All of them are all that there are: who else is
    in its network (`network_mode: service:x`) has groups elsewhere."""
    low, _, high = value.replace("\t", " ").strip().partition(" ")
    if not low.isdigit() or not high.strip().isdigit() or int(low) > int(high):
        return value  # "1 0" means nobody
    if int(low) == 0 and int(high) >= size - 1:
        return f"0 {_LAST_GROUP}"
    return f"{base + min(int(low), size - 1)} {base + min(int(high), size - 1)}"
