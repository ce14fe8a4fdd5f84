"""Files that a later version wrote: to write or to move one would spoil it for that version.

Apart from state/files, since every command that changes something looks at a first line, and json takes its time.
"""

from __future__ import annotations

import os

from .. import ours
from ..errors import OrchestraError
from ..wire.compact import loads

VERSION = 1
"""Of the JSON files that state/files writes."""
LONGEST_HEAD = 1024


class Newer(OrchestraError):
    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} was written by a newer orchestra; nothing was changed",
            "use that version, or another ORCHESTRA_HOME",
        )


def is_newer(version: object) -> bool:
    return isinstance(version, int) and version > VERSION


def refuse_newer(*paths: str) -> None:
    """Raises Newer where one of these files is; reads no more than its first line."""
    for path in paths:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            head = os.read(handle, LONGEST_HEAD).partition(b"\n")[0]
            newer = is_newer(loads(head.decode())["version"])
        except (OSError, *ours.MALFORMED):
            newer = False
        finally:
            os.close(handle)
        if newer:
            raise Newer(path)
