"""The small program that is pid 1 where a service says `init: true`; its source is init.c beside this."""

from __future__ import annotations

import fcntl
import os

from ..failure import step

_MFD_EXEC = 0x10
_F_ADD_SEALS, _NO_CHANGE = 1033, 0xF


def program() -> int:
    """The program in a sealed memory file: nothing in a container can write to it through /proc/1/exe."""
    with step("init"):
        path = os.path.join(os.path.dirname(__file__), f"init.{os.uname().machine}")
        with open(path, "rb") as file:
            text = file.read()
        fd = _memory_file()
        os.write(fd, text)
        fcntl.fcntl(fd, _F_ADD_SEALS, _NO_CHANGE)
        return fd


def _memory_file() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("init", flags | _MFD_EXEC)
    except OSError:
        return os.memfd_create("init", flags)  # before Linux 6.3 each one is executable
