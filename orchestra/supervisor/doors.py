"""What the stack serves itself, beside its containers: held ports and resolvers. Follows what is there."""

from __future__ import annotations

import socket
from functools import partial

import anyio
import anyio.abc
import anyio.to_thread

from ..errors import OrchestraError
from ..network.routers import dns_sockets
from ..plan.replacing import serves
from .names import Resolver
from .ports import HeldPorts, Key
from .relay import Relay
from .shelf import Shelf
from .world import World

PORT, DNS = "port", "dns"
RETRY = 1.0
"""Seconds after which a resolver that could not be opened is tried again."""


class Doors:
    def __init__(self, world: World, held: HeldPorts, shelf: Shelf, tasks: anyio.abc.TaskGroup) -> None:
        self._world = world
        self._held = held
        self._shelf = shelf
        self._tasks = tasks
        self._relay = Relay(held, self._backends, tasks, partial(world.journal.tell, "notice"))
        self._resolvers: dict[str, anyio.CancelScope] = {}
        self._unserved: dict[str, str] = {}  # network key -> why nobody answers names there

    async def take_back(self) -> None:
        """Sockets of an earlier supervisor: ports are held by them again, resolvers find them when they start."""
        for thing, sockets in (await self._shelf.fetch()).items():
            kind, _, rest = thing.partition(" ")
            if kind == PORT:
                self._held.adopt(_key(rest), sockets)
            elif len(sockets) == 2:
                self._world.resolvers[rest] = sockets
            else:  # of a supervisor that was killed between storing the one and the other
                for one in sockets:
                    one.close()

    async def follow(self) -> None:
        while True:
            await self._shelve_ports()
            self._relay.look()
            networks = set(self._world.networks)
            for gone in set(self._resolvers) - networks:
                self._resolvers.pop(gone).cancel()
                await self._shelf.drop(f"{DNS} {gone}")
            for key in networks - set(self._resolvers):
                scope = self._resolvers[key] = anyio.CancelScope()
                self._tasks.start_soon(self._resolve, key, scope)
            await self._world.changed()

    async def _shelve_ports(self) -> None:
        held = {f"{PORT} {','.join(map(str, key))}": key for key in self._held.taken()}
        for thing in self._shelf.things():
            if thing.startswith(f"{PORT} ") and thing not in held:
                await self._shelf.drop(thing)
        for thing, key in held.items():
            if sockets := self._held.sockets(key):  # none if it was released during one of the waits in here
                await self._shelf.keep(thing, sockets)

    async def _resolve(self, key: str, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                sockets = self._world.resolvers.pop(key, None) or await self._open(key)
                await self._shelf.keep(f"{DNS} {key}", sockets)
            except (OSError, OrchestraError) as error:
                if self._unserved.get(key) != str(error):
                    self._unserved[key] = str(error)
                    self._world.journal.tell("notice", f"no name service in network {key}: {error}")
                await anyio.sleep(RETRY)
                if self._resolvers.get(key) is scope:
                    del self._resolvers[key]  # tried again when it is looked next
                return
            self._unserved.pop(key, None)
            udp, tcp = sockets
            with udp, tcp:
                await Resolver(self._world, key, udp, tcp).serve()

    async def _open(self, key: str) -> list[socket.socket]:
        return list(await anyio.to_thread.run_sync(dns_sockets, self._world.page.routers[key]))

    def _backends(self, key: Key) -> list[tuple[str, int]]:
        return [
            (one.address, one.port)
            for name, published in self._world.page.ports.items()
            if name in self._world.seen and self._world.seen[name].alive and serves(self._world.wanted, name)
            for one in published
            if (one.host_ip, one.host_port, one.protocol) == key
        ]


def _key(text: str) -> Key:
    ip, number, protocol = text.rsplit(",", 2)
    return ip, int(number), protocol
