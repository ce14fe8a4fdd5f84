"""Everything that the supervisor knows at this moment, in one place, and the bell that says: look again.

Tasks change it between two awaits and ring; the loop reads it as `Facts`. Nothing in here decides.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

import anyio
import anyio.to_thread

from ..places import Places
from ..plan.facts import Facts, Run, Seen, Shared, Trouble, Wanted
from ..plan.guests import guest_rows
from ..plan.phase import after_end, what_follows
from ..plan.replacing import serves, told
from ..plan.rows import row_of
from ..plan.sharing import Holding
from ..plan.steps import Plan
from ..stack.model import Network
from ..state.externals import Member, Neighbours
from ..state.shares import Share
from ..values import replace
from ..wire.api import PortRow, ProbeRecord, Row
from ..wire.keeping import Child
from .book import Page, save_page
from .journal import Journal

LONGEST_WAIT = 1.0
RARELY = 10.0
"""Seconds after which those look who cannot have missed anything."""


class World:
    def __init__(self, places: Places, page: Page, journal: Journal) -> None:
        self.places = places
        self.page = page
        self.journal = journal
        journal.secrecy.learn(page.files)
        self.volumes: set[str] = set()
        self.busy_networks: set[str] = set()
        self.troubles: dict[str, Trouble] = {}
        self.pids: dict[str, int] = {}
        self.probes: dict[str, deque[ProbeRecord]] = {}  # the last of each container
        self.resolvers: dict[str, list[socket.socket]] = {}  # network key -> sockets that nobody serves yet
        self.connections: dict[str, int] = {}  # of containers that drain
        self.needed: dict[str, str] = {}  # container that drains -> who outside of the stack still uses it
        self.neighbours = Neighbours(places.home, places.name)  # in external networks
        self.joined: dict[str, int] = {}  # external network's key -> inode of the namespace that it was for us
        self.told_neighbours: dict[str, Member] = {}  # network key -> what they were last told
        self.notices: list[str] = []
        # As a user of other stacks' services; keys as in plan/sharing
        self.leases: set[str] = set()
        self.unsure: set[str] = set()  # those of them whose owner is to be asked once more whether it runs
        self.shared: dict[str, Shared] = {}
        self.guest_rows: dict[str, Row] = {}
        self.spaces: dict[str, int] = {}  # which network namespace of a guest it was that was joined
        # As an owner: who is told of what, and what of it they have joined
        self.holders: dict[str, Holding] = {}
        self.users: dict[tuple[str, str], Share] = {}  # (user, service) -> its lease, as last looked at
        self.plan = Plan()
        self.settled = False
        self.keeper = anyio.Event()  # set while there is one that has told what it knows
        self.leaving = False  # the stack is gone, keeper and supervisor are about to end
        self._bell = anyio.Event()
        self._changed = anyio.Event()
        self.pulses = 0  # how often the loop has looked
        self._early: dict[str, Child] = {}
        self._dirty = False
        self.unsaved = anyio.Event()  # set when something is to be written
        self._writing = threading.Lock()

    # What is known

    @property
    def seen(self) -> dict[str, Seen]:
        return self.page.seen  # type: ignore[return-value]

    @property
    def networks(self) -> dict[str, Network]:
        """Those that are up."""
        return self.page.networks  # type: ignore[return-value]

    @property
    def wanted(self) -> Wanted:
        return self.page.wanted

    def facts(self) -> Facts:
        return Facts(
            dict(self.seen),
            dict(self.networks),
            frozenset(self.volumes),
            frozenset(self.busy_networks),
            dict(self.troubles),
            dict(self.connections),
            dict(self.needed),
            frozenset(self.leases),
            frozenset(self.unsure),
            dict(self.shared),
        )

    def row(self, name: str) -> Row:
        hold = next((hold for hold in self.plan.holds if hold.container == name), None)
        ports: list[PortRow] = [
            {
                "host_ip": one.host_ip,
                "host_port": one.host_port,
                "port": one.port,
                "protocol": one.protocol,
                "count": one.count,
            }
            for one in self.page.ports.get(name, ())
        ]
        addresses = {key: held[name] for key, held in self.page.addresses.items() if name in held}
        row = row_of(
            name,
            self.wanted.targets.get(name),
            self.seen.get(name),
            hold,
            ports,
            addresses,
            self.wanted,
            self.places.logs(name),
            time.monotonic(),
            time.time(),
            told(self.wanted, name),
        )
        row["pid"] = self.pids.get(name)
        return row

    def rows(self) -> list[Row]:
        own = [self.row(name) for name in sorted({*self.wanted.targets, *self.seen})]
        if not self.wanted.uses:
            return own
        return [*own, *guest_rows(self.wanted, self.facts(), self.guest_rows, self.page.guests, time.time())]

    def parted(self, network: str) -> None:
        """A network is gone, and the plugs of guests with it."""
        for lease, shared in self.shared.items():
            guests = {name: replace(guest, joined=guest.joined - {network}) for name, guest in shared.guests.items()}
            self.shared[lease] = replace(shared, guests=guests)

    # What changes it

    def change(self, **parts: object) -> None:
        self.page = replace(self.page, **parts)  # type: ignore[arg-type]
        self._soil()
        if "files" in parts:
            self.journal.secrecy.learn(self.page.files)

    def note(self, name: str, **parts: object) -> None:
        """Something new about one container."""
        self.seen[name] = replace(self.seen[name], **parts)  # type: ignore[arg-type]
        self._soil()

    def _soil(self) -> None:
        self._dirty = True
        self.unsaved.set()

    def look_for_volumes(self, names: Iterable[str]) -> None:
        self.volumes |= {name for name in names if os.path.isdir(self.places.home.volume(name))}

    def forget(self, name: str) -> None:
        self.seen.pop(name, None)
        self.pids.pop(name, None)
        self.probes.pop(name, None)
        self._early.pop(name, None)
        self._soil()

    def started(self, name: str, run: Run, pid: int) -> None:
        before = self.seen[name]
        again = before.run is not None and before.run.epoch == run.epoch and before.run.config == run.config
        self.pids[name] = pid
        if before.service.secrets:
            self.journal.secrecy.learn(self.page.files)  # it has been given what the files say now
        self.note(
            name,
            run=run,
            health="starting" if before.service.healthcheck else "",
            health_text="",
            health_since=run.started,
            asked_to_stop=None,
            killed=False,
            paused=False,
            restarts=before.restarts + 1 if again else before.restarts,
            oom_kills_before=before.oom_kills,
        )

    def tell_of(self, name: str, action: str, text: str, **attributes: str) -> None:
        """An event about one container. `apart`: the service is served by another, whatever becomes of this one."""
        seen = self.seen.get(name)
        about = {**attributes, "oneoff": "1"} if seen is not None and seen.oneoff else attributes
        if not serves(self.wanted, name):
            about = {**about, "apart": "1"}
        self.journal.tell(action, text, seen.service.name if seen is not None else "", name, about)

    def ended(self, name: str, run: Run) -> None:
        """A run is over (or could not begin): count it, and say so."""
        self.pids.pop(name, None)
        before = self.seen[name].run
        known = before.oom_kills if before is not None else 0
        self.seen[name] = after_end(self.seen[name], run)
        self._soil()
        seen = self.seen[name]
        if run.oom:
            limit = seen.service.limits.memory
            allowed = f"its limit of {limit >> 20} MiB" if limit else "there is"
            self.tell_of(name, "oom", f"{name} wanted more memory than {allowed}")
        elif run.oom_kills > known:
            self._tell_of_kill(name)
        attributes = {"exitCode": str(run.code)} if run.code is not None else {}
        attributes["then"] = what_follows(self.wanted.targets.get(name), seen, time.monotonic())
        self.tell_of(name, "die", f"{name} ended: {seen.last_exit}", how=seen.last_exit, **attributes)

    def killed_by_kernel(self, name: str, run: Run, kills: int) -> None:
        """So many processes of a run that goes on were killed for want of memory: say so, where it is news."""
        if name in self.seen and self.seen[name].run == run and kills > run.oom_kills:
            self.note(name, run=replace(run, oom_kills=kills), oom_at=time.monotonic())
            self._tell_of_kill(name)

    def _tell_of_kill(self, name: str) -> None:
        self.tell_of(name, "oom", f"a process of {name} was killed: the container is at its limit of memory")

    def take(self, child: Child, oom_kills: Callable[[str], int]) -> None:
        """What the keeper says of a container: the end of its current run, if it has ended."""
        seen = self.seen.get(child["name"])
        ended = child["ended"]
        if seen is None or ended is None:
            return
        if seen.run is None or seen.run.number < child["run"]:
            self._early[child["name"]] = child  # it ended before the task that started it heard of its start
            return
        if not seen.run.alive or seen.run.number != child["run"]:
            return
        code, number = child["code"], child["signal"]
        kills = max(seen.run.oom_kills, oom_kills(child["cgroup"]))
        if kills > seen.run.oom_kills:
            self.note(child["name"], oom_at=ended)
        # 137: a shell whose last command was killed.
        killed = (number == 9 or code == 137) and seen.asked_to_stop is None and kills > 0
        exit_code = 128 + number if number is not None else code
        run = replace(seen.run, ended=ended, code=exit_code, signal=number, oom=killed, oom_kills=kills)
        self.ended(child["name"], run)

    def take_early(self, name: str, oom_kills: Callable[[str], int]) -> None:
        """The end of a run that was over as soon as it was begun."""
        child = self._early.pop(name, None)
        if child is not None:
            self.take(child, oom_kills)

    # Who waits for it

    def ring(self) -> None:
        """Something may have to be done: look again."""
        self._bell.set()

    async def rung(self, longest: float | None) -> None:
        with anyio.move_on_after(longest):
            await self._bell.wait()
        self._bell = anyio.Event()

    def pulse(self) -> None:
        """The loop has looked: wake who watches the outcome."""
        self.pulses += 1
        self._changed.set()
        self._changed = anyio.Event()

    async def changed(self, longest: float | None = LONGEST_WAIT) -> None:
        """Returns after the loop has looked, or after `longest` seconds: a pulse that was missed costs no more."""
        with anyio.move_on_after(longest):
            await self._changed.wait()

    async def changed_since(self, pulses: int, longest: float = RARELY) -> None:
        """As `changed`, for those who look all their life: at once where there was a pulse since they last looked,
        at `pulses`. So none is missed, and nobody has to wake in order to see that."""
        if pulses == self.pulses:
            await self.changed(longest)

    async def until_empty(self) -> None:
        """Returns when nothing of the stack is left, or when something is wanted again."""
        while not (self.wanted.targets or self.is_empty()):
            await self.changed()

    def is_empty(self) -> bool:
        return not (
            self.seen
            or self.networks
            or self.busy_networks
            or self.leases
            or self.wanted.discard_volumes & self.volumes
        )

    def leave(self) -> None:
        """The stack is gone: supervisor and keeper are to end."""
        self.leaving = True
        self.pulse()

    # What survives

    def save(self, **parts: object) -> None:
        """Write the page at once and durably, as it will be with these parts; whoever then changes it so makes
        nothing that is not written down. Blocks for the disk, call it from a worker thread. Raises OSError."""
        self._write(durable=True, **parts)

    def save_if_dirty(self) -> None:
        if self._dirty and not self.leaving:
            self._dirty = False
            try:
                self._write(durable=False)
            except OSError:
                self._dirty = True
                raise

    def _write(self, durable: bool, **parts: object) -> None:
        with self._writing:
            # Copies, since the tasks go on changing theirs meanwhile.
            seen, networks = dict(self.page.seen), dict(self.page.networks)
            page = replace(self.page, seen=seen, networks=networks, **parts)  # type: ignore[arg-type]
            save_page(self.places, page, durable)
