"""What a reboot does to a stack: no process, namespace, link or cgroup is left; pins are plain files of that boot."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from orchestra.places import Places
from orchestra.state.files import write_json

EARLIER_BOOT = "00000000-0000-0000-0000-000000000000"
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)


def reboot(places: Places, networks: Iterable[str]) -> None:
    """Once keeper, supervisor and commands of the stack are dead. Whatever there is of it so far may be half made."""
    for root in _cgroup_roots():
        for folder, _, files in os.walk(f"{root}/{places.cgroups}", topdown=False):
            while "cgroup.procs" in files and (pids := Path(folder, "cgroup.procs").read_text().split()):
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):  # process 1 took it along
                        os.kill(int(pid), signal.SIGKILL)
                time.sleep(0.01)
            os.rmdir(folder)
    for pin in os.listdir(places.pins) if os.path.isdir(places.pins) else ():
        libc.umount2(f"{places.pins}/{pin}".encode(), MNT_DETACH)
    for ident in map(places.network_id, networks):
        subprocess.run(["ip", "link", "del", f"orc{ident}"], check=False, capture_output=True)
        subprocess.run(["nft", "delete", "table", "ip", f"orchestra-{ident}"], check=False, capture_output=True)
    if os.path.exists(places.boot):
        Path(places.boot).write_text(f"{EARLIER_BOOT}\n")
    if os.path.exists(places.wanted):
        page = json.loads(Path(places.wanted).read_text().partition("\n")[2])
        write_json(places.wanted, {**page, "boot": EARLIER_BOOT})


def _cgroup_roots() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if re.search(r" - cgroup2? ", line)]
