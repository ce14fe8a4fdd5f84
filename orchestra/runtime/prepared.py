"""Everything a start needs from the host, opened while the host's rights are there; the child only uses it."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from binascii import a2b_base64

from . import cgroups, init, seccomp, sysctls
from . import syscalls as s
from .failure import StartError, step
from .layers import overlay
from .mounts import AnyMount, Bind, Outside, read_mount
from .sandbox import raise_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.keeping import Unmapped
    from orchestra.wire.spec import GivenFile, Namespace, Spec

_KINDS = {
    "mount": s.CLONE_NEWNS,
    "pid": s.CLONE_NEWPID,
    "ipc": s.CLONE_NEWIPC,
    "uts": s.CLONE_NEWUTS,
    "user": s.CLONE_NEWUSER,
    "cgroup": s.CLONE_NEWCGROUP,
    "time": s.CLONE_NEWTIME,
}
LARGEST_FILE = 1 << 20
_NS_GET_USERNS = 0xB701


class Prepared:
    """One start. `unshare` are the namespaces to make, `join` descriptors of those to enter, with their kinds."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.unshare = 0
        self.join: list[tuple[int, int]] = []
        self.userns = -1
        self.base = 0
        self.size = 1 << 32
        self.network = sysctls.HOST
        self._open_namespaces(spec["linux"]["namespaces"])
        outside = Outside(self.userns, self.base, self.size)
        self.mounts = self._mounts()
        for mount in self.mounts:
            mount.prepare(outside)
        self.root = overlay(spec["orchestra"], outside, gains=not spec["process"]["noNewPrivileges"])
        self.files = [(given, _content(given)) for given in spec["orchestra"]["files"]]
        self.filters = read_filters(spec["orchestra"]["seccomp"])
        self.init = init.program() if spec["orchestra"]["init"] else -1

    def _open_namespaces(self, namespaces: list[Namespace]) -> None:
        for namespace in sorted(namespaces, key=lambda n: n["type"] != "user"):
            kind, path = namespace["type"], namespace.get("path", "")
            if kind == "network":
                self.network = _enter_network(path, self.userns)
            elif not path:
                if kind != "time" or os.path.exists("/proc/self/ns/time"):  # a kernel may be built without
                    self.unshare |= _KINDS[kind]
            elif kind == "user":
                self.userns = _open(path)
                mapping = self.spec["linux"]["uidMappings"][0]
                self.base, self.size = mapping["hostID"], mapping["size"]
            else:
                self.join.append((_open(path), _KINDS[kind]))
        if self.unshare & s.CLONE_NEWUSER:
            raise StartError("namespaces", 22, "a user namespace needs the path of a pinned one")
        if not self.unshare & s.CLONE_NEWNS:
            raise StartError("namespaces", 22, "a container needs a mount namespace of its own")

    def _mounts(self) -> list[AnyMount]:
        hierarchies = cgroups.driver().shown()
        described = [*self.spec["orchestra"]["usr"], *self.spec["mounts"]]
        return [read_mount(mount, hierarchies) for mount in described]

    def unmapped(self) -> list[Unmapped]:
        """Binds that show files without an idmap."""
        binds = [mount for mount in self.mounts if isinstance(mount, Bind) and mount.trees.unmapped]
        return [{"source": bind.source, "kinds": sorted(bind.trees.unmapped)} for bind in binds]


def _open(path: str) -> int:
    with step("namespaces"):
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _enter_network(path: str, userns: int) -> str:
    """Already here, as the host's root: sysfs and net.* are made for the network namespace that one is in, and
    those rights hold whoever owns it. Without a path it is a new one, with a loopback and nothing else."""
    with step("namespaces", path):
        if not path:
            s.unshare(s.CLONE_NEWNET)
            raise_loopback()
            return sysctls.OWN
        fd = _open(path)
        owner = fcntl.ioctl(fd, _NS_GET_USERNS)
        own = userns >= 0 and os.path.sameopenfile(owner, userns)
        os.close(owner)
        s.setns(fd, s.CLONE_NEWNET)
        os.close(fd)
        return sysctls.OWN if own else sysctls.SHARED


def _content(given: GivenFile) -> bytes:
    if "content" in given:
        return a2b_base64(given["content"])
    path = given.get("source", "")
    with step("files", path):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            what = f"cannot give {given['destination']}: {path} is missing on the host"
            raise StartError("files", errno.ENOENT, what) from error
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE:
                raise StartError("files", 0, f"{path} is no regular file of at most 1 MiB")
            return os.read(fd, LARGEST_FILE)
        finally:
            os.close(fd)


def read_filters(path: str) -> list[bytes]:
    """The programs in a filter file, in the order in which they are loaded."""
    if not path:
        return []
    with step("seccomp", path):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return seccomp.unpack(os.read(fd, 1 << 20))
        finally:
            os.close(fd)
