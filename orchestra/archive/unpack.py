"""A tar stream as files below one folder, whatever its names and links say."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import tarfile
from collections.abc import Callable
from typing import IO

from orchestra.values import dataclass

from .beneath import PLACE, beneath

BLOCK = 1 << 16
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC

Warn = Callable[[str], None]


class BadArchive(Exception):
    """The stream is no tar archive, or one that wants what it must not."""


@dataclass(frozen=True, slots=True)
class Rules:
    owners: bool = False  # keep numbers of users and groups; else everything is the caller's
    all_bits: bool = False  # keep setuid and setgid; a container's files must not become anybody else's on the host
    pipes: bool = False  # make FIFOs
    top: tuple[str, str] | None = None  # what the first part of every name is, and what it becomes


def unpack(stream: IO[bytes], folder: int, rules: Rules, warn: Warn) -> None:
    """Make what the stream has below the folder; what is there is overwritten, folders are joined.

    Raises BadArchive, and OSError with the path: of a name that leads elsewhere, a folder where a file is to be, and
    the like. What came before that stays.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            unpacker = _Unpacker(tar, folder, rules, warn)
            for member in tar:
                unpacker.member(member)
            unpacker.finish()
    except tarfile.TarError as error:
        raise BadArchive(f"not a tar archive, or a damaged one: {error}") from None


class _Unpacker:
    def __init__(self, tar: tarfile.TarFile, folder: int, rules: Rules, warn: Warn) -> None:
        self._tar = tar
        self._folder = folder
        self._rules = rules
        self._warn = warn
        self._folders: list[tuple[str, tarfile.TarInfo]] = []

    def member(self, member: tarfile.TarInfo) -> None:
        path = self._path(member.name)
        above, name = posixpath.split(path)
        parent = self._make_way(above)
        try:
            if member.isdir():
                self._make_folder(parent, name, path, member)
            elif member.isreg():
                self._write(parent, name, path, member)
            elif member.issym():
                _clear(parent, name, path)
                os.symlink(member.linkname, name, dir_fd=parent)
                if self._rules.owners:
                    os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
            elif member.islnk():
                self._link(parent, name, path, member)
            elif member.isfifo() and self._rules.pipes:
                _clear(parent, name, path)
                os.mkfifo(name, self._mode(member), dir_fd=parent)
            else:
                self._warn(f"left out {path}: it is a {'pipe' if member.isfifo() else 'device'}")
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
        finally:
            os.close(parent)

    def _path(self, name: str) -> str:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise BadArchive(f"{name} leads out of the archive")
        if self._rules.top is not None:
            old, new = self._rules.top
            if old != ".":
                if parts[:1] != [old]:
                    raise BadArchive(f"{name} does not belong to {old}")
                parts = parts[1:]
            parts = [*(() if new == "." else (new,)), *parts]
        return "/".join(parts)

    def _make_way(self, path: str) -> int:
        """The folder of an entry; archives need not name the folders of what they hold."""
        try:
            return beneath(self._folder, path, PLACE)
        except FileNotFoundError:
            above, name = posixpath.split(path)
        parent = self._make_way(above)
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
            return beneath(parent, name, PLACE)
        finally:
            os.close(parent)

    def _make_folder(self, parent: int, name: str, path: str, member: tarfile.TarInfo) -> None:
        if name:
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                os.close(beneath(parent, name, PLACE))  # a folder, and no link to one
            # What is in it comes first: it may not be allowed to be written to, and its time would change.
            self._folders.append((path, member))

    def _write(self, parent: int, name: str, path: str, member: tarfile.TarInfo) -> None:
        source = self._tar.extractfile(member)
        assert source is not None
        descriptor = _fresh(parent, name, path)
        with open(descriptor, "wb", buffering=0) as file:
            left = member.size
            while left:
                part = source.read(min(left, BLOCK))
                if not part:
                    raise BadArchive(f"the archive ends within {path}")
                _write_all(file, part)
                left -= len(part)
            self._finish(descriptor, member)

    def _link(self, parent: int, name: str, path: str, member: tarfile.TarInfo) -> None:
        above, source = posixpath.split(self._path(member.linkname))
        place = beneath(self._folder, above, PLACE)
        try:
            _clear(parent, name, path)
            os.link(source, name, src_dir_fd=place, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(place)

    def finish(self) -> None:
        for path, member in reversed(self._folders):
            descriptor = beneath(self._folder, path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._finish(descriptor, member)
            finally:
                os.close(descriptor)

    def _finish(self, descriptor: int, member: tarfile.TarInfo) -> None:
        if self._rules.owners:
            os.fchown(descriptor, member.uid, member.gid)
        os.fchmod(descriptor, self._mode(member))
        os.utime(descriptor, (member.mtime, member.mtime))

    def _mode(self, member: tarfile.TarInfo) -> int:
        return member.mode & (0o7777 if self._rules.all_bits else 0o1777)


def _fresh(parent: int, name: str, path: str) -> int:
    """A new file in the place of whatever is there but a folder; one that cannot be moved away is written over."""
    try:
        _clear(parent, name, path)
    except OSError as error:
        if error.errno != errno.EBUSY:  # somebody mounted it there: /etc/hosts
            raise
        return beneath(parent, name, _WRITE | os.O_TRUNC)
    return os.open(name, _WRITE | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=parent)


def _clear(parent: int, name: str, path: str) -> None:
    if not name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
