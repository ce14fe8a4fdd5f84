"""Host ports of a stack: chosen, held as long as they are wanted, so that nobody else takes them meanwhile.

The sockets are stored with the keeper: while a supervisor is replaced, the port stays taken and connections wait.
A long range has no sockets: a lease keeps other stacks from it.
"""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence

import anyio
from anyio.lowlevel import checkpoint

from ..errors import OrchestraError
from ..network.ports import hold, refuse_taken
from ..plan.facts import Target
from ..plan.portranges import PortRange, fixed_range, range_of
from ..plan.wiring import Publication
from ..stack.model import UNFOLDED, Port

Key = tuple[str, int, str]
"""(host address, host port, protocol)"""
Fresh = dict[Key, list[socket.socket]]
"""Held a moment ago, for a choice that is not complete yet."""
EPHEMERAL = (32768, 60999)
"""ip_local_port_range(7): where a port that was not named is looked for."""
SHARE = 4
"""One in so many of the descriptors that a process may have are for held ports; each of them has two at the most."""


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
        leased: Mapping[str, Sequence[PortRange]],
        running: Collection[str] = (),
    ) -> dict[str, tuple[Publication, ...]]:
        """Container -> what it publishes; every port is held when this returns. May be called in a thread.

        `before`: what containers have now and keep; `ways`: container -> (router id, address) to publish through;
        `leased`: stack -> long ranges that it has; `running`: containers that serve what they have. Raises
        OrchestraError naming who holds a port, and holds no more than before.
        """
        published = {name: one for name, one in sorted(targets.items()) if one.service.ports and name in ways}
        _refuse_too_many(published)
        others = {each: f"stack {stack}" for stack, ranges in leased.items() for each in ranges}
        whole = {**others, **self._own(published, before, others, running)}
        fresh: Fresh = {}
        try:
            chosen = {
                name: tuple(
                    self._publication(name, target, port, before.get(name, ()), ways[name], fresh, others, whole)
                    for port in target.service.ports
                )
                for name, target in published.items()
            }
        except OrchestraError:
            for sockets in fresh.values():
                for each in sockets:
                    each.close()
            raise
        self._sockets.update(fresh)  # only now: until then nobody serves them, so that they can be closed again
        return chosen

    def _own(
        self,
        targets: Mapping[str, Target],
        before: Mapping[str, tuple[Publication, ...]],
        others: Mapping[PortRange, str],
        running: Collection[str],
    ) -> dict[PortRange, str]:
        """Long ranges of these targets, and whose they are: of several services, where one of them runs, see
        plan/clashes. Raises OrchestraError where somebody else has a port of one."""
        found: dict[PortRange, str] = {}
        ours = {os.fstat(held.fileno()).st_ino for sockets in self._sockets.values() for held in sockets}
        for name, target in targets.items():
            # Nobody was kept from its ports meanwhile, and who came later does not stop what is there.
            had = long_ranges(before.get(name, ())) if name in running or target.stopped else set()
            for port in target.service.ports:
                asked = fixed_range(port)
                if port.count == 1 or asked is None or asked in found:
                    continue  # replicas share a range
                owner = f"{target.service.name} ({name})"
                _refuse_met(owner, asked, others)
                try:
                    if asked not in had:
                        refuse_taken(asked.host_ip, asked.first, asked.last, asked.protocol, ours)
                except OrchestraError as error:
                    raise OrchestraError(f"cannot start {owner}: {error.what}", error.hint) from None
                found[asked] = target.service.name
        return found

    def _publication(
        self,
        name: str,
        target: Target,
        port: Port,
        before: tuple[Publication, ...],
        way: tuple[str, str],
        fresh: Fresh,
        others: Mapping[PortRange, str],
        whole: Mapping[PortRange, str],
    ) -> Publication:
        owner = f"{target.service.name} ({name})"
        if port.count > 1:
            assert port.published is not None
            first = port.published[0]
            return Publication(owner, port.host_ip, first, port.protocol, *way, port.target, port.count)
        kept = next((one for one in before if _serves(one, port) and not _holder(range_of(one), whole)), None)
        host_port = kept.host_port if kept else self._find(owner, port, fresh, others, whole)
        key = (port.host_ip, host_port, port.protocol)
        if key not in self._sockets and key not in fresh:
            self._hold(owner, key, fresh)
        return Publication(owner, port.host_ip, host_port, port.protocol, way[0], way[1], port.target)

    def _find(
        self,
        owner: str,
        port: Port,
        fresh: Fresh,
        others: Mapping[PortRange, str],
        whole: Mapping[PortRange, str],
    ) -> int:
        first, last = port.published or EPHEMERAL
        if first == last:
            _refuse_met(owner, PortRange(port.host_ip, first, last, port.protocol), others)
            return first  # replicas share it: connections are spread over them
        problem: OrchestraError | None = None
        for number in range(first, last + 1):
            key = (port.host_ip, number, port.protocol)
            asked = PortRange(port.host_ip, number, number, port.protocol)
            if key in self._sockets or key in fresh or _holder(asked, whole):
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


def _refuse_too_many(targets: Mapping[str, Target]) -> None:
    """Before the first one is held. Raises OrchestraError."""
    singles = {
        (port, "" if (asked := fixed_range(port)) and asked.first == asked.last else name)
        for name, target in targets.items()
        for port in target.service.ports
        if port.count == 1
    }
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SHARE // 2
    if len(singles) > most:
        raise OrchestraError(
            f"cannot publish {len(singles)} ports: a stack has {most} at the most, since each is held by sockets",
            f"publish neighbours as one range of more than {UNFOLDED} ports, which needs none; or raise `ulimit -n`",
        )


def _refuse_met(owner: str, asked: PortRange, others: Mapping[PortRange, str]) -> None:
    holder = _holder(asked, others)
    if holder:
        raise OrchestraError(
            f"cannot start {owner}: cannot publish host port {asked}: it is used by {holder}",
            "choose another host port or stop it",
        )


def _holder(asked: PortRange, whole: Mapping[PortRange, str]) -> str:
    """Who has a long range with a port of these in it; "" for nobody."""
    return next((f"{who}, which has {held}" for held, who in whole.items() if held.meets(asked)), "")


def long_ranges(published: Iterable[Publication]) -> set[PortRange]:
    return {range_of(one) for one in published if one.count > 1}


def _serves(one: Publication, port: Port) -> bool:
    first, last = port.published or EPHEMERAL
    return (
        one.count == 1
        and one.port == port.target
        and one.protocol == port.protocol
        and one.host_ip == port.host_ip
        and first <= one.host_port <= last
    )
