"""Who uses what does not belong to one stack alone, and how such a thing may be called."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from ..errors import OrchestraError
from ..places import Home

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
"""What docker allows (moby, names.RestrictedNamePattern)."""
LONGEST = 200
"""Characters: names of files are made of it, which have 255 at most."""


def check_name(kind: str, name: str) -> None:
    """Raises OrchestraError for what cannot be the name of a network, a volume or a container."""
    if len(name) > LONGEST:
        raise OrchestraError(f"the name of {kind} {name[:20]}… is too long", f"use {LONGEST} characters at most")
    if not NAME.fullmatch(name):
        raise OrchestraError(f"{name!r} is no name for a {kind}", "use letters, digits, _, . and -")


def users(home: Home, holders: Iterable[str]) -> list[str]:
    """Stacks among the holders ("STACK/CONTAINER"), without those of which nothing is left on this machine."""
    stacks = sorted({holder.partition("/")[0] for holder in holders})
    return [each for each in stacks if os.path.exists(home.stack(each).wanted) or os.path.isdir(home.stack(each).run)]
