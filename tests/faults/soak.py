"""`python -m tests.faults.soak`: hundreds of start/stop cycles and an hour of crash loops, watched for growth.

Not part of the ordinary tests: it takes more than an hour. Every line shows memory (KiB, anonymous) and descriptors
of keeper and supervisor, and how many objects the kernel has; the last one says whether anything grew.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

from .ground import IDLE, Ground, cgroup_roots, descriptors, memory, sh

ROOM = {"keeper": 1024, "supervisor": 6144}
"""KiB that a process may grow after the first tenth, no matter how long it runs: the newest 2000 events in memory."""
CRASHING = 40
SPARE = 2


class Look(NamedTuple):
    keeper: int
    supervisor: int
    keeper_fds: int
    supervisor_fds: int
    links: int
    mounts: int
    cgroups: int
    processes: int
    files: int


def look(ground: Ground) -> Look:
    """The middle of nine looks: starts and ends are under way all the time."""
    seen = []
    for _ in range(9):
        seen.append(glance(ground))
        time.sleep(0.1)
    return Look(*(sorted(values)[4] for values in zip(*seen, strict=True)))


def glance(ground: Ground) -> Look:
    keeper, supervisor = ground.keeper(), ground.supervisor()
    home = ground.folder / "h"
    return Look(
        memory(keeper),
        memory(supervisor),
        descriptors(keeper),
        descriptors(supervisor),
        len(os.listdir("/sys/class/net")),
        len(Path("/proc/self/mountinfo").read_text().splitlines()),
        sum(1 for root in cgroup_roots() for _ in os.walk(f"{root}/{ground.places.cgroups}")),
        len(ground.processes()),
        sum(len(files) for _, _, files in os.walk(home)),
    )


def show(what: str, seen: Look) -> None:
    print(f"{what:>16}  " + "  ".join(f"{name} {value}" for name, value in seen._asdict().items()), flush=True)


def growth(first: Look, last: Look) -> list[str]:
    found = [
        f"{name} grew from {getattr(first, name)} to {getattr(last, name)} KiB"
        for name, room in ROOM.items()
        if getattr(last, name) - getattr(first, name) > room
    ]
    counted = (name for name in Look._fields if name not in ROOM and name != "files")
    return found + [
        f"{name} grew from {getattr(first, name)} to {getattr(last, name)}"
        for name in counted
        if getattr(last, name) > getattr(first, name) + SPARE
    ]


def cycles(ground: Ground, count: int) -> list[str]:
    """Stop and start one service beside another, over and over."""
    ground.up({"a": sh(IDLE), "b": sh(IDLE)})
    first = None
    for number in range(1, count + 1):
        ground.ok("stop", "-t", "1", "a")
        ground.ok("start", "a")
        if number % max(1, count // 10) == 0:
            seen = look(ground)
            first = first or seen
            show(f"cycle {number}", seen)
    found = growth(first or look(ground), look(ground))
    ground.down()
    ground.nothing_left()
    return found


def crashes(ground: Ground, minutes: float) -> list[str]:
    """Services that end at once, and some that first run well for ten seconds: those come back without a pause."""
    services = {f"now{n}": sh("exit 3", restart="always") for n in range(CRASHING)}
    services |= {f"later{n}": sh("sleep 11; exit 1", restart="always") for n in range(5)}
    ground.up({**services, "idle": sh(IDLE)})
    end, first, idle = time.monotonic() + minutes * 60, None, ground.pid("t-idle-1")
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, minutes * 6))
        seen = look(ground)._replace(processes=0, mounts=0)  # which go up and down with who is running
        first = first or seen
        show(f"{(end - time.monotonic()) / 60:.0f} min left", seen)
    runs = sum(row["run"] for row in ground.rows().values())
    print(f"{runs} runs", flush=True)
    found = growth(first or look(ground), look(ground)._replace(processes=0, mounts=0))
    if ground.pid("t-idle-1") != idle:
        found.append("the neighbour was harmed")
    ground.down()
    ground.nothing_left()
    return found


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    options.add_argument("--cycles", type=int, default=500)
    options.add_argument("--minutes", type=float, default=60.0)
    asked = options.parse_args()
    ground = Ground()
    try:
        found = cycles(ground, asked.cycles) + crashes(ground, asked.minutes)
    finally:
        ground.close()
    print("\n".join(found) or "nothing grew, nothing is left")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
