"""In which respect a service is not what its container was made from, in the words of the stack file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from ..stack.model import Limits, Security, Service

# These replace nothing: see config_hash in stack/parse.
_NOT_OF_THE_CONTAINER = frozenset(("config_hash", "depends_on", "profiles", "scale"))
_IN_THE_FILE = {
    "mounts": "volumes",
    "memory": "mem_limit",
    "memory_reservation": "mem_reservation",
    "memory_swap": "memswap_limit",
    "pids": "pids_limit",
    "no_new_privileges": "security_opt",
    "seccomp": "security_opt",
}


def why_replaced(old: Service, new: Service) -> str:
    """Names the keys; none when what the service uses has changed (a network, the text of a secret)."""
    keys = dict.fromkeys(_IN_THE_FILE.get(key, key) for key in _different(old, new))
    return f"its configuration changed ({', '.join(keys)})" if keys else "its configuration changed"


def _different(old: Any, new: Any) -> Iterator[str]:
    for each in fields(new):
        before, after = getattr(old, each.name), getattr(new, each.name)
        if before == after or each.name in _NOT_OF_THE_CONTAINER:
            continue
        if isinstance(after, (Limits, Security)):
            yield from _different(before, after)
        else:
            yield each.name
