"""One container from a spec, with system calls alone: namespaces, mounts, cgroups, filters, pid 1.

sandbox.make      the user and network namespaces of a service, before anything runs
start.start       a container's pid 1, from the launch spec
join.join         one more process in it
cgroups.driver    limits, accounting, killing
seccomp.ensure_filter, bases.host_base    what a spec refers to
"""

from __future__ import annotations

from .failure import StartError

__all__ = ["StartError"]
