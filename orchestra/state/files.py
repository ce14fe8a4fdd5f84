"""Files that survive a crash in the midst of being written: a temporary name, fsync, rename, fsync of the folder.

A JSON file carries a version and a checksum. One that is truncated or corrupted, or does not hold what its reader
takes it for, is set aside, never trusted and never deleted: the caller goes on as if it were absent and rebuilds from
what runs. One of a newer version is no damage: it is refused, and stays as it is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from _thread import get_native_id
from collections.abc import Callable
from typing import Any, TypeVar

from .. import ours
from ..ours import folder as ensure_folder
from .newer import VERSION, Newer, is_newer, refuse_newer

__all__ = ["ensure_folder", "keep_before", "read_json", "remove_tree", "write_json", "write_whole"]

T = TypeVar("T")


def write_whole(path: str, content: bytes, durable: bool = True) -> None:
    """Replace a file in one stroke; `durable` waits for the disk. Raises OSError, leaving the old file as it was."""
    temporary = _beside(path)
    handle = ours.create(temporary)
    try:
        try:
            written = 0
            while written < len(content):
                written += os.write(handle, content[written:])
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        ours.put(temporary, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if durable:
        _sync_folder(os.path.dirname(path))


def write_json(path: str, content: Any, durable: bool = True) -> None:
    """Raises OSError, and Newer where it would take the place of one."""
    refuse_newer(path)
    body = json.dumps(content, separators=(",", ":")).encode()
    head = json.dumps({"version": VERSION, "sha256": hashlib.sha256(body).hexdigest()}).encode()
    write_whole(path, head + b"\n" + body + b"\n", durable)


def keep_before(path: str, before: str) -> None:
    """Give the file as it is now a second name, under which it stays when the first one is replaced."""
    temporary = _beside(before)
    try:
        os.link(path, temporary, follow_symlinks=False)
    except FileExistsError:
        pass  # from a write that failed half way
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EPERM):  # none yet; or no file but a folder, see link(2)
            return
        raise
    ours.put(temporary, before)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)  # rename(2) leaves it where both names are of one file already


def remove_tree(path: str, *, whatever_happens: bool = False) -> None:
    """Remove a folder with all that is in it. Raises OSError, or leaves what cannot be removed."""
    from shutil import rmtree  # brings three compressors along, for which a start has no time

    if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
        with contextlib.suppress(*([OSError] if whatever_happens else [])):
            os.unlink(path)
        return
    rmtree(path, ignore_errors=whatever_happens)


def read_json(path: str, shape: Callable[[Any], T]) -> T | None:
    """The content as `shape` understands it, or None when there is none that can be trusted. Raises Newer."""
    content = ours.read(path)
    if content is None:
        return None
    head, _, body = content.partition(b"\n")
    try:
        about = json.loads(head)
        if is_newer(about["version"]):
            raise Newer(path)
        body = body.removesuffix(b"\n")
        if about["version"] == VERSION and about["sha256"] == hashlib.sha256(body).hexdigest():
            return shape(json.loads(body))
    except ours.MALFORMED:
        pass
    ours.set_aside(path)
    return None


def _beside(path: str) -> str:
    """A name of this thread's own: two that write the same file at once do not take each other's away."""
    return f"{path}.{get_native_id()}.new"


def _sync_folder(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
