"""One step of a plan, one call to a workshop or to the keeper. Nothing is decided here: what fails is noted as a
fact, and the next look says what follows from it.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import anyio
import anyio.to_thread

from ..errors import OrchestraError
from ..network import plugs, routers
from ..network.inside import is_pinned
from ..plan import defaults, steps
from ..plan.facts import Run, Seen
from ..plan.launch import Ground, capabilities, launch_spec
from ..plan.signals import signal_name
from ..plan.steps import Groundwork
from ..plan.wiring import Plug, Router, Uplink
from ..runtime import bases, cgroups, sandbox, seccomp
from ..stack.model import HostRoot, Network, Service
from ..state.files import ensure_folder
from ..state.leases import RANGE, leases
from ..wire.keeping import SandboxSpec
from ..wire.spec import Mount
from . import wiring
from .adopt import oom_killed
from .link import KeeperGone, Link, Refused
from .ports import HeldPorts
from .shelf import Shelf
from .world import World

START_FAILED = 127
"""Exit code of a run that could not begin, where the keeper names no other (docker run, exit status)."""


class Expected:
    """Somebody waits for the start of a container, to give it their descriptors or to get its terminal."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.descriptors = [os.dup(descriptor) for descriptor in descriptors]
        self.came: list[int] = []
        self.trouble: OrchestraError | None = None
        self.done = anyio.Event()


class Performer:
    def __init__(self, world: World, link: Link, held: HeldPorts, shelf: Shelf) -> None:
        self._world = world
        self._link = link
        self._shelf = shelf
        self._held = held
        self._wiring = anyio.Lock()  # one change of publications at a time
        self._building = threading.Lock()
        self._expected: dict[str, Expected] = {}

    # Groundwork

    async def ground(self, step: Groundwork) -> None:
        """Raises OrchestraError; the caller notes it."""
        match step:
            case steps.MakeNetwork(network):
                await self._raise(network.key)
                self._world.networks[network.key] = network
            case steps.DropNetwork(network):
                router = _as_it_was(self._world.page.routers[network.key], network)
                await anyio.to_thread.run_sync(routers.remove_router, router)
                self._world.networks.pop(network.key, None)
                self._let_go_of_network(network.key)
            case steps.MakeVolume(volume):
                await anyio.to_thread.run_sync(_make_volume, self._world.places.home.volume(volume.name))
                self._world.volumes.add(volume.name)
            case steps.DropVolume(name):
                folder = os.path.dirname(self._world.places.home.volume(name))
                await anyio.to_thread.run_sync(shutil.rmtree, folder)
                self._world.volumes.discard(name)

    async def _raise(self, key: str) -> None:
        """Router, resolver, and the plugs and publications of who is in it already."""
        world = self._world
        router = world.page.routers[key]
        was_there = await anyio.to_thread.run_sync(is_pinned, router.pin)
        self._tell_notices(await anyio.to_thread.run_sync(routers.ensure_router, router))
        if not was_there or not (key in world.resolvers or key in world.networks):
            # Before anybody can ask: a question that finds nobody listening is refused at once.
            await self._shelf.drop(f"dns {key}")
            for stale in world.resolvers.pop(key, ()):
                stale.close()
            world.resolvers[key] = await anyio.to_thread.run_sync(_dns_sockets, router)
        services = {
            name: seen.service
            for name, seen in world.seen.items()
            if seen.made and any(join.network == key for join in seen.service.networks)
        }
        if services:
            await anyio.to_thread.run_sync(self._plug, services)
            await self.publish({key}, only_up=False)

    def _tell_notices(self, notices: Sequence[str]) -> None:
        for notice in notices:
            if notice not in self._world.notices:
                self._world.notices.append(notice)
                self._world.journal.tell("notice", notice)

    def _let_go_of_network(self, key: str) -> None:
        page = self._world.page
        if key in self._world.wanted.networks:
            return  # it is made anew
        ident = page.routers[key].id
        with leases(self._world.places.home.leases) as held:
            held.release([ident])
        self._world.change(
            routers={other: router for other, router in page.routers.items() if other != key},
            addresses={other: given for other, given in page.addresses.items() if other != key},
        )

    # Containers

    async def make(self, names: Sequence[str]) -> None:
        """Sandboxes, files, plugs and publications of several containers at once: most of the cost is shared."""
        world = self._world
        services = {name: world.wanted.targets[name].service for name in names}
        for name in names:
            if name not in world.seen:
                target = world.wanted.targets[name]
                world.seen[name] = Seen(target.service, target.replica, oneoff=target.oneoff, busy=True)
        await anyio.to_thread.run_sync(self._prepare, services)
        await self._link.request({"do": "sandbox", "sandboxes": [self._sandbox(*item) for item in services.items()]})
        await anyio.to_thread.run_sync(self._plug, services)
        for name, service in services.items():
            world.note(name, service=service, made=True, made_at=time.monotonic(), run=None, trouble="", troubles=0)
            world.note(name, restarts=0, streak=0, failures=0, health="", health_text="", asked_to_stop=None)
            world.journal.tell("create", f"{name} is made", service.name, name)
        await self.publish({join.network for service in services.values() for join in service.networks})

    def _sandbox(self, name: str, service: Service) -> SandboxSpec:
        return {
            "user_pin": self._world.places.user_pin(name),
            "net_pin": wiring.own_net_pin(self._world, name, service),
            "base": self._world.page.bases[name],
            "size": RANGE,
        }

    def _prepare(self, services: dict[str, Service]) -> None:
        places = self._world.places
        ensure_folder(places.pins)
        for name, service in services.items():
            self._root_of(service)
            self.filter_of(service)
            folder = places.files(name)
            ensure_folder(folder)
            for file, content in wiring.files_of(self._world, name, service).items():
                _write_in_place(f"{folder}/{file}", content)
            for mount in service.mounts:
                if mount.type == "volume" and not mount.source:
                    _make_volume(self._anonymous(name, mount.target))

    def _plug(self, services: dict[str, Service]) -> None:
        by_router: dict[str, list[Plug]] = {}
        for name, service in services.items():
            for key, plug in wiring.plugs_of(self._world, name, service):
                by_router.setdefault(key, []).append(plug)
        for key, its_plugs in by_router.items():
            plugs.ensure_plugs(self._world.page.routers[key], its_plugs)

    async def publish(self, keys: set[str], only_up: bool = True) -> None:
        """Make the publications of these networks what the book says."""
        async with self._wiring:
            for key in sorted(keys & set(self._world.networks) if only_up else keys):
                router = self._world.page.routers[key]
                if router.uplink is None:
                    continue
                published = wiring.publications_of(self._world, router)
                await anyio.to_thread.run_sync(routers.set_publications, router, published)
                opened = wiring.opened_to_host(self._world, key)
                await anyio.to_thread.run_sync(routers.allow_host, router, opened)

    async def heal(self, key: str) -> None:
        """Make a network whole that somebody took parts of."""
        try:
            await self._raise(key)
        except (OrchestraError, OSError) as error:
            label = self._world.page.routers[key].label
            self._world.journal.tell("trouble", f"network {label} could not be made whole: {error}")

    async def renew(self, name: str) -> None:
        """Pin the namespaces of a container again that runs; make others for one that does not."""
        world = self._world
        service = world.seen[name].service
        pins = self._sandbox(name, service)
        if world.seen[name].alive and (pid := world.pids.get(name)):
            await anyio.to_thread.run_sync(sandbox.pin_again, pid, pins["user_pin"], pins["net_pin"])
            return
        await self._link.request({"do": "sandbox", "sandboxes": [pins]})
        await anyio.to_thread.run_sync(self._plug, {name: service})
        await self.publish({join.network for join in service.networks})

    async def launch(self, name: str, cause: str) -> None:
        world = self._world
        target = world.wanted.targets[name]
        seen = world.seen[name]
        number = seen.run.number + 1 if seen.run else 1
        begun = time.monotonic()
        run = Run(number, target.service.config_hash, target.epoch, begun)
        if seen.run is not None and seen.run.epoch < target.epoch:
            world.note(name, restarts=0, streak=0, failures=0)  # asked for anew, counted anew
        try:
            # Not in a thread: what it reads was made ready by `_prepare`, and forty threads cost more than they do.
            spec = self._spec(name, target.service)
            request = {
                "do": "launch",
                "name": name,
                "run": number,
                "spec": spec,
                "log": self._log_policy(name, target.service),
                "note": {"config": run.config, "epoch": run.epoch},
            }
            expected = self._expected.get(name)
            reply, came = await self._link.request(request, expected.descriptors if expected else ())
        except KeeperGone:
            if name in self._expected:  # whose descriptors went with it
                self._fulfil(name, [], OrchestraError(f"cannot start {name}: the keeper went away"))
            raise  # its successor undoes what came of it
        except (OrchestraError, OSError) as error:
            code = error.failure.get("code", START_FAILED) if isinstance(error, Refused) else START_FAILED
            why = error.what if isinstance(error, OrchestraError) else str(error)
            world.ended(name, replace(run, ended=time.monotonic(), code=code, trouble=why))
            self._fulfil(name, [], OrchestraError(f"cannot start {name}: {why}", status=code))
            return
        world.started(name, replace(run, started=float(reply["started"])), int(reply["pid"]))
        world.journal.tell("start", f"{name} started (run {number}): {cause}", target.service.name, name)
        self._fulfil(name, came)
        world.take_early(name, oom_killed)

    def expect(self, name: str, descriptors: Sequence[int]) -> None:
        """The next start of this container gets these descriptors; `started` waits for it."""
        self._expected[name] = Expected(descriptors)

    async def started(self, name: str) -> list[int]:
        """The terminal's master, if there is one. Raises OrchestraError when the start failed."""
        expected = self._expected[name]
        try:
            await expected.done.wait()
        finally:
            del self._expected[name]
        if expected.trouble is not None:
            raise expected.trouble
        return expected.came

    def _fulfil(self, name: str, came: list[int], trouble: OrchestraError | None = None) -> None:
        expected = self._expected.get(name)
        for descriptor in expected.descriptors if expected else came:
            os.close(descriptor)  # the keeper has its own copies; a terminal that nobody waits for is only logged
        if expected is not None:
            expected.came = came
            expected.trouble = trouble
            expected.done.set()

    def _log_policy(self, name: str, service: Service) -> dict[str, object]:
        logging = service.logging
        directory = "" if logging.driver == "none" else self._world.places.logs(name)
        return {"directory": directory, "max_size": logging.max_size, "max_files": logging.max_file}

    def _spec(self, name: str, service: Service) -> object:
        return launch_spec(name, service, self.ground_of(name, service), self._world.page.files)

    def ground_of(self, name: str, service: Service) -> Ground:
        places = self._world.places
        root = places.root(name)
        layers, binds, path = self._root_of(service)
        page = self._world.page
        volumes = {key: places.home.volume(volume.name) for key, volume in self._world.wanted.volumes.items()}
        anonymous = {
            mount.target: self._anonymous(name, mount.target)
            for mount in service.mounts
            if mount.type == "volume" and not mount.source
        }
        return Ground(
            layers=layers,
            binds=binds,
            path=path,
            upper=f"{root}/upper",
            work=f"{root}/work",
            files=places.files(name),
            user_pin=places.user_pin(name),
            net_pin=wiring.net_pin(self._world, name, service),
            cgroup=places.cgroup(name),
            seccomp=self.filter_of(service),
            id_base=page.bases[name],
            volumes={**volumes, **anonymous},
        )

    def _root_of(self, service: Service) -> tuple[tuple[str, ...], tuple[Mount, ...], str]:
        """Layers, binds and PATH. The host's base is made where it is missing."""
        if not isinstance(service.rootfs, HostRoot):
            return (service.rootfs.path,), (), defaults.PATH
        with self._building:
            base = bases.host_base(self._world.places.home.bases)
        return (base,), tuple(bases.host_binds()), bases.host_path()

    def filter_of(self, service: Service) -> str:
        security = service.security
        profile = seccomp.DEFAULT if security.seccomp == "default" else security.seccomp
        names = capabilities(service)["bounding"]
        return seccomp.ensure_filter(self._world.places.home.cache, profile, names, security.privileged)

    def _anonymous(self, name: str, target: str) -> str:
        tag = target.strip("/").replace("/", "-")
        return f"{self._world.places.data}/anonymous/{name}/{tag}"

    async def stop(self, name: str, signal: int, cause: str) -> None:
        self._world.note(name, asked_to_stop=time.monotonic())
        await self._signal(name, signal, cause, everyone=False)

    async def kill(self, name: str, cause: str) -> None:
        self._world.note(name, killed=True)
        await self._signal(name, 9, cause, everyone=True)

    async def _signal(self, name: str, signal: int, cause: str, everyone: bool) -> None:
        seen = self._world.seen[name]
        await self._link.request({"do": "signal", "name": name, "signal": signal, "everyone": everyone})
        verb = "kill" if everyone else "stop"
        self._world.journal.tell(verb, f"{name} was sent {signal_name(signal)}: {cause}", seen.service.name, name)

    async def remove(self, names: Sequence[str]) -> None:
        """Take away everything of containers that do not run."""
        world = self._world
        services = {name: world.seen[name].service for name in names}
        for name in names:
            world.note(name, made=False)
        used = {join.network for service in services.values() for join in service.networks}
        await self.publish(used & set(world.wanted.networks))
        await anyio.to_thread.run_sync(self._take_away, services)
        for name, service in services.items():
            await self._link.request({"do": "forget", "name": name})
            world.journal.tell("destroy", f"{name} is removed", service.name, name)
            if name in world.wanted.targets:
                world.seen[name] = replace(world.seen[name], run=None)
            else:
                self._let_go(name)

    def _take_away(self, services: dict[str, Service]) -> None:
        places = self._world.places
        staying = self._world.wanted.networks
        # A network that goes as well takes its plugs along: each removal by itself is a wait in the kernel.
        going = [
            plug for item in services.items() for key, plug in wiring.plugs_of(self._world, *item) if key in staying
        ]
        plugs.unplug(going)
        driver = cgroups.driver()
        for name in services:
            driver.kill(places.cgroup(name))
            driver.remove(places.cgroup(name))
            sandbox.remove(places.user_pin(name), places.net_pin(name))
            gone = [places.files(name), places.root(name), places.logs(name)]
            if name not in self._world.wanted.targets:
                gone.append(f"{places.data}/anonymous/{name}")
            for folder in gone:
                shutil.rmtree(folder, ignore_errors=True)

    def _let_go(self, name: str) -> None:
        world = self._world
        page = world.page
        world.forget(name)
        with leases(world.places.home.leases) as held:
            held.release([f"{world.places.scope}/{name}"])
        world.change(
            addresses={key: {n: a for n, a in given.items() if n != name} for key, given in page.addresses.items()},
            ports={other: ports for other, ports in page.ports.items() if other != name},
            bases={other: base for other, base in page.bases.items() if other != name},
        )
        kept = {(one.host_ip, one.host_port, one.protocol) for ports in world.page.ports.values() for one in ports}
        self._held.release(self._held.taken() - kept)


def _as_it_was(router: Router, network: Network) -> Router:
    """With the uplink that the network had: its successor may be an internal one."""
    if router.uplink is not None or network.internal:
        return router
    return replace(router, uplink=Uplink(f"orc{router.id}", "", ""))


def _dns_sockets(router: Router) -> list[socket.socket]:
    return list(routers.dns_sockets(router))


def _make_volume(folder: str) -> None:
    if not os.path.isdir(folder):
        ensure_folder(os.path.dirname(folder))
        os.mkdir(folder)
        os.chmod(folder, 0o755)


def _write_in_place(path: str, content: str) -> None:
    """Not by rename: the file may be mounted into a container, which would go on seeing the old one."""
    with open(path, "w") as file:
        file.write(content)
    os.chmod(path, 0o644)
