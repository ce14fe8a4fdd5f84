"""The loop: look, plan, perform, wait for the bell. What to do is decided by `reconcile`, nowhere else."""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio
import anyio.abc
import anyio.to_thread

from ..errors import OrchestraError
from ..plan.facts import Seen, Trouble
from ..plan.reconcile import reconcile
from ..plan.sharing import thing_of
from ..plan.signals import number_of
from ..plan.steps import (
    Adjust,
    ContainerStep,
    DropNetwork,
    DropVolume,
    GiveBack,
    GoBack,
    Groundwork,
    Join,
    Kill,
    Launch,
    Lease,
    Make,
    MakeNetwork,
    MakeVolume,
    Part,
    Plan,
    Remove,
    Stop,
    TakeOver,
)
from .borrowing import Borrowing
from .health import HealthWatch
from .limiting import adjust
from .link import KeeperGone
from .perform import Performer
from .world import World

MANY = 8
GATHER = 0.005
"""Seconds in which the ends of many steps become one look: each look goes through all containers."""
Work = Callable[[], Awaitable[None]]


class Loop:
    def __init__(
        self,
        world: World,
        performer: Performer,
        borrowing: Borrowing,
        health: HealthWatch,
        tasks: anyio.abc.TaskGroup,
    ) -> None:
        self._world = world
        self._performer = performer
        self._borrowing = borrowing
        self._health = health
        self._tasks = tasks
        self._held: dict[str, str] = {}  # container -> the reason that was told

    async def run(self) -> None:
        world = self._world
        while True:
            plan = world.plan = reconcile(world.wanted, world.facts(), time.monotonic())
            self._dispatch(plan)
            self._tell_holds(plan)
            self._health.look()
            busy = world.busy_networks or any(seen.busy for seen in world.seen.values())
            world.settled = not busy and not plan.groundwork and not plan.steps
            world.pulse()
            await world.rung(plan.look_again)
            if sum(seen.busy for seen in world.seen.values()) > MANY:
                await anyio.sleep(GATHER)

    def _tell_holds(self, plan: Plan) -> None:
        """Who waits for another service, once for each reason."""
        held = {hold.container: hold for hold in plan.holds if hold.on}
        for name, hold in held.items():
            if self._held.get(name) != hold.reason and name in self._world.seen:
                self._world.tell_of(
                    name, "hold", f"{name} waits: {hold.reason}", reason=hold.reason, on=" ".join(hold.on)
                )
        self._held = {name: hold.reason for name, hold in held.items()}

    def _dispatch(self, plan: Plan) -> None:
        for ground in plan.groundwork:
            self._world.busy_networks.add(_thing(ground))
            self._tasks.start_soon(self._ground, ground)
        together: dict[type, list[str]] = {}
        for step in plan.steps:
            self._mark(step)
            if isinstance(step, (Make, Remove)):
                together.setdefault(type(step), []).append(step.container)
            else:
                self._tasks.start_soon(self._guard, [step.container], self._single(step))
        if making := together.get(Make):
            self._tasks.start_soon(self._batch, making, self._performer.make)
        if removing := together.get(Remove):
            self._tasks.start_soon(self._batch, removing, self._performer.remove)

    def _mark(self, step: ContainerStep) -> None:
        name = step.container
        if name not in self._world.seen:
            target = self._world.wanted.targets[name]
            self._world.seen[name] = Seen(target.service, target.replica, oneoff=target.oneoff)
        self._world.note(name, busy=True)

    def _single(self, step: ContainerStep) -> Work:
        match step:
            case Launch(name, cause):
                return partial(self._performer.launch, name, cause)
            case Stop(name, _, cause):
                signal = number_of(self._world.seen[name].service.stop_signal)
                return partial(self._performer.stop, name, signal, cause)
            case Kill(name, cause):
                return partial(self._performer.kill, name, cause)
            case TakeOver():
                return partial(self._performer.take_over, step)
            case GoBack():
                return partial(self._performer.go_back, step)
            case Adjust(name, cause):
                return partial(adjust, self._world, name, cause)
        raise AssertionError(step)

    async def _batch(self, names: list[str], act: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Together; if that fails, one by one, so that only those are blamed who cannot be done."""
        if len(names) > 1:
            try:
                await act(names)
            except KeeperGone:
                await self._world.keeper.wait()
            except Exception:  # noqa: BLE001  told of whom it concerns, see _guard
                for name in names:
                    await self._guard([name], partial(act, [name]))
                return
            self._release(names)
        else:
            await self._guard(names, partial(act, names))

    async def _guard(self, names: list[str], work: Work) -> None:
        """Whatever goes wrong becomes a fact about the containers; the step is over in any case."""
        try:
            await work()
        except KeeperGone:
            await self._world.keeper.wait()  # its successor is asked what is so
        except Exception as error:  # noqa: BLE001  a fault of ours in one step must not take the others along
            what = _said(error)
            for name in names:
                if seen := self._world.seen.get(name):
                    self._world.note(name, trouble=what, trouble_at=time.monotonic(), troubles=seen.troubles + 1)
                    # Who runs goes on: an event of another kind, after which nothing would tell that it is well.
                    action = "notice" if seen.alive else "trouble"
                    self._world.journal.tell(action, f"{name}: {what}", seen.service.name, name)
        self._release(names)

    def _release(self, names: list[str]) -> None:
        for name in names:
            if name in self._world.seen:
                self._world.note(name, busy=False)
        self._world.ring()

    async def _ground(self, step: Groundwork) -> None:
        thing = _thing(step)
        try:
            if isinstance(step, (Lease, Join, Part, GiveBack)):
                await self._borrowing.perform(step)
            else:
                await self._performer.ground(step)
            self._world.troubles.pop(thing, None)
        except Exception as error:  # noqa: BLE001  as above
            what = _said(error)
            before = self._world.troubles.get(thing)
            times = before.times + 1 if before else 1
            self._world.troubles[thing] = Trouble(time.monotonic(), times, what)
            self._world.journal.tell("trouble", f"cannot {step.describe()}: {what}")
        self._world.busy_networks.discard(thing)
        self._world.ring()


def _said(error: Exception) -> str:
    if isinstance(error, OrchestraError):
        return error.what
    if isinstance(error, OSError):
        return str(error)
    traceback.print_exception(error)
    return f"a fault in orchestra ({error!r})"


def _thing(step: Groundwork) -> str:
    """Under which name its troubles and its being under way are kept."""
    match step:
        case MakeNetwork(network) | DropNetwork(network):
            return network.key
        case MakeVolume(volume):
            return volume.name
        case DropVolume(name):
            return name
        case Lease() | Join() | Part() | GiveBack():
            return thing_of(step)
