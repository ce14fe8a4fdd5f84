"""The words of a mount's `options`, sorted: attributes of the mount, options of the file system, words of ours.

OCI runtime specification, config.md, Mounts; mount(8).
"""

from __future__ import annotations

from collections.abc import Iterable

from . import syscalls as s

_ATTRIBUTES = {
    "ro": s.MOUNT_ATTR_RDONLY,
    "nosuid": s.MOUNT_ATTR_NOSUID,
    "nodev": s.MOUNT_ATTR_NODEV,
    "noexec": s.MOUNT_ATTR_NOEXEC,
}
_DEFAULTS = frozenset(("rw", "dev", "exec", "private", "rprivate", "defaults", "relatime", "z", "Z", "bind"))
_OWN = frozenset(("rbind", "idmap", "newinstance", "suid"))


class Options:
    """`attributes` for mount_setattr(2), `settings` for fsconfig(2) (value None: a flag), `words` for us."""

    __slots__ = ("attributes", "settings", "words")

    def __init__(self, options: Iterable[str]) -> None:
        self.attributes = 0
        self.settings: dict[str, str | None] = {}
        self.words: set[str] = set()
        for option in options:
            self._take(option)

    def _take(self, option: str) -> None:
        if option in _ATTRIBUTES:
            self.attributes |= _ATTRIBUTES[option]
        elif option in _OWN:
            self.words.add(option)
        elif option not in _DEFAULTS:
            key, equals, value = option.partition("=")
            self.settings[key] = value if equals else None

    @property
    def readonly(self) -> bool:
        return bool(self.attributes & s.MOUNT_ATTR_RDONLY)
