"""Who a process is inside: `user:` by name or number, looked up in the container's own passwd and group.

Those files come from an image and may be anything: a link out of the root, a FIFO, gigabytes (CVE-2024-9676,
CVE-2026-30892). The rules are those of moby/sys/user, GetExecUser.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from . import syscalls as s
from .failure import StartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestra.wire.spec import User

LONGEST_FILE = 1 << 20
_HIGHEST_ID = (1 << 32) - 2  # the last one means "none" to the kernel


class Identity:
    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


def look_up(user: User, root: int) -> Identity:
    return identify(user, read_inside(root, "etc/passwd"), read_inside(root, "etc/group"))


def read_inside(root: int, path: str) -> str:
    """A small regular file inside of the root, "" where there is none."""
    try:
        # Not blocking: opening a FIFO would wait for a writer for ever.
        fd = s.openat2(root, path, os.O_RDONLY | os.O_NONBLOCK, s.RESOLVE_IN_ROOT | s.RESOLVE_NO_MAGICLINKS)
    except OSError:
        return ""
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LONGEST_FILE:
            raise StartError("user", 0, f"/{path} of the container is no regular file of at most 1 MiB")
        return os.read(fd, LONGEST_FILE).decode("utf-8", "replace")
    finally:
        os.close(fd)


def identify(user: User, passwd: str, group: str) -> Identity:
    uid, gid, extra = user["uid"], user["gid"], list(user.get("additionalGids", []))
    name, colon, group_name = user.get("username", "").partition(":")
    entry = next((e for e in _entries(passwd, 6) if _names(e, name or str(uid))), None)
    if name:
        uid, gid = _user_ids(name, entry)
        if not colon and entry:
            extra += [_id(e[2]) for e in _entries(group, 4) if entry[0] in e[3].split(",") and _id(e[2]) >= 0]
    if group_name:
        gid = _group_id(group_name, group)
    extra += [_group_id(wanted, group) for wanted in user.get("groups", [])]
    home = entry[5] if entry and entry[5].startswith("/") else "/"
    return Identity(uid, gid, list(dict.fromkeys(extra)), home)


def _user_ids(name: str, entry: list[str] | None) -> tuple[int, int]:
    if entry and _id(entry[2]) >= 0 and _id(entry[3]) >= 0:
        return _id(entry[2]), _id(entry[3])
    if (number := _id(name)) >= 0:
        return number, 0
    raise StartError("user", 0, f"no user {name!r} in the container's /etc/passwd")


def _group_id(name: str, group: str) -> int:
    entry = next((e for e in _entries(group, 4) if _names(e, name)), None)
    number = _id(entry[2] if entry else name)
    if number < 0:
        raise StartError("user", 0, f"no group {name!r} in the container's /etc/group")
    return number


def _names(entry: list[str], wanted: str) -> bool:
    return entry[0] == wanted or (_id(wanted) >= 0 and entry[2] == wanted)


def _entries(text: str, fields: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        parts = line.strip().split(":")
        if parts[0] and not parts[0].startswith("#") and len(parts) >= fields:
            yield parts


def _id(text: str) -> int:
    """Strict: digits only, nothing past the last id; -1 otherwise."""
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        return -1
    number = int(text)
    return number if number <= _HIGHEST_ID else -1
