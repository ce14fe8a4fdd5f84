"""Kernel parameters of a container: only those that belong to one of its namespaces.

`net.*` is written by the starter while it is in the container's network namespace (proc shows the reader's own);
the file is the host's proc, but the value is the namespace's.
"""

from __future__ import annotations

import errno
import os

from .failure import StartError


def write(values: dict[str, str], host_network: bool) -> None:
    for name, value in values.items():
        if not name.startswith("net.") or ".." in name or "/" in name.replace("net.", "", 1).replace("/", ""):
            raise StartError("sysctl", errno.EPERM, f"{name} does not belong to a container")
        if host_network:
            raise StartError("sysctl", errno.EPERM, f"{name} is the host's own with network_mode host")
        _write("/proc/sys/" + name.replace(".", "/"), value)


def _write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
