"""Host ports of a stack: chosen, held as long as they are wanted, so that nobody else takes them meanwhile.

The sockets are stored with the keeper: while a supervisor is replaced, the port stays taken and connections wait.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from ..errors import OrchestraError
from ..network.ports import hold
from ..plan.facts import Target
from ..plan.wiring import Publication
from ..stack.model import Port

Key = tuple[str, int, str]
"""(host address, host port, protocol)"""
EPHEMERAL = (32768, 60999)
"""ip_local_port_range(7): where a port that was not named is looked for."""


class HeldPorts:
    def __init__(self) -> None:
        self._sockets: dict[Key, list[socket.socket]] = {}

    def taken(self) -> set[Key]:
        return set(self._sockets)

    def sockets(self, key: Key) -> list[socket.socket]:
        return self._sockets[key]

    def adopt(self, key: Key, sockets: list[socket.socket]) -> None:
        self._sockets[key] = sockets

    def release(self, keys: Iterable[Key]) -> None:
        for key in keys:
            for held in self._sockets.pop(key, []):
                held.close()

    def choose(
        self,
        targets: Mapping[str, Target],
        before: Mapping[str, tuple[Publication, ...]],
        ways: Mapping[str, tuple[str, str]],
    ) -> dict[str, tuple[Publication, ...]]:
        """Container -> what it publishes; every port is held when this returns.

        `before`: what containers have now and keep; `ways`: container -> (router id, address) to publish through.
        Raises OrchestraError naming who holds a port, and holds no more than before.
        """
        fresh: list[Key] = []
        try:
            return {
                name: tuple(
                    self._publication(name, target, port, before.get(name, ()), ways[name], fresh)
                    for port in target.service.ports
                )
                for name, target in sorted(targets.items())
                if target.service.ports and name in ways
            }
        except OrchestraError:
            self.release(fresh)
            raise

    def _publication(
        self,
        name: str,
        target: Target,
        port: Port,
        before: tuple[Publication, ...],
        way: tuple[str, str],
        fresh: list[Key],
    ) -> Publication:
        owner = f"{target.service.name} ({name})"
        kept = next((one for one in before if _serves(one, port)), None)
        host_port = kept.host_port if kept else self._find(owner, target, port, fresh)
        key = (port.host_ip, host_port, port.protocol)
        if key not in self._sockets:
            self._hold(owner, key, fresh)
        return Publication(owner, port.host_ip, host_port, port.protocol, way[0], way[1], port.target)

    def _find(self, owner: str, target: Target, port: Port, fresh: list[Key]) -> int:
        first, last = port.published or EPHEMERAL
        if first == last:
            return first  # replicas share it: connections are spread over them
        problem: OrchestraError | None = None
        for number in range(first, last + 1):
            key = (port.host_ip, number, port.protocol)
            if key in self._sockets:
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

    def _hold(self, owner: str, key: Key, fresh: list[Key]) -> None:
        try:
            self._sockets[key] = hold(*key)
        except OrchestraError as error:
            raise OrchestraError(f"cannot start {owner}: {error.what}", error.hint) from None
        fresh.append(key)


def _serves(one: Publication, port: Port) -> bool:
    first, last = port.published or EPHEMERAL
    return (
        one.port == port.target
        and one.protocol == port.protocol
        and one.host_ip == port.host_ip
        and first <= one.host_port <= last
    )
