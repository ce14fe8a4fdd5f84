"""What a bind shows: the mount at its source and, if it is deep, all those below it, each a detached clone.

A mount is idmapped where its file system knows how (mount_setattr(2), MOUNT_ATTR_IDMAP); proc, sysfs, cgroup,
overlay, NFS, FUSE and their like do not. One of those goes without: its files keep the owners that the host sees,
nobody inside has rights of theirs, and what is left is what everybody may do.
"""

from __future__ import annotations

import errno
import os
import re

from . import syscalls as s

_OF_THE_KERNEL = ("proc", "sysfs")
"""Read-only, as the container's own are: settings of a network namespace belong to its root, whichever proc it is."""
_PINS = "nsfs"
_UNESCAPED = re.compile(rb"\\([0-7]{3})")
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.EXDEV)


class Mounted:
    """A line of /proc/self/mountinfo (proc_pid_mountinfo(5))."""

    __slots__ = ("ident", "kind", "place")

    def __init__(self, line: bytes) -> None:
        before, _, after = line.partition(b" - ")
        fields = before.split(b" ")
        self.ident = int(fields[0])
        self.place = os.fsdecode(_UNESCAPED.sub(lambda found: bytes([int(found[1], 8)]), fields[4]))
        self.kind = after.split(b" ", 1)[0].decode("ascii", "backslashreplace")  # who mounts by FUSE chooses a part


class Trees:
    """`top` is to be attached where the bind is wanted, each of `below` at its path in there. `unmapped` are the
    kinds of file systems that are shown without an idmap."""

    def __init__(self, source: int, deep: bool, attributes: int, userns: int) -> None:
        """`userns`: whose ids are mapped, -1 for no idmap."""
        self.below: list[tuple[str, int]] = []
        self.unmapped: set[str] = set()
        self.top = _clone(source, attributes, deep)
        if userns < 0 or _idmap(self.top, userns, deep):
            return
        mounts = _mounts()
        kind = next((one.kind for one in mounts if one.ident == _mount_id(source)), "its file system")
        if deep and (alone := _clone_alone(source, attributes)) >= 0:
            os.close(self.top)
            self.top = alone
            self._one_by_one(source, mounts, attributes, userns)
            if _idmap(self.top, userns, False):
                return
        self._show_unmapped(self.top, kind)

    def _one_by_one(self, source: int, mounts: list[Mounted], attributes: int, userns: int) -> None:
        """A recursive idmap is all or nothing, and a mount in a detached tree cannot be changed by itself."""
        top = os.readlink(f"/proc/self/fd/{source}").rstrip("/") + "/"
        for mounted in sorted(mounts, key=lambda one: one.place.count("/")):
            # The pin of a namespace tells nothing, and a clone of it would keep that alive.
            if not mounted.place.startswith(top) or mounted.place == top or mounted.kind == _PINS:
                continue
            path = mounted.place.removeprefix(top)
            place = _open(source, path)
            if place < 0:
                continue
            hidden = _mount_id(place) != mounted.ident
            if not hidden and (tree := _clone_alone(place, attributes)) >= 0:
                if not _idmap(tree, userns, False):
                    self._show_unmapped(tree, mounted.kind)
                self.below.append((path, tree))
            os.close(place)

    def _show_unmapped(self, tree: int, kind: str) -> None:
        self.unmapped.add(kind)
        if kind in _OF_THE_KERNEL:
            s.mount_setattr(tree, s.MOUNT_ATTR_RDONLY)

    def attach(self, place: int, about: str) -> None:
        """Attach everything and close its descriptors."""
        s.move_mount(self.top, place, about)
        for path, tree in self.below:
            # Where nobody of the container could go, or what has just vanished, is left out.
            if (spot := _open(self.top, path)) >= 0:
                s.move_mount(tree, spot, f"{about}/{path}")
                os.close(spot)
            os.close(tree)
        os.close(self.top)


def _clone(source: int, attributes: int, deep: bool) -> int:
    tree = s.open_tree(source, "", s.OPEN_TREE_CLONE | (s.AT_RECURSIVE if deep else 0))
    # Recursive, or what is mounted below a read-only folder would stay writable.
    s.mount_setattr(tree, attributes, propagation=s.MS_PRIVATE, deep=deep)
    return tree


def _clone_alone(source: int, attributes: int) -> int:
    """Without what is mounted below; -1 where the kernel does not allow that: an unbindable mount, or one below which
    another user namespace has mounted things (mount_namespaces(7))."""
    try:
        return _clone(source, attributes, deep=False)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return -1


def _idmap(tree: int, userns: int, deep: bool) -> bool:
    try:
        s.mount_setattr(tree, s.MOUNT_ATTR_IDMAP, userns=userns, deep=deep)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise
        return False
    return True


def _open(top: int, path: str) -> int:
    """An O_PATH descriptor of what is there below, links never followed; -1 for what cannot be reached."""
    try:
        return s.openat2(top, path, os.O_PATH, s.RESOLVE_BENEATH | s.RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return -1


def _mounts() -> list[Mounted]:
    with open("/proc/self/mountinfo", "rb") as file:
        return [Mounted(line) for line in file]


def _mount_id(fd: int) -> int:
    with open(f"/proc/self/fdinfo/{fd}") as file:
        return int(next(line.split()[1] for line in file if line.startswith("mnt_id:")))
