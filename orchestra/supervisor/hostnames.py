"""What containers call themselves: in UTS, HOSTNAME, /etc/hosts and for the resolver."""

from __future__ import annotations

from functools import cache

from ..places import Places
from ..plan.names import own_hostname
from ..stack.model import Service

MACHINE_ID = "/etc/machine-id"


def hostname_of(places: Places, container: str, service: Service) -> str:
    return service.hostname or _own(places.home.run, places.name, container)


@cache
def _own(run: str, stack: str, container: str) -> str:
    return own_hostname(_machine(), run, stack, container)


@cache
def _machine() -> str:
    """The same stack on two machines may meet at one broker. The hash does not tell the id (machine-id(5))."""
    try:
        with open(MACHINE_ID) as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""
