"""Taking possession of a stack's run directory: private, of this boot, and held by one keeper only."""

from __future__ import annotations

import fcntl
import os
import stat

from ..errors import OrchestraError
from ..places import Places

BOOT_ID = "/proc/sys/kernel/random/boot_id"
LOCK = "keeper.lock"


def claim(places: Places) -> int | None:
    """Make the directories and take the keeper's lock. Returns its descriptor, None if another keeper has it."""
    for directory in (places.run, places.data):
        make_private(directory)
    lock = os.open(f"{places.run}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    forget_other_boots(places)
    for directory in (places.children, places.fifos):
        make_private(directory)
    return lock


def make_private(directory: str) -> None:
    """A directory of ours that nobody else may enter; refuses one that somebody else prepared."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    state = os.lstat(directory)
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        raise OrchestraError(f"{directory} is not a directory of ours", "remove it, or set ORCHESTRA_HOME")
    if stat.S_IMODE(state.st_mode) & 0o077:
        os.chmod(directory, 0o700)


def forget_other_boots(places: Places) -> None:
    """Wipe what a reboot made stale: records name processes that are no more, pins have become plain files."""
    with open(BOOT_ID) as file:
        now = file.read().strip()
    try:
        with open(places.boot) as file:
            if file.read().strip() == now:
                return
    except FileNotFoundError:
        pass
    locks = (LOCK, os.path.basename(places.lock))
    for entry in os.scandir(places.run):
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        elif entry.name not in locks:
            os.unlink(entry.path)
    with open(places.boot, "w") as file:
        file.write(now + "\n")


def remove_tree(directory: str) -> None:
    """As shutil.rmtree, whose imports would cost the keeper a third of its start. Follows no link."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(directory)
