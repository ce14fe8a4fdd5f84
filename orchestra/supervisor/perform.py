"""One step of a plan, one call to a workshop or to the keeper. Nothing is decided here: what fails is noted as a
fact, and the next look says what follows from it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence

import anyio
import anyio.to_thread

from .. import ours
from ..errors import OrchestraError
from ..network import plugs, routers
from ..network.inside import is_pinned, is_socket_in
from ..plan import defaults, steps
from ..plan.facts import Run, Seen, Wanted, jobs
from ..plan.launch import Ground, capabilities, launch_spec, may_set_id
from ..plan.replacing import undrained, written
from ..plan.signals import signal_name
from ..plan.steps import GoBack, Groundwork, TakeOver
from ..plan.wiring import Plug, Router, Uplink
from ..runtime import bases, cgroups, sandbox, seccomp
from ..stack.model import HostRoot, Network, Service
from ..state import volumes
from ..state.files import ensure_folder, remove_tree
from ..state.leases import leases
from ..state.ranges import RANGE
from ..values import replace
from ..wire.keeping import SandboxSpec, Unmapped
from ..wire.spec import Mount
from ..wire.terminal import line
from . import externals, limiting, wiring
from .adopt import oom_kills
from .booking import Booking
from .contents import contents_now
from .hostnames import hostname_of
from .link import KeeperGone, Link, Refused
from .ports import HeldPorts
from .shelf import Shelf
from .world import World

CHOICES = 8
"""How often a subnet is chosen that somebody else takes in the same moment."""
START_FAILED = 127
"""Exit code of a run that could not begin, where the keeper names no other (docker run, exit status)."""


class Expected:
    """Somebody waits for the start of a container, to give it their descriptors or to get its terminal."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.descriptors = [os.dup(descriptor) for descriptor in descriptors]
        self.came: list[int] = []
        self.trouble: OrchestraError | None = None
        self.done = anyio.Event()

    @contextlib.contextmanager
    def given(self) -> Iterator[list[int]]:
        """The descriptors while they are handed over, whoever goes away meanwhile; then the keeper has copies."""
        descriptors, self.descriptors = self.descriptors, []
        try:
            yield descriptors
        finally:
            _close(descriptors)


class Performer:
    def __init__(self, world: World, link: Link, held: HeldPorts, shelf: Shelf, booking: Booking) -> None:
        self._world = world
        self._booking = booking
        self._link = link
        self.shelf = shelf
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
                if router.external:
                    await anyio.to_thread.run_sync(externals.leave, self._world, router)
                else:
                    await anyio.to_thread.run_sync(routers.remove_router, router)
                self._world.networks.pop(network.key, None)
                self._world.parted(network.key)
                await self._let_go_of_network(network.key)
            case steps.MakeVolume(volume):
                labels = {volumes.PROJECT: self._world.places.name, volumes.VOLUME: volume.key, **volume.labels}
                await anyio.to_thread.run_sync(volumes.make, self._world.places.home, volume.name, labels)
                self._world.volumes.add(volume.name)
            case steps.DropVolume(name):
                await anyio.to_thread.run_sync(volumes.discard, self._world.places.home, name)
                self._world.volumes.discard(name)

    async def _raise(self, key: str) -> None:
        """Router, resolver, and the plugs and publications of who is in it already."""
        world = self._world
        router = world.page.routers[key]
        was_there = await anyio.to_thread.run_sync(is_pinned, router.pin)
        if router.external:
            self._tell_notices(await anyio.to_thread.run_sync(externals.ensure, world, router))
            was_there = await anyio.to_thread.run_sync(self._is_still_there, key, router)
        else:
            router = await self._ensure_router(key)
        if not was_there or not (key in world.resolvers or key in world.networks):
            # Before anybody can ask: a question that finds nobody listening is refused at once.
            await self.shelf.drop(f"dns {key}")
            for stale in world.resolvers.pop(key, ()):
                stale.close()
            world.resolvers[key] = await anyio.to_thread.run_sync(_dns_sockets, router)
            world.parted(key)  # who belongs to another stack is joined again by the plan
        services = {
            name: seen.service
            for name, seen in world.seen.items()
            if seen.made and any(join.network == key for join in seen.service.networks)
        }
        if services:
            await anyio.to_thread.run_sync(self._plug, services)
            await self.publish({key}, only_up=False)

    async def _ensure_router(self, key: str) -> Router:
        """With another subnet than was chosen, where an installation of its own was quicker to take that one."""
        world = self._world
        for _ in range(CHOICES):
            router = world.page.routers[key]
            try:
                self._tell_notices(await anyio.to_thread.run_sync(routers.ensure_router, router))
                return router
            except routers.SubnetTaken as taken:
                network = world.wanted.networks.get(key)
                used = any(
                    seen.made and any(join.network == key for join in seen.service.networks)
                    for seen in world.seen.values()
                )
                if network is None or network.subnet == taken.subnet or used:
                    raise
                await anyio.to_thread.run_sync(routers.remove_router, router)
                await self._booking.choose_anew(key)
                again = world.page.routers.get(key)
                if again is None:
                    raise OrchestraError(f"network {key} is not wanted any more") from None
                world.journal.tell("notice", f"{taken.what}: it gets {again.subnet}")
        raise OrchestraError(
            f"network {key}: every subnet that was chosen was taken at once", "run the command again"
        )

    def _is_still_there(self, key: str, router: Router) -> bool:
        """Whether it is the one that our resolver was in: another member may have had to make it anew."""
        world = self._world
        before, world.joined[key] = world.joined.get(key), os.stat(router.pin).st_ino
        kept = world.resolvers.get(key, ())
        return before in (None, world.joined[key]) and all(is_socket_in(router.pin, one) for one in kept)

    def _tell_notices(self, notices: Sequence[str], service: str = "", name: str = "") -> None:
        for notice in notices:
            if notice not in self._world.notices:
                self._world.notices.append(notice)
                self._world.journal.tell("notice", notice, service, name)

    async def _let_go_of_network(self, key: str) -> None:
        async with self._booking.turn:  # an `up` may be about to want it again, and counts on what it has
            page = self._world.page
            if key in self._world.wanted.networks:
                return  # it is made anew
            router = page.routers[key]
            if router.external:
                externals.give_up(self._world, router)
            else:
                with leases(self._world.places.home.leases) as held:
                    held.release([router.id])
            self._world.change(
                routers={other: router for other, router in page.routers.items() if other != key},
                addresses={other: given for other, given in page.addresses.items() if other != key},
                guests={other: given for other, given in page.guests.items() if other != key},
            )

    # Containers

    async def make(self, names: Sequence[str]) -> None:
        """Sandboxes, files, plugs and publications of several containers at once: most of the cost is shared."""
        world = self._world
        begun = time.monotonic()
        # One that is given up (GoBack) may take others of the same look along.
        targets = world.wanted.targets
        services = {name: targets[name].service for name in names if name in targets}
        for name in services:
            if name not in world.seen:
                target = world.wanted.targets[name]
                world.seen[name] = Seen(target.service, target.replica, oneoff=target.oneoff, busy=True)
            world.note(name, leaving=False)  # from now on its networks are in use
        await anyio.to_thread.run_sync(self._prepare, services)
        await self._link.request({"do": "sandbox", "sandboxes": [self._sandbox(*item) for item in services.items()]})
        await anyio.to_thread.run_sync(self._plug, services)
        for name, service in services.items():
            world.note(
                name,
                service=service,
                made=True,
                made_at=time.monotonic(),
                run=None,
                trouble="",
                troubles=0,
                leaving=False,
            )
            world.note(name, restarts=0, streak=0, failures=0, health="", health_text="", asked_to_stop=None)
            world.tell_of(name, "create", f"{name} is made", took=f"{time.monotonic() - begun:.4f}")
        self._let_go_of_addresses(services)
        await self.publish({join.network for service in services.values() for join in service.networks})

    def _let_go_of_addresses(self, made: Mapping[str, Service]) -> None:
        """In networks that these containers were in before they were made anew, and are not to be in again."""
        targets = self._world.wanted.targets
        joined = {name: {join.network for join in service.networks} for name, service in made.items()}
        for name in made:
            if name in targets:
                joined[name] |= {join.network for join in targets[name].service.networks}
        addresses = {
            key: {name: address for name, address in given.items() if name not in joined or key in joined[name]}
            for key, given in self._world.page.addresses.items()
        }
        if addresses != self._world.page.addresses:
            self._world.change(addresses=addresses)

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
                router = self._world.page.routers.get(key)
                if router is None:
                    continue  # gone while those before it were published
                if router.external:
                    await anyio.to_thread.run_sync(externals.publish, self._world, key)
                    continue
                up = self._world.networks.get(key)
                if router.uplink is None or (up is not None and up.internal):
                    continue  # the book may be ahead: what is up as an internal one has nowhere to publish to
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
        target = world.wanted.targets.get(name)
        if target is None:
            return  # not wanted any more since this was decided
        seen = world.seen[name]
        number = seen.run.number + 1 if seen.run else 1
        begun = time.monotonic()
        run = Run(number, target.service.config_hash, target.epoch, begun)
        if seen.run is not None and seen.run.epoch < target.epoch:
            world.note(name, restarts=0, streak=0, failures=0)  # asked for anew, counted anew
        try:
            # Not in a thread: what it reads was made ready by `_prepare`, and forty threads cost more than they do.
            spec = self._spec(name, target.service)
            contents = await contents_now(target.service, world.page.files)
            request = {
                "do": "launch",
                "name": name,
                "run": number,
                "spec": spec,
                "log": self._log_policy(name, target.service),
                "note": {"config": run.config, "epoch": run.epoch},
            }
            expected = self._expected.get(name)
            with expected.given() if expected else contextlib.nullcontext(()) as descriptors:
                reply, came = await self._link.request(request, descriptors)
        except KeeperGone:
            if name in self._expected:  # whose descriptors went with it
                self._fulfil(name, [], OrchestraError(f"cannot start {name}: the keeper went away"))
            raise  # its successor undoes what came of it
        except (OrchestraError, OSError) as error:
            code = error.failure.get("code", START_FAILED) if isinstance(error, Refused) else START_FAILED
            why = error.what if isinstance(error, OrchestraError) else str(error)
            world.ended(name, replace(run, ended=time.monotonic(), code=code, trouble=why))
            self._fulfil(name, [], OrchestraError(line(f"cannot start {name}: {why}"), status=code))
            return
        world.started(name, replace(run, started=float(reply["started"])), int(reply["pid"]))
        world.note(name, contents=contents)
        self._tell_start(name, number, cause, time.monotonic() - begun)
        self._tell_notices(_of_unmapped(target.service, reply.get("unmapped", ())), target.service.name, name)
        if came:
            self.shelf.hold_terminal(name, os.dup(came[0]))
        self._fulfil(name, came)
        world.take_early(name, oom_kills)
        if name in world.seen and (rivals := wiring.rivals(world, name)):
            services = [world.seen[each].service for each in (name, *rivals)]
            await self.publish({join.network for service in services for join in service.networks})
        await limiting.tell_lacking(world, name)

    def _tell_start(self, name: str, number: int, cause: str, took: float) -> None:
        world = self._world
        seen = world.seen[name]
        about = {"run": str(number), "took": f"{took:.4f}", "health": seen.health}
        if seen.restarts:
            about["restarts"] = str(seen.restarts)
        if seen.service.name in jobs(target.service for target in world.wanted.targets.values()):
            about["job"] = "yes"
        world.tell_of(name, "start", f"{name} started (run {number}): {cause}", **about)

    def expect(self, name: str, descriptors: Sequence[int]) -> None:
        """The next start of this container gets these descriptors; `started` waits for it."""
        self._expected[name] = Expected(descriptors)

    async def started(self, name: str) -> list[int]:
        """The terminal's master, if there is one. Raises OrchestraError when the start failed."""
        expected = self._expected[name]
        try:
            await expected.done.wait()
        except BaseException:
            _close(expected.came)
            raise
        finally:
            self.expect_no_more(name)
        if expected.trouble is not None:
            raise expected.trouble
        return expected.came

    def expect_no_more(self, name: str) -> None:
        """Whoever waited for its start has it, or has gone. Idempotent."""
        if expected := self._expected.pop(name, None):
            _close(expected.descriptors)

    def _fulfil(self, name: str, came: list[int], trouble: OrchestraError | None = None) -> None:
        if expected := self._expected.get(name):
            expected.came = came
            expected.trouble = trouble
            expected.done.set()
        else:
            _close(came)  # a terminal that nobody waits for is only logged

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
            hostname=hostname_of(places, name, service),
            disks=limiting.disks_of(service),
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
        set_id = may_set_id(service)
        return seccomp.ensure_filter(self._world.places.home.cache, profile, names, security.privileged, set_id)

    def _anonymous(self, name: str, target: str) -> str:
        tag = target.strip("/").replace("/", "-")
        return f"{self._world.places.data}/anonymous/{name}/{tag}"

    async def stop(self, name: str, signal: int, cause: str) -> None:
        self._world.note(name, asked_to_stop=time.monotonic())
        if self._world.seen[name].paused:
            await anyio.to_thread.run_sync(cgroups.driver().thaw, self._world.places.cgroup(name))
            self._world.note(name, paused=False)
        await self._signal(name, signal, cause, everyone=False)

    async def kill(self, name: str, cause: str) -> None:
        self._world.note(name, killed=True)
        await self._signal(name, 9, cause, everyone=True)

    async def _signal(self, name: str, signal: int, cause: str, everyone: bool) -> None:
        await self._link.request({"do": "signal", "name": name, "signal": signal, "everyone": everyone})
        verb = "kill" if everyone else "stop"
        self._world.tell_of(name, verb, f"{name} was sent {signal_name(signal)}: {cause}", cause=cause)

    async def take_over(self, step: TakeOver) -> None:
        """First names, then ports: the new container is ready for both, the old one serves on in any case."""
        world, name = self._world, step.container
        async with self._booking.turn:
            await self._booking.at_once(self._after(step))
        seen = world.seen[name]
        await self.publish({join.network for join in seen.service.networks})
        text = f"{name} has taken over from {step.replaces}: {step.cause}"
        world.tell_of(name, "replace", text, health=world.seen[name].health)

    async def go_back(self, step: GoBack) -> None:
        from ..logs.last import last_words

        world, name = self._world, step.container
        # Its log goes with it.
        if words := await anyio.to_thread.run_sync(last_words, world.places.logs(name)):
            step = replace(step, cause=f"{step.cause} (its last words: {words})")
        async with self._booking.turn:
            target, wanted = world.wanted.targets.get(name), self._after(step)
            if target is None:
                return
            if set(wanted.targets) <= set(world.wanted.targets):
                await self._booking.at_once(wanted)
            else:
                await self._booking.admit(wanted)
            record = wanted.replacements.get(target.service.name)
            if record is not None and record.going_back:
                services = {**world.page.stack.services, target.service.name: record.before}
                world.change(stack=replace(world.page.stack, services=services))
        service = target.service.name
        text = f"{name} does not replace {target.replaces}: it {step.cause}"
        world.journal.tell("rollback", text, service, name)

    def _after(self, step: TakeOver | GoBack) -> Wanted:
        world = self._world
        return written(world.wanted, world.seen, world.places.name, step, time.monotonic())

    async def remove(self, names: Sequence[str]) -> None:
        """Take away everything of containers that do not run."""
        world = self._world
        services = {name: world.seen[name].service for name in names}
        for name in names:
            world.note(name, made=False, leaving=True)
        world.ring()  # a network that goes as well need not wait: see _network_used
        staying = world.wanted.networks.keys()
        used = {join.network for service in services.values() for join in service.networks}
        # A network that goes takes its plugs along: each removal by itself is a wait in the kernel.
        going = [
            (pin, port)
            for name, service in services.items()
            for key, _, pin, port in wiring.ports_of(world, name, service)
            if key in staying
        ]
        await self.publish(used & staying)
        await anyio.to_thread.run_sync(plugs.unplug, going)
        await anyio.to_thread.run_sync(self._take_away, names)
        await self._link.request({"do": "forget", "names": list(names)})
        for name in names:
            self.shelf.let_go_of_terminal(name)
            world.tell_of(name, "destroy", f"{name} is removed")
        async with self._booking.turn:  # as in _let_go_of_network
            gone = [name for name in names if name not in world.wanted.targets]
            for name in set(names).difference(gone):
                world.seen[name] = replace(world.seen[name], run=None, leaving=False)
            if gone:
                await self._let_go(gone)

    def _take_away(self, names: Sequence[str]) -> None:
        places = self._world.places
        driver = cgroups.driver()
        for name in names:
            driver.kill(places.cgroup(name))
            driver.remove(places.cgroup(name))
            sandbox.remove(places.user_pin(name), places.net_pin(name))
            gone = [places.files(name), places.root(name), places.logs(name)]
            if name not in self._world.wanted.targets:
                gone.append(f"{places.data}/anonymous/{name}")
            for folder in gone:
                remove_tree(folder, whatever_happens=True)

    async def _let_go(self, names: Collection[str]) -> None:
        """What these held on this machine is free again: one lock and one write for all of them."""
        world = self._world
        page = world.page
        with leases(world.places.home.leases) as held:
            held.release([f"{world.places.scope}/{name}" for name in names])
            for name in names:
                held.let_go(f"{world.places.name}/{name}")
        for name in names:
            world.forget(name)
        world.change(
            wanted=undrained(world.wanted, names),
            addresses={
                key: {name: address for name, address in given.items() if name not in names}
                for key, given in page.addresses.items()
            },
            ports={name: ports for name, ports in page.ports.items() if name not in names},
            bases={name: base for name, base in page.bases.items() if name not in names},
        )
        kept = {(one.host_ip, one.host_port, one.protocol) for ports in world.page.ports.values() for one in ports}
        await self._held.release(self._held.taken() - kept)


def _of_unmapped(service: Service, unmapped: Sequence[Unmapped]) -> list[str]:
    return [
        f"{service.name}: {', '.join(one['kinds'])} at {one['source']} cannot be idmapped: "
        "files there belong to nobody (65534) inside, and only what everybody may do is allowed"
        for one in unmapped
    ]


def _as_it_was(router: Router, network: Network) -> Router:
    """With the uplink that the network had: its successor may be an internal one."""
    if router.uplink is not None or network.internal:
        return router
    return replace(router, uplink=Uplink(f"orc{router.id}", "", ""))


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _dns_sockets(router: Router) -> list[socket.socket]:
    return list(routers.dns_sockets(router))


def _make_volume(folder: str) -> None:
    if not os.path.isdir(folder):
        ensure_folder(os.path.dirname(folder))
        os.mkdir(folder)
        os.chmod(folder, 0o755)


def _write_in_place(path: str, content: str) -> None:
    """Not by rename: the file may be mounted into a container, which would go on seeing the old one."""
    file = ours.create(path)
    try:
        os.fchmod(file, 0o644)  # whatever the umask is
        os.write(file, content.encode())
    finally:
        os.close(file)
