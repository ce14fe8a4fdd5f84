"""In which respect a service is not what its container was made from, in the words of the stack file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from ..stack.model import Limits, Security, Service, Stack
from ..values import replace

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
OF_FILES = "the file of a secret or config that it is given"

CONTENTS = "+"
"""Behind it stands what the files of a service's secrets and configs said when it was asked for."""

GENERATION = "~"
"""Behind it stands how often a configuration was replaced by force, so that it counts as another one."""


def base_of(service: Service) -> str:
    """The hash of what was asked for, however often."""
    return service.config_hash.partition(GENERATION)[0]


def said_of(service: Service) -> str:
    """The hash of what the stack file says."""
    return base_of(service).partition(CONTENTS)[0]


def with_contents(stack: Stack, digests: Mapping[str, str]) -> Stack:
    """The same stack, with what the files say that its services are given; `digests` as for `contents_of`."""
    services = {}
    for name, service in stack.services.items():
        contents = contents_of(service, digests)
        config = f"{said_of(service)}{CONTENTS}{contents}" if contents else service.config_hash
        services[name] = replace(service, config_hash=config)
    return replace(stack, services=services)


def contents_of(service: Service, digests: Mapping[str, str]) -> str:
    """What stands behind CONTENTS, "" for a service that is given no file. `digests`: "secret/NAME" and "config/NAME"
    -> of what its file says."""
    from hashlib import blake2b  # nothing that a command loads

    given = sorted((key, digests[key]) for key in granted(service) if key in digests)
    return blake2b(repr(given).encode(), digest_size=16).hexdigest() if given else ""


def granted(service: Service) -> list[str]:
    return [f"secret/{one.source}" for one in service.secrets] + [f"config/{one.source}" for one in service.configs]


def why_replaced(old: Service, new: Service) -> str:
    """Names the keys, as far as they are the service's own."""
    if base_of(old) == base_of(new):
        return "a new one was asked for"
    keys = dict.fromkeys(_IN_THE_FILE.get(key, key) for key in _different(old, new))
    unsaid = OF_FILES if said_of(old) == said_of(new) else OF_OTHERS
    return f"its configuration changed ({', '.join(keys) or unsaid})"


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
