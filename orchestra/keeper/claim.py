"""Taking possession of a stack's run directory: private, of this boot, and held by one keeper only."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

from ..errors import OrchestraError
from ..places import Places
from .process import unmount

BOOT_ID = "/proc/sys/kernel/random/boot_id"
LOCK = "keeper.lock"


def claim(places: Places) -> int | None:
    """Make the directories and take the keeper's lock. Returns its descriptor, None if another keeper has it."""
    for directory in (places.home.run, places.home.data, places.run, places.data):
        make_private(directory)
    lock = _lock(f"{places.run}/{LOCK}")
    if lock is None:
        return None
    forget_other_boots(places)
    for directory in (places.children, places.fifos):
        make_private(directory)
    return lock


def release(places: Places) -> None:
    """The keeper ends together with its stack: nothing of it stays in the run directory."""
    for directory in (places.children, places.fifos):
        remove_tree(directory)
    for path in (places.boot, f"{places.run}/supervisor.json", f"{places.run}/{LOCK}"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    for entry in os.scandir(places.run):
        # Of somebody who was killed before it was whole and got its name.
        if entry.name.endswith(".new") or entry.name.startswith("."):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
    with contextlib.suppress(OSError):  # a command has its turn, and clears away itself
        _unlink_turn(places.lock)
    with contextlib.suppress(OSError):  # something of somebody else's is still there
        os.rmdir(places.run)


def _unlink_turn(path: str) -> None:
    """Remove the file of turns, which only who has the turn may do."""
    turn = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(turn), os.stat(path)):  # else it is another one by now, and somebody else's
            os.unlink(path)
    finally:
        os.close(turn)


def _lock(path: str) -> int | None:
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        # The keeper before may have removed the file between our two calls.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(lock).st_ino:
                return lock
        os.close(lock)


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
            _unlink(entry.path)
    os.rmdir(directory)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # A pin of this boot, in a directory that has lost its mark: whose namespace that is, nobody knows any more.
        unmount(path)
        os.unlink(path)
