"""Another number of replicas than the file says."""

from __future__ import annotations

from collections.abc import Mapping

from orchestra.values import replace

from ..errors import OrchestraError
from .model import Stack

MOST_CONTAINERS = 1000
"""Of one stack: as many as a bridge has ports for. Whoever asks for more has a number that is wrong."""


def scaled(stack: Stack, scales: Mapping[str, int]) -> Stack:
    """The stack with these numbers of replicas. Raises OrchestraError where there cannot be so many."""
    services = dict(stack.services)
    for name, number in scales.items():
        if name not in services:
            raise OrchestraError(f"stack {stack.name} has no service {name}")
        if number > 1 and (fixed := services[name].container_name):
            raise OrchestraError(
                f"cannot run {number} containers of {name}: its container_name {fixed} can be used once only",
                "take container_name out of the stack file",
            )
        services[name] = replace(services[name], scale=number)
    total = sum(service.scale for service in services.values())
    if scales and total > MOST_CONTAINERS:
        raise OrchestraError(f"{total} containers are asked for, a stack has {MOST_CONTAINERS} at most")
    return replace(stack, services=services) if scales else stack
