"""The root file system: an overlay of shared, idmapped lower layers and a private upper one.

Idmapped lowers make files that root owns on disk look like root's inside. The upper is not idmapped (the overlay
would be read-only for root outside of the map): it belongs to the mapped root on disk. Layers are handed over as
numbers below /proc/self/fd, which is the working directory meanwhile, so that no path of the host shows up in the
container's mountinfo; the old and the new mount interface understand them alike (overlayfs.rst).
"""

from __future__ import annotations

import errno
import os

from orchestra.wire.spec import Extras

from . import syscalls as s
from .failure import StartError, step
from .mounts import Outside, fresh

_SCRATCH = "1m"  # where there is no writable layer: room for the mount points that are missing


def overlay(extras: Extras, outside: Outside) -> int:
    """A detached mount of the container's root."""
    opened: list[int] = []
    try:
        with step("layers"):
            lowers = [_lower(path, outside, opened) for path in extras["layers"]]
            if not lowers:
                raise StartError("layers", 0, "a container needs at least one layer")
            upper, work = _upper(extras, outside, opened)
            return _mount(lowers, upper, work)
    finally:
        for fd in opened:
            os.close(fd)


def _lower(path: str, outside: Outside, opened: list[int]) -> int:
    source = s.openat2(s.AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, s.RESOLVE_NO_MAGICLINKS)
    opened.append(source)
    if outside.userns < 0:
        return source
    tree = s.open_tree(source, "", s.OPEN_TREE_CLONE)
    opened.append(tree)
    try:
        s.mount_setattr(tree, s.MOUNT_ATTR_IDMAP, userns=outside.userns, propagation=s.MS_PRIVATE)
    except OSError as error:
        what = f"cannot use layer {path}: its file system does not support idmapped mounts"
        raise StartError("layers", error.errno or 0, what) from error
    return tree


def _upper(extras: Extras, outside: Outside, opened: list[int]) -> tuple[int, int]:
    if extras["upper"]:
        return _owned(extras["upper"], outside, opened), _owned(extras["work"], outside, opened)
    scratch = fresh("tmpfs", {"size": _SCRATCH, "mode": "0700"}, 0)
    opened.append(scratch)
    both = []
    for name in ("upper", "work"):
        os.mkdir(name, 0o755, dir_fd=scratch)
        os.chown(name, outside.base, outside.base, dir_fd=scratch)
        both.append(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=scratch))
    opened += both
    return both[0], both[1]


def _owned(path: str, outside: Outside, opened: list[int]) -> int:
    if not os.path.isdir(path):
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        os.mkdir(path, 0o755)
        os.chown(path, outside.base, outside.base)
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    opened.append(fd)
    owner = os.fstat(fd).st_uid
    if not outside.base <= owner < outside.base + outside.size:
        what = f"{path} was written with other ids (owner {owner}, now from {outside.base} on)"
        raise StartError("layers", errno.EPERM, what)
    return fd


def _mount(lowers: list[int], upper: int, work: int) -> int:
    back = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir("/proc/self/fd")
    try:
        settings: dict[str, str | None] = {
            "lowerdir": ":".join(map(str, lowers)),
            "upperdir": str(upper),
            "workdir": str(work),
            "metacopy": "off",
            "redirect_dir": "nofollow",
            "index": "off",
        }
        return fresh("overlay", settings, s.MOUNT_ATTR_NODEV)
    finally:
        os.fchdir(back)
        os.close(back)
