"""Processes that a person starts by hand: `exec` in a running container, `run` as a container of its own."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from typing import Any

import anyio.to_thread

from ..errors import OrchestraError
from ..plan import apply
from ..plan.clashes import refuse_clashes
from ..plan.facts import Seen, Target, Wanted
from ..plan.launch import exec_process, files_spec
from ..plan.replacing import serves
from ..stack.model import Mount, Port, Restart, Security, Service, Stack
from ..state.users import check_name
from ..values import replace
from ..wire.codec import decode
from ..wire.frames import Message
from ..wire.terminal import line
from .api import Caller
from .execs import Execs
from .link import Refused
from .perform import Performer
from .teller import Teller
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
            ground.hostname,
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
                line(f"cannot run {message['args'][0]} in {name}: {refused.what}"), status=_status(refused)
            ) from None
        finally:
            for descriptor in nowhere:
                os.close(descriptor)
        try:
            await self._answer_start(caller, message, {"started": pid}, came)
            if message.get("detach"):
                return {"code": 0}
            ended = await self._execs.ended(ident)
        finally:
            self._execs.forget(ident)
        return {"code": UNKNOWN if ended.code is None else ended.code}

    async def _answer_start(self, caller: Caller, message: Message, fields: Reply, came: Sequence[int]) -> None:
        try:
            await caller.send({"re": message["id"], **fields}, came)
        finally:
            for descriptor in came:
                os.close(descriptor)

    async def copy(self, message: Message, descriptors: list[int], _: Caller) -> Reply:
        """Also in a container that is paused or stopped: its files are there."""
        world = self._world
        if len(descriptors) != 3:
            raise OrchestraError("copy needs three descriptors")
        name, seen = self._find_made(message["service"], int(message.get("index") or 0))
        wish: Reply = {"order": message["order"], "counted": not seen.paused}
        if not seen.alive:
            world.note(name, busy=True)  # nobody starts it meanwhile: two at a time would spoil its writable layer
        try:
            if not seen.alive:
                ground = await anyio.to_thread.run_sync(self._performer.ground_of, name, seen.service)
                wish["spec"] = files_spec(name, seen.service, ground, world.page.files)
            try:
                ident = await self._execs.copy(name, wish, descriptors)
            except Refused as refused:
                raise OrchestraError(line(f"cannot copy in {name}: {refused.what}")) from None
            finally:
                while descriptors:  # or nobody would see the end of the stream
                    os.close(descriptors.pop())
            ended = await self._execs.ended(ident)
        finally:
            if not seen.alive and name in world.seen:
                world.note(name, busy=False)
                world.ring()
        return {"code": UNKNOWN if ended.code is None else ended.code, "container": name}

    def _find_made(self, service: str, index: int) -> tuple[str, Seen]:
        """A container that runs, or else one that is there."""
        seen = self._world.seen
        names = sorted(
            (
                name
                for name in apply.names_of(self._world.wanted, seen, [service])
                if name in seen and seen[name].made
            ),
            key=lambda name: (not seen[name].alive, *self._place(name)),
        )
        chosen = next((name for name in names if index in (0, seen[name].replica)), None)
        if chosen is None:
            which = f"replica {index} of {service}" if index else service
            raise OrchestraError(f"there is no container of {which}", f"orchestra create {service} makes one")
        if seen[chosen].busy:
            raise OrchestraError(f"{chosen} is just being started or stopped", "try again in a moment")
        return chosen, seen[chosen]

    async def attach(self, message: Message, _: list[int], caller: Caller) -> Reply:
        world = self._world
        name, seen = self._find(message["service"], int(message.get("index") or 0))
        run = seen.run
        assert run is not None
        fields = {"attached": name, "tty": seen.service.tty, "logs": world.places.logs(name)}
        wanted = message.get("stdin") and (seen.service.tty or seen.service.stdin_open)
        await self._answer_start(caller, message, fields, self._input(name, seen.service) if wanted else ())
        while (now := world.seen.get(name)) is not None and now.run is not None and now.run.number == run.number:
            if not now.alive:
                return {"code": UNKNOWN if now.run.code is None else now.run.code}
            await world.changed()
        return {"code": UNKNOWN}  # it has begun anew meanwhile, or is gone

    def _input(self, name: str, service: Service) -> list[int]:
        """A way into its standard input; none where it was lost with an earlier keeper."""
        if not service.tty:
            try:
                return [os.open(f"{self._world.places.fifos}/{name}.in", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)]
            except OSError:
                return []
        master = self._performer.shelf.terminal_of(name)
        return [] if master is None else [os.dup(master)]

    def _place(self, name: str) -> tuple[bool, int]:
        """Who serves comes before who is to replace it or has been replaced."""
        return not serves(self._world.wanted, name), _replica(self._world.seen, name)

    def _find(self, service: str, index: int) -> tuple[str, Seen]:
        seen = self._world.seen
        names = sorted(apply.names_of(self._world.wanted, seen, [service]), key=self._place)
        alive = [name for name in names if name in seen and seen[name].alive]
        chosen = [name for name in alive if index in (0, seen[name].replica)]
        if not chosen:
            which = (
                f"{service} has no replica {index} that runs"
                if index and alive
                else f"service {service} does not run"
            )
            raise OrchestraError(which, f"orchestra start {service}, or orchestra ps -a to see why")
        if seen[chosen[0]].paused:
            raise OrchestraError(f"{chosen[0]} is paused", f"orchestra unpause {service}")
        return chosen[0], seen[chosen[0]]

    def plan(self, message: Message, stack: Stack) -> tuple[str, Wanted, Stack]:
        """The name of the one-off container, what is wanted with it, and the stack that it belongs to."""
        world = self._world
        if message["service"] not in stack.services:
            raise OrchestraError(
                f"no such service: {message['service']}", f"services are {', '.join(sorted(stack.services))}"
            )
        service = stack.services[message["service"]]
        name = message.get("name") or f"{stack.name}-{service.name}-run-{os.urandom(6).hex()}"
        check_name("container", name)  # it becomes part of paths
        if name in world.seen or name in world.wanted.targets:
            raise OrchestraError(f"a container {name} exists already", "choose another --name")
        there = {*stack.services, *stack.uses}
        needed = [need.service for need in service.depends_on if need.service in there]
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
        refuse_clashes(wanted.targets, world.seen, {service.name}, {})
        kept = stack if not world.page.stack.services else world.page.stack
        return name, wanted, kept

    async def run(self, name: str, message: Message, caller: Caller, changed: Mapping[str, str]) -> Reply:
        """Wait for its start, hand over its terminal, wait for its end. `changed`: see `Wishes`."""
        world = self._world
        try:
            await self._until_it_starts(name, message, caller, changed)
            came = await self._performer.started(name)
            seen = world.seen[name]
            await self._answer_start(caller, message, {"started": world.pids.get(name, 0), "name": name}, came)
            if message.get("detach"):
                return {"code": 0, "name": name}
            run = seen.run
            while (now := world.seen.get(name)) is not None and now.run is not None:
                run = now.run
                if not run.alive:
                    break
                await world.changed()
            return {"code": UNKNOWN if run is None or run.code is None else run.code, "name": name}
        finally:
            if message.get("remove") and not message.get("detach"):
                world.change(wanted=apply.without(world.wanted, world.seen, [name], None))
                world.ring()

    async def _until_it_starts(self, name: str, message: Message, caller: Caller, changed: Mapping[str, str]) -> None:
        """Tell of what it depends on meanwhile. Raises OrchestraError when something will always hold it back."""
        world = self._world
        teller = Teller(world, caller, message["id"], self._needed(name))
        try:
            await caller.send({"re": message["id"], "accepted": True})
            while name in world.wanted.targets:
                seen = world.seen.get(name)
                if seen is not None and seen.run is not None:
                    return
                hold = next((hold for hold in world.plan.holds if hold.container == name), None)
                if hold is not None and hold.hopeless:
                    await teller.tell()
                    raise OrchestraError(
                        line(f"cannot start {name}: {hold.reason}"), "orchestra logs and orchestra ps tell more"
                    )
                await teller.tell_in_time()
                await teller.wait()
            by = f" by {changed[name]}" if name in changed else ""
            raise OrchestraError(f"{name} was taken away before it could start{by}")
        except BaseException:
            # Nobody would be there any more when it starts after all.
            self._performer.expect_no_more(name)
            world.change(wanted=apply.without(world.wanted, world.seen, [name], None))
            world.ring()
            raise

    def _needed(self, name: str) -> list[str]:
        """The containers that it depends on, and those that they depend on."""
        targets = self._world.wanted.targets
        found: dict[str, None] = {}
        todo = [name] if name in targets else []
        while todo:
            services = {need.service for need in targets[todo.pop()].service.depends_on}
            fresh = [other for other, one in targets.items() if one.service.name in services and other not in found]
            fresh = [other for other in fresh if not targets[other].oneoff]
            found.update(dict.fromkeys(fresh))
            todo += fresh
        return list(found)


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
    if refused.failure.get("step") == "cwd":
        return NOT_FOUND if refused.failure.get("errno") == errno.ENOENT else CANNOT_START
    return int(
        refused.failure.get("code")
        or {2: NOT_FOUND, 13: CANNOT_START}.get(refused.failure.get("errno", 0), CANNOT_START)
    )
