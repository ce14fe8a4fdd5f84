"""Everything that the supervisor knows at this moment, in one place, and the bell that says: look again.

Tasks change it between two awaits and ring; the loop reads it as `Facts`. Nothing in here decides.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import anyio

from ..places import Places
from ..plan.facts import Facts, Run, Seen, Trouble, Wanted
from ..plan.phase import after_end
from ..plan.rows import row_of
from ..plan.steps import Plan
from ..stack.model import Network
from ..wire.api import PortRow, Row
from ..wire.keeping import Child
from .book import Page, save_page
from .journal import Journal

LONGEST_WAIT = 1.0


class World:
    def __init__(self, places: Places, page: Page, journal: Journal) -> None:
        self.places = places
        self.page = page
        self.journal = journal
        self.volumes: set[str] = set()
        self.busy_networks: set[str] = set()
        self.troubles: dict[str, Trouble] = {}
        self.pids: dict[str, int] = {}
        self.resolvers: dict[str, list[socket.socket]] = {}  # network key -> sockets that nobody serves yet
        self.notices: list[str] = []
        self.plan = Plan()
        self.settled = False
        self.keeper = anyio.Event()  # set while there is one that has told what it knows
        self.leaving = False  # the stack is gone, keeper and supervisor are about to end
        self._bell = anyio.Event()
        self._changed = anyio.Event()
        self._early: dict[str, Child] = {}
        self._dirty = False
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
        )

    def row(self, name: str) -> Row:
        hold = next((hold for hold in self.plan.holds if hold.container == name), None)
        ports: list[PortRow] = [
            {"host_ip": one.host_ip, "host_port": one.host_port, "port": one.port, "protocol": one.protocol}
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
            self.places.logs(name),
            time.monotonic(),
            time.time(),
        )
        row["pid"] = self.pids.get(name)
        return row

    def rows(self) -> list[Row]:
        return [self.row(name) for name in sorted({*self.wanted.targets, *self.seen})]

    # What changes it

    def change(self, **parts: object) -> None:
        self.page = replace(self.page, **parts)  # type: ignore[arg-type]
        self._dirty = True

    def note(self, name: str, **parts: object) -> None:
        """Something new about one container."""
        self.seen[name] = replace(self.seen[name], **parts)  # type: ignore[arg-type]
        self._dirty = True

    def look_for_volumes(self, names: Iterable[str]) -> None:
        self.volumes |= {name for name in names if os.path.isdir(self.places.home.volume(name))}

    def forget(self, name: str) -> None:
        self.seen.pop(name, None)
        self.pids.pop(name, None)
        self._early.pop(name, None)
        self._dirty = True

    def started(self, name: str, run: Run, pid: int) -> None:
        before = self.seen[name]
        again = before.run is not None and before.run.epoch == run.epoch and before.run.config == run.config
        self.pids[name] = pid
        self.note(
            name,
            run=run,
            health="starting" if before.service.healthcheck else "",
            health_text="",
            health_since=run.started,
            asked_to_stop=None,
            killed=False,
            restarts=before.restarts + 1 if again else before.restarts,
        )

    def ended(self, name: str, run: Run) -> None:
        """A run is over (or could not begin): count it, and say so."""
        self.pids.pop(name, None)
        self.seen[name] = after_end(self.seen[name], run)
        self._dirty = True
        seen = self.seen[name]
        if run.oom:
            limit = seen.service.limits.memory
            allowed = f"its limit of {limit >> 20} MiB" if limit else "there is"
            self.journal.tell("oom", f"{name} wanted more memory than {allowed}", seen.service.name, name)
        attributes = {"exitCode": str(run.code)} if run.code is not None else {}
        self.journal.tell("die", f"{name} ended: {seen.last_exit}", seen.service.name, name, attributes)

    def take(self, child: Child, oom: Callable[[str], bool]) -> None:
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
        killed = number == 9 and seen.asked_to_stop is None and oom(child["cgroup"])
        exit_code = 128 + number if number is not None else code
        self.ended(child["name"], replace(seen.run, ended=ended, code=exit_code, signal=number, oom=killed))

    def take_early(self, name: str, oom: Callable[[str], bool]) -> None:
        """The end of a run that was over as soon as it was begun."""
        child = self._early.pop(name, None)
        if child is not None:
            self.take(child, oom)

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
        self._changed.set()
        self._changed = anyio.Event()

    async def changed(self, longest: float | None = LONGEST_WAIT) -> None:
        """Returns after the loop has looked, or after `longest` seconds: a pulse that was missed costs no more."""
        with anyio.move_on_after(longest):
            await self._changed.wait()

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
