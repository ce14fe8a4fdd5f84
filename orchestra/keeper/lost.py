"""A keeper whose run directory was taken away under it: nobody can reach its socket, but it still holds its lock, and
/proc tells who has which file open (proc_pid_fd(5))."""

from __future__ import annotations

import os

from ..places import Places

COMM = b"orchestra-keepe"
"""As much of the name as the kernel keeps (proc_pid_comm(5))."""
GONE = " (deleted)"


def find(places: Places) -> int:
    """Its pid, 0 where there is none; also of one that can be reached."""
    lock = f"{os.path.realpath(places.home.run)}/{places.name}/keeper.lock"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", "rb") as comm:
                if comm.read().strip() != COMM or os.getsid(int(pid)) != int(pid):
                    continue  # what it has just forked holds the lock as well, but leads no session
            if any(_leads_to(f"/proc/{pid}/fd/{number}", lock) for number in os.listdir(f"/proc/{pid}/fd")):
                return int(pid)
        except OSError:  # it has ended, or is somebody else's
            continue
    return 0


def _leads_to(link: str, path: str) -> bool:
    try:
        return os.readlink(link).removesuffix(GONE) == path
    except OSError:
        return False
