"""What to mount, as values that describe and perform themselves.

Each has two halves. `prepare` runs with the host's rights, outside, and leaves a detached mount in a descriptor
where those rights are needed; `perform` runs as the container's pid 1 and attaches. No path is ever walked twice:
sources and targets are held as descriptors, targets are resolved inside of the root (openat2(2), RESOLVE_IN_ROOT).
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from . import syscalls as s
from .failure import StartError, step
from .options import Options
from .trees import Trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import Mount

SYMLINKS_STAY_INSIDE = s.RESOLVE_IN_ROOT | s.RESOLVE_NO_MAGICLINKS
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_DEV_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


class Outside:
    """What `prepare` may use: the container's user namespace (-1: the host's) and its host ids."""

    __slots__ = ("base", "size", "userns")

    def __init__(self, userns: int, base: int, size: int) -> None:
        self.userns = userns
        self.base = base
        self.size = size


class Bind:
    """A folder or file of the host."""

    def __init__(self, mount: Mount) -> None:
        self.source = mount["source"]
        self.target = target_of(mount["destination"])
        self.options = Options(mount["options"])
        self.trees: Trees
        self.directory = True

    def describe(self) -> str:
        return f"{self.source} at {self.target}{' (read-only)' if self.options.readonly else ''}"

    def prepare(self, outside: Outside) -> None:
        with step("mount", self.describe()):
            source = self._open()
            try:
                found = os.fstat(source)
                self.directory = stat.S_ISDIR(found.st_mode)
                deep = "rbind" in self.options.words and self.directory
                idmap = "idmap" in self.options.words and not _is_basic_device(found)
                attributes = self.options.attributes
                if "suid" not in self.options.words:
                    attributes |= s.MOUNT_ATTR_NOSUID
                if not _is_basic_device(found):  # which is bound over a file to mask it
                    attributes |= s.MOUNT_ATTR_NODEV
                self.trees = Trees(source, deep, attributes, outside.userns if idmap else -1)
            finally:
                os.close(source)

    def _open(self) -> int:
        try:
            source = s.openat2(s.AT_FDCWD, self.source, os.O_PATH, s.RESOLVE_NO_MAGICLINKS)
        except (FileNotFoundError, NotADirectoryError) as error:
            link = f"it is a link to {os.readlink(self.source)}, which" if os.path.islink(self.source) else "it"
            what = f"cannot mount {self.describe()}: {link} is missing on the host"
            raise StartError("mount", errno.ENOENT, what) from error
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            what = f"cannot mount {self.describe()}: it is a link of /proc, or links without end, and is not followed"
            raise StartError("mount", errno.ELOOP, what) from error
        part = self.options.settings.get("beneath")
        if part is None:
            return source
        try:
            # A container that writes to the volume may have put a link there (CVE-2017-1002101).
            return s.openat2(source, part, os.O_PATH, s.RESOLVE_BENEATH | s.RESOLVE_NO_MAGICLINKS)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            what = f"cannot mount {part} of {self.source}: it leads out of there"
            raise StartError("mount", errno.EXDEV, what) from error
        finally:
            os.close(source)

    def perform(self, root: int) -> None:
        with step("mount", self.describe()):
            place = ensure_like(root, self.target, self.directory, self.describe())
            self.trees.attach(place, self.target)
            os.close(place)


class Fresh:
    """A file system that is born with the container: tmpfs, proc, devpts, mqueue."""

    def __init__(self, mount: Mount) -> None:
        self.kind = mount["type"]
        self.target = target_of(mount["destination"])
        self.options = Options(mount["options"])

    def describe(self) -> str:
        return f"{self.kind} at {self.target}"

    def prepare(self, outside: Outside) -> None:
        pass

    def perform(self, root: int) -> None:
        with step("mount", self.describe()):
            tree = fresh(self.kind, self.options.settings, self.options.attributes)
            attach(tree, root, self.target, True, follow=self.kind == "tmpfs")


class Sysfs(Fresh):
    """Made outside, in the container's network namespace: its owner may be another container's user namespace or
    the host's, and then only the host may mount it (kobj_ns_current_may_mount in the kernel)."""

    def __init__(self, mount: Mount) -> None:
        super().__init__(mount)
        self.tree = -1

    def prepare(self, outside: Outside) -> None:
        with step("mount", self.describe()):
            self.tree = fresh("sysfs", {}, self.options.attributes)

    def perform(self, root: int) -> None:
        with step("mount", self.describe()):
            attach(self.tree, root, self.target, True, follow=False)


class Devices(Fresh):
    """/dev: a small tmpfs with six nodes of the host bound into it; nobody in a user namespace can make one."""

    def __init__(self, mount: Mount) -> None:
        super().__init__(mount)
        self.nodes: dict[str, int] = {}

    def prepare(self, outside: Outside) -> None:
        for name, number in DEVICES.items():
            with step("mount", f"/dev/{name}"):
                node = os.open(f"/dev/{name}", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
                if not is_device(node, number):
                    raise StartError("mount", errno.ENODEV, f"/dev/{name} of the host is not the device {number}")
                self.nodes[name] = s.open_tree(node, "", s.OPEN_TREE_CLONE)
                s.mount_setattr(self.nodes[name], s.MOUNT_ATTR_NOSUID | s.MOUNT_ATTR_NOEXEC, propagation=s.MS_PRIVATE)
                os.close(node)

    def perform(self, root: int) -> None:
        super().perform(root)
        with step("mount", self.describe()):
            dev = resolve(root, self.target)
            for name, tree in self.nodes.items():
                _touch(dev, name)
                attach(tree, dev, name, False)
            for name, target in _DEV_LINKS.items():
                os.symlink(target, name, dir_fd=dev)
            for name in ("pts", "shm", "mqueue"):
                os.mkdir(name, 0o755, dir_fd=dev)
            os.close(dev)


class Control(Fresh):
    """/sys/fs/cgroup, read-only: the unified hierarchy where all is in it, else the hierarchies that limit."""

    def __init__(self, mount: Mount, hierarchies: dict[str, str]) -> None:
        super().__init__(mount)
        self.hierarchies = hierarchies  # folder → controllers; "" alone: unified

    def perform(self, root: int) -> None:
        attributes = self.options.attributes
        with step("mount", self.describe()):
            if not self.hierarchies:
                attach(fresh("cgroup2", {}, attributes), root, self.target, True, follow=False)
                return
            small: dict[str, str | None] = {"size": "16k", "mode": "0755"}
            attach(fresh("tmpfs", small, attributes & ~s.MOUNT_ATTR_RDONLY), root, self.target, True, follow=False)
            top = resolve(root, self.target)
            for folder, controllers in self.hierarchies.items():
                kind = "cgroup" if controllers else "cgroup2"
                flags: dict[str, str | None] = {name: None for name in controllers.split(",") if name}
                attach(fresh(kind, flags, attributes), top, folder, True)
            s.mount_setattr(top, s.MOUNT_ATTR_RDONLY)
            os.close(top)


AnyMount = Bind | Fresh


def read_mount(mount: Mount, hierarchies: dict[str, str]) -> AnyMount:
    """The value for one entry of the spec's `mounts`."""
    kind = mount["type"]
    if kind == "bind":
        return Bind(mount)
    if kind == "sysfs":
        return Sysfs(mount)
    if kind == "cgroup":
        return Control(mount, hierarchies)
    if kind == "tmpfs" and mount["destination"].rstrip("/") == "/dev":
        return Devices(mount)
    if kind in ("tmpfs", "proc", "devpts", "mqueue"):
        return Fresh(mount)
    raise StartError("mount", errno.ENODEV, f"cannot mount {mount['destination']}: no type {kind!r}")


def target_of(destination: str) -> str:
    """The place inside, normal; the root itself and everything in /proc stay ours."""
    path = posixpath.normpath("/" + destination)
    if path.startswith("//"):
        path = path[1:]
    if path == "/" or path.startswith("/proc/"):
        raise StartError("mount", errno.EINVAL, f"cannot mount over {path}")
    return path


def fresh(kind: str, settings: dict[str, str | None], attributes: int) -> int:
    """A new file system of this kind as a detached mount."""
    context = s.fsopen(kind)
    try:
        for key, value in settings.items():
            if value is None:
                s.fsconfig_flag(context, key)
            else:
                s.fsconfig_string(context, key, value)
        s.fsconfig_create(context, kind)
        return s.fsmount(context, attributes, kind)
    finally:
        os.close(context)


def resolve(root: int, path: str, flags: int = os.O_PATH, resolve: int = SYMLINKS_STAY_INSIDE) -> int:
    return s.openat2(root, path, flags, resolve)


def attach(tree: int, root: int, path: str, directory: bool, follow: bool = True) -> None:
    """Attach a detached mount inside and close its descriptor; what is missing of the way there is made."""
    how = SYMLINKS_STAY_INSIDE | (0 if follow else s.RESOLVE_NO_SYMLINKS)
    place = ensure_like(root, path, directory, path, how)
    s.move_mount(tree, place, path)
    os.close(place)
    os.close(tree)


def ensure_like(root: int, path: str, directory: bool, about: str, how: int = SYMLINKS_STAY_INSIDE) -> int:
    """As `ensure`; what is there already has to be of the kind of what is mounted over it."""
    try:
        place = ensure(root, path, directory, how)
    except NotADirectoryError as error:
        kind = "a folder" if directory else "below a folder"
        what = f"cannot mount {about}: it is {kind}, and in the container there is a file"
        raise StartError("mount", errno.ENOTDIR, what) from error
    if not directory and stat.S_ISDIR(os.fstat(place).st_mode):
        os.close(place)
        what = f"cannot mount {about}: it is a file, and in the container there is a folder"
        raise StartError("mount", errno.EISDIR, what)
    return place


def ensure(root: int, path: str, directory: bool, how: int = SYMLINKS_STAY_INSIDE) -> int:
    """An O_PATH descriptor of the folder or file at `path` in `root`, made part by part where missing."""
    try:
        return s.openat2(root, path, os.O_PATH | (os.O_DIRECTORY if directory else 0), how)
    except FileNotFoundError:
        above, name = posixpath.split(path)
    parent = ensure(root, above or ".", True, how)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            _touch(parent, name)
        return s.openat2(parent, name, os.O_PATH, s.RESOLVE_BENEATH | s.RESOLVE_NO_SYMLINKS)
    finally:
        os.close(parent)


def _touch(directory: int, name: str) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
    os.close(os.open(name, flags, 0o644, dir_fd=directory))


def is_device(fd: int, number: tuple[int, int]) -> bool:
    return _device(os.fstat(fd)) == number


def _is_basic_device(found: os.stat_result) -> bool:
    return _device(found) in DEVICES.values()


def _device(found: os.stat_result) -> tuple[int, int] | None:
    return (os.major(found.st_rdev), os.minor(found.st_rdev)) if stat.S_ISCHR(found.st_mode) else None
