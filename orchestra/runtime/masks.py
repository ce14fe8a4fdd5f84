"""Paths of /proc and /sys that are covered, or can only be read. They are mounts of the container's own namespace:
without SYS_ADMIN nobody inside takes them off.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

from . import syscalls as s
from .failure import StartError, step
from .mounts import DEVICES, fresh, is_device, resolve


def make_readonly(root: int, paths: list[str]) -> None:
    for path in paths:
        with step("readonly", path):
            try:
                place = resolve(root, path)
            except FileNotFoundError:
                continue  # this kernel has no such thing
            tree = s.open_tree(place, "", s.OPEN_TREE_CLONE | s.AT_RECURSIVE)
            s.mount_setattr(tree, s.MOUNT_ATTR_RDONLY, deep=True)
            s.move_mount(tree, place, path)
            os.close(tree)
            os.close(place)


def hide(root: int, paths: list[str]) -> None:
    """Files under /dev/null, folders under an empty read-only tmpfs, one for all of them."""
    empty = -1
    for path in expand(root, paths):
        with step("mask", path):
            try:
                place = resolve(root, path)
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(os.fstat(place).st_mode):
                _cover(_null(root), place, path)
            elif empty < 0:
                tree = fresh("tmpfs", {"nr_inodes": "1", "mode": "0755"}, _SEALED)
                s.move_mount(tree, place, path)
                empty = tree
            else:
                _cover(s.open_tree(empty, "", s.OPEN_TREE_CLONE), place, path)
            os.close(place)
    if empty >= 0:
        os.close(empty)


def expand(root: int, paths: Sequence[str]) -> Iterator[str]:
    """One part of a path may end in an asterisk: cpu* is every processor's folder."""
    for path in paths:
        before, star, after = path.partition("*")
        if not star:
            yield path
            continue
        folder, _, prefix = before.rpartition("/")
        with contextlib.suppress(FileNotFoundError):
            fd = resolve(root, folder or "/", os.O_RDONLY | os.O_DIRECTORY)
            names = os.listdir(fd)
            os.close(fd)
            yield from (f"{folder}/{name}{after}" for name in sorted(names) if name.startswith(prefix))


_SEALED = s.MOUNT_ATTR_RDONLY | s.MOUNT_ATTR_NOSUID | s.MOUNT_ATTR_NODEV | s.MOUNT_ATTR_NOEXEC


def _null(root: int) -> int:
    null = resolve(root, "dev/null")
    if not is_device(null, DEVICES["null"]):
        raise StartError("mask", 0, "/dev/null inside is not the null device")  # CVE-2025-31133
    tree = s.open_tree(null, "", s.OPEN_TREE_CLONE)
    os.close(null)
    return tree


def _cover(tree: int, place: int, path: str) -> None:
    s.move_mount(tree, place, path)
    os.close(tree)
