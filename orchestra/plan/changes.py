"""In which respect a service is not what its container was made from, in the words of the stack file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from ..stack.model import Limits, Security, Service

# These replace nothing: see config_hash in stack/parse.
_NOT_OF_THE_CONTAINER = frozenset(("config_hash", "depends_on", "profiles", "scale", "update"))
_IN_THE_FILE = {
    "mounts": "volumes",
    "memory": "mem_limit",
    "memory_reservation": "mem_reservation",
    "memory_swap": "memswap_limit",
    "pids": "pids_limit",
    "blkio": "blkio_config",
    "ingress": "deploy.resources.limits.network",
    "egress": "deploy.resources.limits.network",
    "no_new_privileges": "security_opt",
    "seccomp": "security_opt",
}

OF_OTHERS = "a network, volume, secret or config that it uses"

GENERATION = "~"
"""Behind it stands how often a configuration was replaced by force, so that it counts as another one."""


def base_of(service: Service) -> str:
    """The hash of what the file says."""
    return service.config_hash.partition(GENERATION)[0]


def why_replaced(old: Service, new: Service) -> str:
    """Names the keys, as far as they are the service's own."""
    if base_of(old) == base_of(new):
        return "a new one was asked for"
    keys = dict.fromkeys(_IN_THE_FILE.get(key, key) for key in _different(old, new))
    return f"its configuration changed ({', '.join(keys) or OF_OTHERS})"


def different_keys(old: Limits, new: Limits) -> list[str]:
    return list(dict.fromkeys(_IN_THE_FILE.get(key, key) for key in _different(old, new)))


def _different(old: Any, new: Any) -> Iterator[str]:
    for each in fields(new):
        before, after = getattr(old, each.name), getattr(new, each.name)
        if before == after or each.name in _NOT_OF_THE_CONTAINER:
            continue
        if isinstance(after, (Limits, Security)):
            yield from _different(before, after)
        else:
            yield each.name
