"""Processes that somebody moved out of their container's cgroups are found and brought back.

Out there no limit holds for them, nobody counts them, and what is done to all of a container misses them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from .cgroups import Driver, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import Resources

_ROUNDS = 20
"""Looks after which a container that forks faster than it can be moved is left for the next time."""


def is_out(driver: Driver, path: str, pid: int, resources: Resources) -> bool:
    """Whether a process is elsewhere in any hierarchy that its container has a cgroup in; not if it has ended."""
    counted = {*driver.roots} - (set() if resources.get("blockIO") else {"blkio"})
    for line in read(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, where = line.split(":", 2)
        ours = counted & set(controllers.split(",")) if controllers else driver.unified
        if ours and f"/{path}/" not in f"{where}/":
            return True
    return False


def bring_back(driver: Driver, path: str, pid: int, resources: Resources) -> None:
    """Make the cgroups where they are gone, with their limits, and move everybody into them who lives in the pid
    namespace of `pid`. Raises OSError, or StartError for what the kernel refuses."""
    driver.create(path, resources)
    space = os.stat(f"/proc/{pid}/ns/pid").st_ino
    for _ in range(_ROUNDS):  # whoever is moved may have forked just before
        out = [each for each in _living_in(space) if is_out(driver, path, each, resources)]
        if not out:
            return
        for each in out:
            with contextlib.suppress(ProcessLookupError):
                driver.attach(path, each)


def _living_in(space: int) -> Iterator[int]:
    """Zombies have no namespaces any more, nor anything to limit."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{entry}/ns/pid").st_ino == space:
                yield int(entry)
