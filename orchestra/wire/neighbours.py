"""What clients ask about networks: who is in which, under which names, and who talks to whom. As in `wire/api`."""

from __future__ import annotations

from typing import Literal, TypedDict


class NetworkRow(TypedDict):
    key: str  # in the stack file
    name: str  # "store_default"
    subnet: str
    gateway: str
    internal: bool  # nothing gets out of it, or into it
    names: dict[str, list[str]]  # what the resolver answers there: name -> addresses


class TalkRow(TypedDict):
    """Connections of one container to or from one other place. One between two containers of the stack is told by
    both, by each as far as it sees it."""

    container: str
    service: str
    peer: str  # its address
    peer_container: str  # "" for what is none of this stack's networks: the machine, the world
    peer_service: str
    port: int  # of the side that was called
    inward: bool  # this container is the one that was called
    open: int
    recent: int  # closed within the last minute


class NetworksRequest(TypedDict):
    """Done: {"networks": [NetworkRow], "talks": [TalkRow]}."""

    id: int
    do: Literal["networks"]
