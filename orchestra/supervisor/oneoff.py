"""Processes that a person starts by hand: `exec` in a running container, `run` as a container of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio.to_thread

from ..errors import OrchestraError
from ..plan import apply
from ..plan.facts import Seen, Target, Wanted
from ..plan.launch import exec_process
from ..stack.model import Mount, Port, Restart, Security, Service, Stack
from ..wire.codec import decode
from ..wire.frames import Message
from .api import Caller
from .execs import Execs
from .link import Refused
from .perform import Performer
from .world import World

Reply = dict[str, Any]
CANNOT_START = 126
NOT_FOUND = 127
UNKNOWN = 125


class OneOffs:
    def __init__(self, world: World, execs: Execs, performer: Performer) -> None:
        self._world = world
        self._execs = execs
        self._performer = performer

    async def execute(self, message: Message, descriptors: list[int], caller: Caller) -> Reply:
        name, seen = self._find(message["service"], int(message.get("index") or 0))
        service = seen.service
        if message.get("privileged"):
            service = replace(service, security=Security(privileged=True))
        ground = await anyio.to_thread.run_sync(self._performer.ground_of, name, service)
        process = exec_process(
            service,
            ground.path,
            message["args"],
            message.get("env") or (),
            message.get("cwd"),
            message.get("user"),
            bool(message.get("tty")),
        )
        nowhere = [] if descriptors or process["terminal"] else [os.open(os.devnull, os.O_RDWR)]
        try:
            streams = descriptors or nowhere * 3
            ident, pid, came = await self._execs.start(name, process, ground.seccomp, streams)
        except Refused as refused:
            raise OrchestraError(
                f"cannot run {message['args'][0]} in {name}: {refused.what}", status=_status(refused)
            ) from None
        finally:
            for descriptor in nowhere:
                os.close(descriptor)
        await self._answer_start(caller, message, {"started": pid}, came)
        if message.get("detach"):
            self._execs.forget(ident)
            return {"code": 0}
        ended = await self._execs.ended(ident)
        return {"code": UNKNOWN if ended.code is None else ended.code}

    async def _answer_start(self, caller: Caller, message: Message, fields: Reply, came: Sequence[int]) -> None:
        try:
            await caller.send({"re": message["id"], **fields}, came)
        finally:
            for descriptor in came:
                os.close(descriptor)

    def _find(self, service: str, index: int) -> tuple[str, Seen]:
        seen = self._world.seen
        names = sorted(apply.names_of(self._world.wanted, seen, [service]), key=lambda name: _replica(seen, name))
        alive = [name for name in names if name in seen and seen[name].alive]
        chosen = [name for name in alive if index in (0, seen[name].replica)]
        if not chosen:
            which = (
                f"{service} has no replica {index} that runs"
                if index and alive
                else f"service {service} does not run"
            )
            raise OrchestraError(which, f"orchestra start {service}, or orchestra ps -a to see why")
        return chosen[0], seen[chosen[0]]

    def plan(self, message: Message, stack: Stack) -> tuple[str, Wanted, Stack]:
        """The name of the one-off container, what is wanted with it, and the stack that it belongs to."""
        world = self._world
        if message["service"] not in stack.services:
            raise OrchestraError(
                f"no such service: {message['service']}", f"services are {', '.join(sorted(stack.services))}"
            )
        service = stack.services[message["service"]]
        name = message.get("name") or f"{stack.name}-{service.name}-run-{secrets.token_hex(6)}"
        if name in world.seen or name in world.wanted.targets:
            raise OrchestraError(f"a container {name} exists already", "choose another --name")
        needed = [need.service for need in service.depends_on if need.service in stack.services]
        wanted = world.wanted
        if needed and not message.get("no_deps"):
            wanted = apply.applied(wanted, world.seen, stack, needed, "diverged", False, False, False)
        oneoff = _oneoff(service, message, world.page.stack.name)
        if message.get("no_deps"):
            oneoff = replace(oneoff, depends_on=())
        used = {join.network for join in oneoff.networks}
        wanted = replace(
            wanted,
            targets={**wanted.targets, name: Target(oneoff, 1, oneoff=True)},
            networks={**wanted.networks, **{key: net for key, net in stack.networks.items() if key in used}},
            volumes={**wanted.volumes, **stack.volumes},
        )
        kept = stack if not world.page.stack.services else world.page.stack
        return name, wanted, kept

    async def run(self, name: str, message: Message, caller: Caller) -> Reply:
        """Wait for its start, hand over its terminal, wait for its end."""
        world = self._world
        try:
            came = await self._performer.started(name)
            seen = world.seen[name]
            await self._answer_start(caller, message, {"started": world.pids.get(name, 0), "name": name}, came)
            if message.get("detach"):
                return {"code": 0, "name": name}
            while (seen := world.seen[name]).alive or seen.run is None:
                await world.changed()
            assert seen.run is not None
            return {"code": UNKNOWN if seen.run.code is None else seen.run.code, "name": name}
        finally:
            if message.get("remove") and not message.get("detach"):
                world.change(wanted=apply.without(world.wanted, [name], None))
                world.ring()


def _oneoff(service: Service, message: Message, stack: str) -> Service:
    """As `docker compose run`: no restart, no ports unless asked for, no alias unless asked for."""
    command = service.command if message.get("args") is None else tuple(message["args"])
    ports = tuple(decode(Port, port) for port in message.get("ports") or ())
    if message.get("service_ports"):
        ports += service.ports
    entrypoint = service.entrypoint
    if message.get("entrypoint") is not None:
        entrypoint = tuple(message["entrypoint"])
        command = tuple(message.get("args") or ())
    environment = dict(service.environment)
    environment.update(entry.partition("=")[::2] for entry in message.get("env") or ())
    return replace(
        service,
        name=service.name,
        entrypoint=entrypoint,
        command=command,
        environment=environment,
        working_dir=message.get("cwd") or service.working_dir,
        user=message.get("user") or service.user,
        labels={**service.labels, **(message.get("labels") or {})},
        mounts=service.mounts + tuple(decode(Mount, mount) for mount in message.get("mounts") or ()),
        ports=ports,
        restart=Restart(),
        on_unhealthy="none",
        scale=1,
        container_name="",
        tty=bool(message.get("tty")),
        stdin_open=False,
        networks=tuple(
            join if message.get("use_aliases") else replace(join, aliases=(), ipv4_address=None)
            for join in service.networks
        ),
    )


def _replica(seen: dict[str, Seen], name: str) -> int:
    return seen[name].replica if name in seen else 0


def _status(refused: Refused) -> int:
    return int(
        refused.failure.get("code")
        or {2: NOT_FOUND, 13: CANNOT_START}.get(refused.failure.get("errno", 0), CANNOT_START)
    )
