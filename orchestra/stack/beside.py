"""Whether two containers of one service can be there at the same time, as replacing it start-first needs.

A module of its own: a supervisor asks, which has no use for what reads stack files.
"""

from __future__ import annotations

from collections.abc import Iterable

from orchestra.stack.model import Service


def why_not_beside(service: Service, others: Iterable[Service]) -> str:
    """Why two containers of this service cannot be there at the same time; "" if they can."""
    if service.container_name:
        return f"its container_name {service.container_name} can be used once only"
    if service.network_mode == "host" or service.network_mode.startswith("service:"):
        return f"with network_mode: {service.network_mode} both would want the same ports"
    if any(join.ipv4_address or join.mac_address for join in service.networks):
        return "its fixed address can be used once only"
    if anonymous := [mount.target for mount in service.mounts if mount.type == "volume" and not mount.source]:
        return f"{anonymous[0]} is kept in a volume without a name, which belongs to one container"
    if sharers := [other.name for other in others if other.network_mode == f"service:{service.name}"]:
        return f"{sharers[0]} shares its network"
    return ""
