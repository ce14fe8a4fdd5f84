"""Taking possession of a stack's run directory: private, of this boot, and held by one keeper only."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

from .. import ours
from ..errors import OrchestraError
from ..places import Places
from .process import unmount

BOOT_ID = "/proc/sys/kernel/random/boot_id"
LOCK = "keeper.lock"


def claim(places: Places) -> int | None:
    """Make the directories and take the keeper's lock. Returns its descriptor, None if another keeper has it."""
    make_private(places.home.run)
    own_folder(places.run)
    make_data(places)
    lock = _lock(f"{places.run}/{LOCK}")
    if lock is None:
        return None
    forget_other_boots(places)
    for directory in (places.children, places.fifos):
        own_folder(directory)
    for directory in (places.pins, f"{places.run}/files"):
        if os.path.lexists(directory):
            own_folder(directory)
    return lock


def release(places: Places) -> None:
    """The keeper ends together with its stack: nothing of it stays in the run directory."""
    folders = (places.children, places.fifos, f"{places.run}/files", *([] if holds_pins(places) else [places.pins]))
    for path in (*folders, places.boot, f"{places.run}/supervisor.json", f"{places.run}/{LOCK}"):
        remove(path)
    for name in ours.names_in(places.run):
        # Of somebody who was killed before it was whole and got its name; or spoiled, and of use to nobody now.
        if name.endswith(".new") or name.startswith(".") or ours.is_aside(name):
            with contextlib.suppress(OSError):
                remove(f"{places.run}/{name}")
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
        lock = ours.lock_file(path)
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


def make_data(places: Places) -> None:
    make_private(places.home.data)
    for directory in (places.home.stacks, places.data):
        own_folder(directory)


def own_folder(directory: str) -> None:
    """In one that nobody else may enter: what is no folder there, but a link to one, is damage."""
    if os.path.islink(directory):
        ours.set_aside(directory)
    ours.folder(directory)
    make_private(directory)


def make_private(directory: str) -> None:
    """A directory of ours that nobody else may enter; refuses one that somebody else prepared."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        what = f"cannot have a folder at {directory}: {error.strerror}"
        raise OrchestraError(what, "set ORCHESTRA_HOME to a folder of your own") from None
    state = os.lstat(directory)
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        raise OrchestraError(f"{directory} is not a directory of ours", "remove it, or set ORCHESTRA_HOME")
    if stat.S_IMODE(state.st_mode) & 0o077:
        os.chmod(directory, 0o700)


def forget_other_boots(places: Places) -> None:
    """Wipe what a reboot made stale: records name processes that are no more, pins have become plain files."""
    with open(BOOT_ID) as current:
        now = current.read().strip()
    kept = ours.boot(places.boot)
    if kept == now:
        return
    if kept is not None or not holds_pins(places):
        locks = (LOCK, os.path.basename(places.lock))
        for name in ours.names_in(places.run):
            if name not in locks:
                remove(f"{places.run}/{name}")
    mark(places)


def mark(places: Places) -> None:
    """Have the run directory, and say of which boot it is."""
    make_private(places.home.run)
    own_folder(places.run)
    with open(BOOT_ID) as current, open(ours.create(places.boot), "w") as file:
        file.write(current.read())


def holds_pins(places: Places) -> bool:
    """Whether a namespace is mounted in there. Those of an earlier boot have become plain files: so it can be seen
    whose directory it is also where its mark is lost."""
    try:
        here = os.stat(places.pins).st_dev
        return any(os.lstat(f"{places.pins}/{name}").st_dev != here for name in ours.names_in(places.pins))
    except OSError:
        return False


def remove(path: str) -> None:
    """Whatever it is, if there is any."""
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    elif os.path.lexists(path):
        _unlink(path)


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
