"""Files that survive a crash in the midst of being written: a temporary name, fsync, rename, fsync of the folder.

A JSON file carries a version and a checksum. One that is truncated or corrupted is set aside, never trusted and
never deleted: the caller goes on as if it were absent and rebuilds from what runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from _thread import get_native_id
from typing import Any

VERSION = 1


def ensure_folder(path: str, mode: int = 0o700) -> None:
    """Make a folder and its parents, none of them readable by others; existing ones keep their mode."""
    if os.path.isdir(path):
        return
    ensure_folder(os.path.dirname(path), mode)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    os.chmod(path, mode)  # whatever the umask is


def write_whole(path: str, content: bytes, durable: bool = True) -> None:
    """Replace a file in one stroke; `durable` waits for the disk. Raises OSError, leaving the old file as it was."""
    temporary = _beside(path)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            written = 0
            while written < len(content):
                written += os.write(handle, content[written:])
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if durable:
        _sync_folder(os.path.dirname(path))


def write_json(path: str, content: Any, durable: bool = True) -> None:
    body = json.dumps(content, separators=(",", ":")).encode()
    head = json.dumps({"version": VERSION, "sha256": hashlib.sha256(body).hexdigest()}).encode()
    write_whole(path, head + b"\n" + body + b"\n", durable)


def keep_before(path: str, before: str) -> None:
    """Give the file as it is now a second name, under which it stays when the first one is replaced."""
    temporary = _beside(before)
    try:
        os.link(path, temporary)
    except FileNotFoundError:
        return
    except FileExistsError:
        pass  # from a write that failed half way
    os.rename(temporary, before)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)  # rename(2) leaves it where both names are of one file already


def remove_tree(path: str, *, whatever_happens: bool = False) -> None:
    """Remove a folder with all that is in it. Raises OSError, or leaves what cannot be removed."""
    from shutil import rmtree  # brings three compressors along, for which a start has no time

    rmtree(path, ignore_errors=whatever_happens)


def read_json(path: str) -> Any | None:
    """The content, or None when there is none that can be trusted; a bad file is renamed to `<path>.bad`."""
    try:
        with open(path, "rb") as file:
            head, _, body = file.read().partition(b"\n")
    except FileNotFoundError:
        return None
    try:
        about = json.loads(head)
        body = body.removesuffix(b"\n")
        if about["version"] == VERSION and about["sha256"] == hashlib.sha256(body).hexdigest():
            return json.loads(body)
    except (ValueError, KeyError, TypeError):
        pass
    os.replace(path, f"{path}.bad")
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
