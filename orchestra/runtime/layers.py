"""The root file system: an overlay of shared, idmapped lower layers and a private upper one.

Idmapped lowers make files that root owns on disk look like root's inside. The upper is not idmapped (the overlay
would be read-only for root outside of the map): it belongs to the mapped root on disk. Layers are handed over as
numbers below /proc/self/fd, which is the working directory meanwhile, so that no path of the host shows up in the
container's mountinfo; the old and the new mount interface understand them alike (overlayfs.rst).

Note [Layers that are mounted nowhere]: an idmapped layer is a detached mount, and before Linux 6.15 an overlay takes
only what is mounted in the caller's namespace (clone_private_mount in fs/namespace.c: EINVAL). There the starter
makes a mount namespace of its own, in which nothing spreads to the host, and puts each layer over its own folder. It
goes back once the overlay, which has clones of them, is there: the next container that it starts must find the layers
themselves, and whatever the host has mounted meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from . import syscalls as s
from .failure import StartError, step
from .mounts import Outside, fresh

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import Extras

_SCRATCH = "1m"  # where there is no writable layer: room for the mount points that are missing


def overlay(extras: Extras, outside: Outside, gains: bool) -> int:
    """A detached mount of the container's root. `gains`: a program may gain privileges from its file.

    Where none can, nosuid makes the kernel pass over capabilities of files. It would refuse to execute a file with
    one that is not in the bounding set (ping and CAP_NET_RAW: capabilities(7), the effective bit).
    """
    if not extras["layers"]:
        raise StartError("layers", 0, "a container needs at least one layer")
    if _takes_detached(os.uname().release):
        return _overlay(extras, outside, gains, attach=False)
    with _mounts_of_its_own():
        return _overlay(extras, outside, gains, attach=True)


@contextlib.contextmanager
def _mounts_of_its_own() -> Iterator[None]:
    """This process in a mount namespace that goes with the end of the context."""
    places = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in ("/proc/self/ns/mnt", "/", ".")]
    home, root, here = places
    try:
        with step("layers"):
            s.unshare(s.CLONE_NEWNS)
            s.mount("", "/", "", s.MS_REC | s.MS_PRIVATE)
        yield
    finally:
        with step("layers"):
            s.setns(home, s.CLONE_NEWNS)  # which also makes the namespace's root this process' root and folder
            os.fchdir(root)
            os.chroot(".")
            os.fchdir(here)
        for place in places:
            os.close(place)


def _takes_detached(release: str) -> bool:
    """ "6.12.117+deb13-amd64": version and patch level are numbers on every kernel (uname(2), Makefile)."""
    version, patch_level = release.split(".")[:2]
    return (int(version), int(patch_level.partition("-")[0])) >= (6, 15)


def _overlay(extras: Extras, outside: Outside, gains: bool, attach: bool) -> int:
    """`attach`: see Note [Layers that are mounted nowhere]."""
    opened: list[int] = []
    try:
        with step("layers"):
            lowers = [_lower(path, outside, opened, attach) for path in extras["layers"]]
            upper, work = _upper(extras, outside, opened, attach)
            return _mount(lowers, upper, work, s.MOUNT_ATTR_NODEV | (0 if gains else s.MOUNT_ATTR_NOSUID))
    finally:
        for fd in opened:
            os.close(fd)


def _lower(path: str, outside: Outside, opened: list[int], attach: bool) -> int:
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
    if attach:
        s.move_mount(tree, source, path)
    return tree


def _upper(extras: Extras, outside: Outside, opened: list[int], attach: bool) -> tuple[int, int]:
    if extras["upper"]:
        return _owned(extras["upper"], outside, opened), _owned(extras["work"], outside, opened)
    scratch = fresh("tmpfs", {"size": _SCRATCH, "mode": "0700"}, 0)
    opened.append(scratch)
    if attach:
        s.move_mount(scratch, opened[0], extras["layers"][0])  # any folder that nobody walks through any more
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
        # Under its name it is there with its owner or not at all: a starter may be killed at any time.
        unowned = path + ".new"
        with contextlib.suppress(FileExistsError):
            os.mkdir(unowned, 0o755)
        os.chown(unowned, outside.base, outside.base)
        os.rename(unowned, path)
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    opened.append(fd)
    owner = os.fstat(fd).st_uid
    if not outside.base <= owner < outside.base + outside.size:
        what = f"{path} was written with other ids (owner {owner}, now from {outside.base} on)"
        raise StartError("layers", errno.EPERM, what)
    return fd


def _mount(lowers: list[int], upper: int, work: int, attributes: int) -> int:
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
        return fresh("overlay", settings, attributes)
    finally:
        os.fchdir(back)
        os.close(back)
