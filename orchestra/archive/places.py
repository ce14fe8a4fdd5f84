"""Where a copy goes, by docker's rules (docker cp, "Extended description"): what a destination means depends on what
is there."""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from .beneath import PLACE, Root


def basename(source: str) -> str:
    """What a copied thing is called: "." for the contents of a folder (`folder/.`)."""
    last = posixpath.basename(source.rstrip("/"))
    return "." if last in ("", ".", "..") else last


def destination(root: Root, path: str, name: str) -> tuple[int, str]:
    """The folder to unpack in, and what the top of the copy is called there. Raises OSError with the path."""
    path = root.followed(path)
    kind = root.kind(path.rstrip("/") or "/")
    if kind == stat.S_IFDIR:
        return root.open(path, PLACE), name
    if path.endswith("/"):
        code = errno.ENOENT if kind is None else errno.ENOTDIR
        raise OSError(code, os.strerror(code), path)
    if kind is not None and name == ".":
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    above, last = posixpath.split(path)
    return root.open(above or ".", PLACE), last
