"""Opening files so that the way to them cannot lead elsewhere (openat2(2))."""

from __future__ import annotations

import ctypes
import errno
import os
import posixpath
import stat
import struct

_OPENAT2 = 437  # on every architecture (asm-generic/unistd.h)
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 2, 4, 8, 0x10
_ATTEMPTS = 16
MOST_LINKS = 40  # as the kernel's own limit (path_resolution(7))
PLACE = os.O_PATH | os.O_DIRECTORY

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    how = struct.pack("=3Q", flags | os.O_CLOEXEC, 0, resolve)
    for _ in range(_ATTEMPTS):
        found: int = _libc.syscall(
            ctypes.c_long(_OPENAT2), ctypes.c_long(directory), os.fsencode(path), how, ctypes.c_long(len(how))
        )
        if found >= 0:
            return found
        if (code := ctypes.get_errno()) != errno.EAGAIN:  # something was renamed while the kernel walked
            break
    raise OSError(code, os.strerror(code), path)


def beneath(directory: int, path: str, flags: int) -> int:
    """Below the folder, with no link on the way or at its end. Raises OSError: ELOOP for one, EXDEV for a way out."""
    return _openat2(directory, path or ".", flags, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)


class Root:
    """Where absolute paths begin: a descriptor that nothing leads out of, or the whole machine as it is (None)."""

    def __init__(self, descriptor: int | None) -> None:
        self._root = descriptor

    def open(self, path: str, flags: int) -> int:
        """Links of the path are followed, within the root."""
        if self._root is None:
            return os.open(path, flags | os.O_CLOEXEC)
        return _openat2(self._root, path.lstrip("/") or ".", flags, _IN_ROOT | _NO_MAGICLINKS)

    def kind(self, path: str) -> int | None:
        """S_IFMT of what is there, a link as such; None where there is nothing."""
        try:
            found = self.open(path, os.O_PATH | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            return stat.S_IFMT(os.fstat(found).st_mode)
        finally:
            os.close(found)

    def followed(self, path: str) -> str:
        """The path of what it leads to in the end, as `cp -L` and a destination that is a link want it."""
        for _ in range(MOST_LINKS):
            if path in ("", "/") or path.endswith("/") or self.kind(path) != stat.S_IFLNK:
                return path
            above, name = posixpath.split(path)
            parent = self.open(above or ".", PLACE)
            try:
                path = posixpath.join(above, os.readlink(name, dir_fd=parent))
            finally:
                os.close(parent)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
