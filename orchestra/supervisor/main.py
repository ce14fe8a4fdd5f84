"""The supervisor: opens the doors, starts the tasks, and sees to it that each of them has an end."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from functools import partial

import anyio
import anyio.abc
import anyio.to_thread

from ..errors import OrchestraError
from ..keeper.start import ensure_keeper
from ..network.routers import remove_router
from ..places import Places
from ..runtime import cgroups
from ..stack.model import Service
from ..wire.frames import Message
from . import adopt, strays, wiring
from .api import Api
from .book import for_this_boot, load_page
from .care import Care
from .doors import Doors
from .execs import Execs
from .health import HealthWatch
from .journal import Journal
from .link import KeeperGone, Link
from .loop import Loop
from .oneoff import OneOffs
from .perform import Performer
from .ports import HeldPorts
from .probing import Probing
from .requests import Requests
from .shelf import Shelf
from .world import World

IDLE = 10.0
"""Seconds after which a supervisor that nobody has asked for anything, and that has nothing, ends."""
SAVE_PAUSE = 0.05
PATIENCE = 2.0
"""Seconds that the keeper, which starts its supervisor before everything else, may take to listen."""


class Supervisor:
    def __init__(self, places: Places) -> None:
        self.places = places
        journal = Journal(places.journal)
        self.world = World(places, for_this_boot(load_page(places), adopt.boot_id()), journal)
        self.held = HeldPorts()
        self.link = Link(places, self._on_event)
        self.shelf = Shelf(self.link)
        self.execs = Execs(self.link)
        self.performer = Performer(self.world, self.link, self.held, self.shelf)
        oneoffs = OneOffs(self.world, self.execs, self.performer)
        self.requests = Requests(self.world, self.link, self.held, oneoffs, self.performer, self._keeper_pid)

    def _on_event(self, message: Message) -> None:
        if message["event"] == "exited":
            self.world.take(message["child"], adopt.oom_killed)
            self.world.ring()
        elif message["event"] == "exec_exited":
            self.execs.take(message)

    def _keeper_pid(self) -> int:
        return self.link.peer

    async def run(self) -> None:
        await self._connect(PATIENCE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._serve_keeper, tasks)
            doors = Doors(self.world, self.held, self.shelf, tasks)
            await self._look(doors)
            api = Api(self.places, self.requests.handlers())
            health = HealthWatch(self.world, self._prober, tasks)
            tasks.start_soon(doors.follow)
            tasks.start_soon(Loop(self.world, self.performer, health, tasks).run)
            tasks.start_soon(api.serve)
            tasks.start_soon(self._write_down)
            tasks.start_soon(Care(self.world, self.performer).run)
            tasks.start_soon(self._end_when_idle)
            await self._leaving()
            await self._quit()
            tasks.cancel_scope.cancel()

    async def _look(self, doors: Doors) -> None:
        """What is there already; from the beginning if the keeper goes meanwhile."""
        while True:
            try:
                await doors.take_back()
                await adopt.look_around(self.world)
                children = await adopt.ask_keeper(self.world, self.link)
                await strays.clear(self.world, self.link, children)
            except KeeperGone:
                await anyio.sleep(0.01)  # its successor is on the way, see _serve_keeper
            else:
                self.world.keeper.set()
                return

    # The keeper

    async def _connect(self, patience: float = 0.0) -> None:
        """To the keeper; one that does not answer within `patience` seconds is replaced."""
        end = anyio.current_time() + patience
        while True:
            try:
                self.link.connect()
                return
            except OSError:
                if anyio.current_time() < end:
                    await anyio.sleep(0.002)
                else:
                    await self._start_keeper()

    async def _start_keeper(self) -> None:
        """Containers must not be left to themselves because a keeper would not start: try until one does."""
        try:
            await anyio.to_thread.run_sync(ensure_keeper, self.places)
        except (OrchestraError, OSError) as error:
            sys.stderr.write(f"supervisor: no keeper: {error}\n")
            await anyio.sleep(1)

    async def _serve_keeper(self, tasks: anyio.abc.TaskGroup) -> None:
        """As long as there is a stack there is a keeper: when it goes, the next one is started and asked."""
        while True:
            await self.link.serve()
            self.execs.lose_all()
            if self.world.leaving:
                return
            self.world.keeper = anyio.Event()
            self.world.journal.tell("notice", "the keeper went away, a new one takes over")
            await self._connect()
            tasks.start_soon(self._welcome_keeper)

    async def _welcome_keeper(self) -> None:
        try:
            await self.shelf.keep_all()
            await adopt.ask_keeper(self.world, self.link)
        except KeeperGone:
            return
        self.world.keeper.set()
        self.world.ring()

    async def _quit(self) -> None:
        """The stack is gone: nothing of it stays in the kernel or on disk, keeper and supervisor end."""
        await anyio.to_thread.run_sync(self.world.journal.flush)
        for router in list(self.world.page.routers.values()):
            # Those that were there are removed; this is one whose making failed half-way.
            await anyio.to_thread.run_sync(remove_router, router)
        await self.link.request({"do": "quit"})
        await anyio.to_thread.run_sync(_remove_traces, self.places)

    # Followers of the loop

    def _prober(self, name: str, service: Service) -> Probing:
        ground = self.performer.ground_of(name, service)
        pin = wiring.net_pin(self.world, name, service)
        return Probing(name, service, pin, ground.path, ground.seccomp, self.execs)

    async def _write_down(self) -> None:
        """State and events go to disk shortly after they change; a full disk is said once and waited out."""
        complained = False
        while True:
            await self.world.changed()
            await anyio.sleep(SAVE_PAUSE)
            try:
                await anyio.to_thread.run_sync(self.world.save_if_dirty)
                await anyio.to_thread.run_sync(self.world.journal.flush)
                complained = False
            except OSError as error:
                if not complained:
                    sys.stderr.write(f"supervisor: cannot write to {self.places.data}: {error.strerror}\n")
                complained = True

    # Ends

    async def _leaving(self) -> None:
        while not self.world.leaving:
            await self.world.changed()

    async def _end_when_idle(self) -> None:
        """Started for a stack that never came (its file was bad): go away again."""
        await anyio.sleep(IDLE)
        world = self.world
        if not (self.requests.touched or world.wanted.targets or world.seen or world.networks):
            world.leave()


def _remove_traces(places: Places) -> None:
    import shutil

    cgroups.driver().remove(places.cgroups)
    for folder in (f"{places.data}/roots", f"{places.data}/logs", f"{places.data}/anonymous", f"{places.run}/files"):
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # never made, or a pin of somebody else's is in there
        os.rmdir(places.pins)
    for file in (places.wanted, f"{places.wanted}.1", places.api_socket):
        try:
            os.unlink(file)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise


def main(places: Places) -> None:
    """Run until the stack is gone. Called in a process of its own."""
    anyio.run(partial(Supervisor(places).run))
