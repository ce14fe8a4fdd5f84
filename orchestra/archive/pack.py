"""A file or folder as a tar stream. Whoever owns the files may change them at any moment, and does."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import tarfile
from collections.abc import Callable
from typing import IO, cast

from .beneath import PLACE, Root

DEEPEST = 256
"""Folders within folders; each holds a descriptor while it is read."""
BLOCK = 1 << 16
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

Warn = Callable[[str], None]


def pack(root: Root, path: str, name: str, out: IO[bytes], warn: Warn, follow: bool = False) -> None:
    """Write what is at `path` to `out`, under `name` ("." for the contents of a folder).

    A link at its end is packed as a link unless `follow`. Sockets and devices are left out, with a warning. Raises
    OSError with the path.
    """
    if follow:
        path = root.followed(path)
    above, last = posixpath.split(path.rstrip("/") or "/")
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        packer = _Packer(tar, warn)
        if last in ("", ".", ".."):
            packer.folder(root.open(path, os.O_RDONLY | os.O_DIRECTORY), name, 0)
            return
        parent = root.open(above or ".", PLACE)
        try:
            if path.endswith("/") and not stat.S_ISDIR(os.stat(last, dir_fd=parent, follow_symlinks=False).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            packer.entry(parent, last, name, 0)
        except OSError as error:
            raise OSError(
                error.errno, error.strerror, path if error.filename in (last, None) else error.filename
            ) from None
        finally:
            os.close(parent)


class _Packer:
    def __init__(self, tar: tarfile.TarFile, warn: Warn) -> None:
        self._tar = tar
        self._warn = warn
        self._linked: dict[tuple[int, int], str] = {}

    def entry(self, parent: int, name: str, path: str, depth: int) -> None:
        """One entry of a folder, whatever it is by now."""
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFDIR:
            self.folder(os.open(name, _READ | os.O_DIRECTORY, dir_fd=parent), path, depth)
        elif kind == stat.S_IFREG:
            self._file(os.open(name, _READ, dir_fd=parent), path)
        elif kind == stat.S_IFLNK:
            member = _member(path, found, tarfile.SYMTYPE)
            member.linkname = os.readlink(name, dir_fd=parent)
            self._tar.addfile(member)
        elif kind == stat.S_IFIFO:
            self._tar.addfile(_member(path, found, tarfile.FIFOTYPE))
        else:
            self._warn(f"left out {path}: it is a {'socket' if kind == stat.S_IFSOCK else 'device'}")

    def folder(self, descriptor: int, path: str, depth: int) -> None:
        """The descriptor is ours from here on."""
        try:
            if depth > DEEPEST:
                raise OSError(errno.ENAMETOOLONG, f"more than {DEEPEST} folders within each other", path)
            self._tar.addfile(_member(path, os.fstat(descriptor), tarfile.DIRTYPE))
            for name in sorted(os.listdir(descriptor)):
                try:
                    self.entry(descriptor, name, f"{path}/{name}", depth + 1)
                except OSError as error:
                    # Gone, or something else, between two looks: the rest is still worth having.
                    if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                        raise
                    self._warn(f"left out {path}/{name}: it changed while it was copied")
        finally:
            os.close(descriptor)

    def _file(self, descriptor: int, path: str) -> None:
        with open(descriptor, "rb", buffering=0) as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                self._warn(f"left out {path}: it changed while it was copied")
                return
            first = self._linked.setdefault((found.st_dev, found.st_ino), path) if found.st_nlink > 1 else path
            if first != path:
                member = _member(path, found, tarfile.LNKTYPE)
                member.linkname = first
                self._tar.addfile(member)
                return
            member = _member(path, found, tarfile.REGTYPE)
            member.size = found.st_size
            self._tar.addfile(member, cast("IO[bytes]", _Exactly(file)))


def _member(path: str, found: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    """Numbers only: names of users are not looked up."""
    member = tarfile.TarInfo(path)
    member.type = kind
    member.mode = stat.S_IMODE(found.st_mode)
    member.uid, member.gid = found.st_uid, found.st_gid
    member.mtime = max(0, int(found.st_mtime))
    return member


class _Exactly:
    """A file that has as many bytes as its header said, however it grows or shrinks meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        parts = []
        left = size
        while left and (part := self._file.read(min(left, BLOCK))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts) + bytes(left)
