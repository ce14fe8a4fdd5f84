"""The supervisor: opens the doors, starts the tasks, and sees to it that each of them has an end."""

from __future__ import annotations

import gc
import sys
from functools import partial

import anyio
import anyio.abc
import anyio.to_thread

from .. import ours
from ..errors import OrchestraError
from ..keeper.start import ensure_keeper
from ..network.routers import remove_router
from ..places import Places
from ..runtime import cgroups
from ..stack.model import Service
from ..state.files import remove_tree
from ..wire.frames import Message
from . import adopt, draining, externals, strays
from .afterwards import Afterwards
from .api import Api, Handler
from .book import for_this_boot, load_page
from .booking import Booking
from .borrowing import Borrowing
from .care import Care
from .control import Control
from .departure import Departure
from .doors import Doors
from .execs import Execs
from .health import HealthWatch
from .journal import Journal
from .lasting import lasting
from .lending import Lending
from .link import KeeperGone, Link
from .looking import Looking
from .loop import Loop
from .oneoff import OneOffs
from .perform import Performer
from .ports import HeldPorts
from .presence import Presence
from .probing import Probing
from .requests import Requests
from .shelf import Shelf
from .world import World

IDLE = 10.0
"""Seconds after which a supervisor that nobody has asked for anything, and that has nothing, ends."""
SAVE_PAUSE, FULL_PAUSE = 0.05, 1.0
"""Seconds between two writings of the page, at the least and, also while the disk is full, at the most."""
SAVE_SHARE = 20
"""Writing gets one part in so many of the time: the page of a large stack takes ten milliseconds, and while much
changes it would be written all the time. What is wanted does not wait for it: see `Booking`."""
PATIENCE = 2.0
"""Seconds that the keeper, which starts its supervisor before everything else, may take to listen."""


class Supervisor:
    def __init__(self, places: Places) -> None:
        self.places = places
        self.world = World(places, for_this_boot(load_page(places), adopt.boot_id()), Journal())
        self.held = HeldPorts()
        self.link = Link(places, self._on_event)
        self.shelf = Shelf(self.link)
        self.execs = Execs(self.link)
        booking = Booking(self.world, self.held)
        self.performer = Performer(self.world, self.link, self.held, self.shelf, booking)
        oneoffs = OneOffs(self.world, self.execs, self.performer)
        self.afterwards = Afterwards(self.world)
        self.borrowing = Borrowing(self.world, booking)
        self.departure = Departure(self.world, booking)
        self.lending = Lending(self.world, booking, self.departure)
        self.requests = Requests(
            self.world,
            self.link,
            booking,
            oneoffs,
            self.performer,
            self._keeper_pid,
            self.borrowing,
            self.lending,
            self.departure,
        )
        self.control = Control(self.world, booking)
        self.presence: Presence | None = None

    def _on_event(self, message: Message) -> None:
        if message["event"] == "exited":
            self.world.take(message["child"], adopt.oom_kills)
            self.world.ring()
        elif message["event"] == "exec_exited":
            self.execs.take(message)
        elif message["event"] == "appear" and self.presence is not None:
            self.presence.called()

    def _keeper_pid(self) -> int:
        return self.link.peer

    async def run(self) -> None:
        await self._connect(PATIENCE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._serve_keeper, tasks)
            doors = Doors(self.world, self.held, self.shelf, tasks)
            await self._look(doors)
            await self.borrowing.recall()
            # Who was killed between the book and the firewall has left the one behind the other.
            await self.performer.publish(set(self.world.networks))
            api = Api(self.places, self._handlers())
            self.presence = Presence(self.world, self.link, api)
            health = HealthWatch(self.world, self._prober, self.afterwards.probed, tasks)
            loop = Loop(self.world, self.performer, self.borrowing, health, tasks)
            care = Care(self.world, self.performer, self.borrowing)
            counting, telling = partial(draining.count, self.world), partial(externals.tell, self.world)
            followers = (doors.follow, loop.run, counting, telling, self.afterwards.run, care.run)
            for work in (*followers, self.borrowing.run, self.lending.run, self.lending.hold, self.presence.run):
                tasks.start_soon(lasting, work)
            tasks.start_soon(api.serve)
            tasks.start_soon(self._write_down)
            tasks.start_soon(self._end_when_idle)
            await self._leaving()
            await self._quit()
            tasks.cancel_scope.cancel()

    def _handlers(self) -> dict[str, Handler]:
        """What clients may ask for, and who answers."""
        return {
            **self.requests.handlers(),
            **self.control.handlers(),
            **Looking(self.world).handlers(),
            **self.afterwards.handlers(),
            **self.lending.handlers(),
        }

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
            if self.presence is not None:
                self.presence.restore_socket()
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
        while True:
            try:
                await self.shelf.keep_all()
                await adopt.ask_keeper(self.world, self.link)
                break
            except KeeperGone:
                return
            except (OSError, OrchestraError) as error:  # want of room or descriptors
                sys.stderr.write(f"supervisor: the keeper cannot be told everything: {error}\n")
                await anyio.sleep(1)
        self.world.keeper.set()
        self.world.ring()

    async def _quit(self) -> None:
        """The stack is gone: nothing of it stays in the kernel or on disk, keeper and supervisor end."""
        await self.afterwards.finish(self.departure.forget)
        for router in list(self.world.page.routers.values()):
            # Those that were there are removed; this is one whose making failed half-way.
            if router.external:
                await anyio.to_thread.run_sync(externals.give_up, self.world, router)
            else:
                await anyio.to_thread.run_sync(remove_router, router)
        await self.link.request({"do": "quit"})
        await anyio.to_thread.run_sync(_remove_traces, self.places)

    # Followers of the loop

    def _prober(self, name: str, service: Service) -> Probing:
        return Probing(name, service, self.performer.ground_of(name, service), self.execs)

    async def _write_down(self) -> None:
        """State goes to disk shortly after it changed; a full disk is said once and waited out."""
        complained, pause = False, SAVE_PAUSE
        while True:
            await self.world.unsaved.wait()
            await anyio.sleep(pause)
            self.world.unsaved = anyio.Event()
            begun = anyio.current_time()
            try:
                await anyio.to_thread.run_sync(self.world.save_if_dirty)
                complained = False
            except (OSError, OrchestraError) as error:
                if not complained:
                    sys.stderr.write(f"supervisor: cannot write to {self.places.data}: {error}\n")
                complained = True
                self.world.unsaved.set()
                await anyio.sleep(FULL_PAUSE)
            pause = min(max(SAVE_PAUSE, SAVE_SHARE * (anyio.current_time() - begun)), FULL_PAUSE)

    # Ends

    async def _leaving(self) -> None:
        while not self.world.leaving:
            await self.world.changed_since(self.world.pulses)

    async def _end_when_idle(self) -> None:
        """Started for a stack that never came (its file was bad): go away again."""
        await anyio.sleep(IDLE)
        world = self.world
        if not (self.requests.touched or world.wanted.targets or world.seen or world.networks):
            await self.departure.depart()


def _remove_traces(places: Places) -> None:
    cgroups.driver().remove(places.cgroups)
    for folder in (f"{places.data}/roots", f"{places.data}/logs", f"{places.data}/anonymous", f"{places.run}/files"):
        remove_tree(folder, whatever_happens=True)
    # The page, the one before, and those that were never whole; but not what was set aside as spoiled.
    pages = [f"{places.data}/{name}" for name in ours.names_in(places.data) if not ours.is_aside(name)]
    for file in (*(page for page in pages if page.startswith(places.wanted)), places.api_socket):
        ours.clear(file)


def main(places: Places) -> None:
    """Run until the stack is gone. Called in a process of its own."""
    gc.freeze()  # what was imported stays: no search for garbage need go through it
    try:
        supervisor = Supervisor(places)
    except OrchestraError as error:
        sys.stderr.write(f"supervisor: {error}\n")
        return
    anyio.run(supervisor.run)
