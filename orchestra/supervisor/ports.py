"""Host ports of a stack: chosen, held as long as they are wanted, so that nobody else takes them meanwhile.

The sockets are stored with the keeper: while a supervisor is replaced, the port stays taken and connections wait.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

import anyio
from anyio.lowlevel import checkpoint

from ..errors import OrchestraError
from ..network.ports import hold
from ..plan.facts import Target
from ..plan.wiring import Publication
from ..stack.model import Port

Key = tuple[str, int, str]
"""(host address, host port, protocol)"""
Fresh = dict[Key, list[socket.socket]]
"""Held a moment ago, for a choice that is not complete yet."""
EPHEMERAL = (32768, 60999)
"""ip_local_port_range(7): where a port that was not named is looked for."""


class HeldPorts:
    """Changed between any two awaits: whoever goes through the keys and waits meanwhile finds some of them gone."""

    def __init__(self) -> None:
        self._sockets: dict[Key, list[socket.socket]] = {}

    def taken(self) -> set[Key]:
        return set(self._sockets)

    def sockets(self, key: Key) -> list[socket.socket]:
        """None for a port that has been released."""
        return self._sockets.get(key, [])

    def adopt(self, key: Key, sockets: list[socket.socket]) -> None:
        self._sockets[key] = sockets

    async def release(self, keys: Iterable[Key]) -> None:
        leaving = [held for key in keys for held in self._sockets.pop(key, [])]
        try:
            # Whoever waits at one leaves before it is closed: else it would wait on at the next file with its number.
            for held in leaving:
                anyio.notify_closing(held)
            await checkpoint()
        finally:
            for held in leaving:
                held.close()

    def choose(
        self,
        targets: Mapping[str, Target],
        before: Mapping[str, tuple[Publication, ...]],
        ways: Mapping[str, tuple[str, str]],
    ) -> dict[str, tuple[Publication, ...]]:
        """Container -> what it publishes; every port is held when this returns. May be called in a thread.

        `before`: what containers have now and keep; `ways`: container -> (router id, address) to publish through.
        Raises OrchestraError naming who holds a port, and holds no more than before.
        """
        fresh: Fresh = {}
        try:
            chosen = {
                name: tuple(
                    self._publication(name, target, port, before.get(name, ()), ways[name], fresh)
                    for port in target.service.ports
                )
                for name, target in sorted(targets.items())
                if target.service.ports and name in ways
            }
        except OrchestraError:
            for sockets in fresh.values():
                for each in sockets:
                    each.close()
            raise
        self._sockets.update(fresh)  # only now: until then nobody serves them, so that they can be closed again
        return chosen

    def _publication(
        self,
        name: str,
        target: Target,
        port: Port,
        before: tuple[Publication, ...],
        way: tuple[str, str],
        fresh: Fresh,
    ) -> Publication:
        owner = f"{target.service.name} ({name})"
        kept = next((one for one in before if _serves(one, port)), None)
        host_port = kept.host_port if kept else self._find(owner, target, port, fresh)
        key = (port.host_ip, host_port, port.protocol)
        if key not in self._sockets and key not in fresh:
            self._hold(owner, key, fresh)
        return Publication(owner, port.host_ip, host_port, port.protocol, way[0], way[1], port.target)

    def _find(self, owner: str, target: Target, port: Port, fresh: Fresh) -> int:
        first, last = port.published or EPHEMERAL
        if first == last:
            return first  # replicas share it: connections are spread over them
        problem: OrchestraError | None = None
        for number in range(first, last + 1):
            key = (port.host_ip, number, port.protocol)
            if key in self._sockets or key in fresh:
                continue
            try:
                self._hold(owner, key, fresh)
            except OrchestraError as taken:
                problem = taken
                continue
            return number
        raise problem or OrchestraError(
            f"cannot publish {owner}: no port of {first}-{last} is left", "give it a larger range of host ports"
        )

    def _hold(self, owner: str, key: Key, fresh: Fresh) -> None:
        try:
            fresh[key] = hold(*key)
        except OrchestraError as error:
            raise OrchestraError(f"cannot start {owner}: {error.what}", error.hint) from None


def _serves(one: Publication, port: Port) -> bool:
    first, last = port.published or EPHEMERAL
    return (
        one.port == port.target
        and one.protocol == port.protocol
        and one.host_ip == port.host_ip
        and first <= one.host_port <= last
    )
