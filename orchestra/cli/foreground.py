"""`orchestra up` in the foreground: bring up, show the output, and take it all down again on Ctrl-C.

Closing this command changes nothing for the stack; only an interrupt (or --abort-on-…) does. Behaviour as docker
compose's up.go: once stops, twice kills, containers stay, exit status 130.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from orchestra.client import SILENCE, Connection, NotRunning, SupervisorGone
from orchestra.errors import OrchestraError
from orchestra.places import Places
from orchestra.stack.model import Stack

from .console import echo
from .interrupts import Interrupts
from .listen import receive, trouble
from .options import Asked
from .origin import settle
from .output import Output, say_who_is_silent
from .printer import Printer
from .progress import Progress, progress
from .queue import turn
from .reach import PATIENCE
from .remarks import remark
from .up import count, reached
from .waiting import ready

INTERRUPTED = 130
HEALTH_PATIENCE = 10.0  # seconds that the output waits for everything to be healthy, so that progress is seen
GLANCE = 0.05  # seconds between two looks at the logs
LAST_LOOK = 0.5  # seconds
ENDED = ("exited", "dead")


class Interrupted(Exception):
    """Ctrl-C, or SIGTERM."""


class Foreground:
    def __init__(
        self,
        connection: Connection,
        held: turn,
        places: Places,
        stack: Stack,
        request: dict[str, Any],
        asked: Asked,
        options: dict[str, Any],
    ) -> None:
        self.connection = connection
        self.held = held
        self.places = places
        self.stack = stack
        self.request = request
        self.asked = asked
        self.options = options
        self.mine = reached(stack, request["services"], request["no_deps"])
        self.total = count(stack, request)
        printer = Printer(
            prefix=not options["no_log_prefix"],
            colour=not options["no_color"],
            timestamps=options["timestamps"],
            apart=True,
        )
        self.attached = attached(stack, self.mine, request["services"], options)
        self.output = Output(places.name, self.attached, printer)
        self.show = Progress("up", "running")
        self.rows: dict[str, dict[str, Any]] = {}
        self.said = request
        self.awaited: int | None = None  # the number of the request that `said` was sent as, until it is answered
        self.accepted = False  # it is written down: it has been said
        self.heard = time.monotonic()
        self.over_since: float | None = None

    def run(self) -> int:
        settle(self.connection, self.asked, self.held, self.request["stack"], self.options["take_over"])
        with Interrupts() as self.interrupts:
            try:
                self._bring_up()
                return self._attend()
            except Interrupted:
                echo("", sys.stderr)  # below the terminal's ^C
                return self._stop(INTERRUPTED)
            except OrchestraError:
                self._show_output()  # the reason is often among the last words
                self.output.finish()
                raise

    def _bring_up(self) -> None:
        self.show = progress(self.asked.progress, "up", "healthy", self.total)
        try:
            self._wait(self.request)
            remark(self.connection, {*self.stack.services, *self.stack.disabled}, self.asked.environ)
            self.connection.send({"do": "watch"})
            end = time.monotonic() + HEALTH_PATIENCE
            while time.monotonic() < end and self._on_the_way():
                self._step(self.show.tick or GLANCE)
                self.show.draw()
        finally:
            self.show.close()
            self.show = Progress("up", "running")

    def _on_the_way(self) -> bool:
        """Whether something is not healthy yet, and nothing has gone wrong that the output would tell about."""
        marks = {step.mark for step in self.show.steps.values()}
        return "failed" not in marks and ("working" in marks or not self.rows)

    def _attend(self) -> int:
        """Show the output until everything has ended, or one has and that was to be the end."""
        say_who_is_silent(row for row in self.rows.values() if row["service"] in self.attached)
        while True:
            shown = self._show_output()
            try:
                self._step(0 if shown else self.output.patience(), *self.output.sources())
            except NotRunning:
                self._show_output()
                return 0
            if (code := self._verdict()) is not None:
                return code

    def _verdict(self) -> int | None:
        """The exit status, once there is one."""
        mine = [row for row in self.rows.values() if not row["oneoff"]]
        rows = [row for row in mine if row["service"] in self.attached] or mine
        over = [row for row in rows if row["state"] in ENDED]
        chosen = self.options["exit_code_from"]
        abort = self.options["abort_on_exit"] or chosen
        failed = [row for row in over if row["exit_code"] != 0]
        if (abort and over) or (self.options["abort_on_failure"] and failed):
            first = min(over if abort else failed, key=lambda row: row["ended"] or 0)
            how = f": {first['last_exit']}" if first["last_exit"] else ""
            self._stop(0, f"{first['name']} has ended{how}; stopping all")
            from_rows = [row for row in self.rows.values() if row["service"] == chosen] or [first]
            return int(from_rows[0]["exit_code"] or 0)
        if not rows or len(over) < len(rows):
            self.over_since = None
            return None
        if self.over_since is None:
            self.over_since = time.monotonic()
        # A restart by another command shows for a moment what looks like the end.
        if time.monotonic() - self.over_since < LAST_LOOK:
            return None
        self._show_output()
        return 0

    def _stop(self, code: int, why: str = "Gracefully stopping… (press Ctrl-C again to force)") -> int:
        echo(why, sys.stderr)
        services = None if self.request["services"] is None else sorted(self.mine)
        self.show = progress(self.asked.progress, "stop", "stopped", 0)
        for row in list(self.rows.values()):
            self._see(row)
        try:
            self._finish({"do": "stop", "services": services, "timeout": self.options["timeout"]})
        except Interrupted:
            self.show.erase()
            echo("Killing…", sys.stderr)
            try:
                self._finish({"do": "kill", "services": services, "signal": "SIGKILL"})
                self._see_them_end()
            except Interrupted:
                return INTERRUPTED
        finally:
            self.show.close()
            self._show_output()
            self.output.finish()
        return code

    def _see_them_end(self) -> None:
        """What was killed takes the kernel a moment; the last frame shows it stopped."""
        end = time.monotonic() + LAST_LOOK
        while time.monotonic() < end and any(each.mark == "working" for each in self.show.steps.values()):
            self._step(self.show.tick or GLANCE)
            self.show.draw()

    def _finish(self, request: dict[str, Any]) -> None:
        """Have it stopped or killed, with the last words of the containers above the progress."""
        self._ask(request)
        while self.awaited is not None:
            self._show_output()
            self._step(self.show.tick or self.output.patience(), *self.output.sources())
            self.show.draw()

    def _wait(self, request: dict[str, Any]) -> None:
        self._ask(request)
        while self.awaited is not None:
            self._step(self.show.tick)
            self.show.draw()

    def _ask(self, request: dict[str, Any]) -> None:
        self.said = request
        self.accepted = False
        try:
            self.awaited = self.connection.send(request)
        except SupervisorGone:
            self.awaited = 0
            self._reconnect()

    def _step(self, patience: float | None, *more: Any) -> None:
        """Take in what arrives within `patience` seconds, or until one of `more` is ready. Raises Interrupted."""
        sources: list[Any] = [self.connection, self.interrupts, *more]
        if self.awaited is not None:
            patience = SILENCE if patience is None else min(patience, SILENCE)
        found = ready(sources, patience)
        if self.interrupts in found and self.interrupts.taken():
            raise Interrupted
        if self.connection not in found:
            if self.awaited is not None and time.monotonic() >= self.heard + SILENCE:
                self.connection.look()
                self.heard = time.monotonic()
            return
        self.heard = time.monotonic()
        try:
            arrived = receive(self.connection)
        except OrchestraError:
            self._reconnect()
            return
        for answer in arrived:
            for row in answer.get("rows", ()):
                self._see(row)
            if answer.get("re") == self.awaited:
                trouble(answer)
                self._take(answer)

    def _take(self, answer: dict[str, Any]) -> None:
        if answer.get("accepted"):
            self.accepted = True
        if answer.get("done"):
            self.awaited = None
        if self.accepted or self.awaited is None:
            self.held.let_go()

    def _reconnect(self) -> None:
        """The supervisor has gone: its successor takes over in a moment, unless the stack has been taken down."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.connection = Connection(self.places, patience=GLANCE)
                break
            except NotRunning:
                if time.monotonic() > end or not os.path.isdir(self.places.run):
                    raise
        self.connection.send({"do": "watch"})
        if self.awaited is not None:
            self.awaited = self.connection.send(self._follow() if self.accepted else self.said)

    def _follow(self) -> dict[str, Any]:
        """Said again, it would undo what others have changed since."""
        until = self.said.get("until", "stopped")
        return {"do": "follow", "services": sorted(self.mine), "until": until}

    def _see(self, row: dict[str, Any]) -> None:
        if row["service"] not in self.mine:
            return
        self.show.row(row)
        if "owner" in row:
            return  # it goes on without us
        self.rows[row["name"]] = row
        if row.get("gone"):
            del self.rows[row["name"]]
        elif row["service"] in self.attached:
            self.output.add(row)

    def _show_output(self) -> bool:
        return self.output.show(before=self.show.erase)


def attached(stack: Stack, mine: set[str], named: list[str] | None, options: dict[str, Any]) -> set[str]:
    """The services whose output is shown: those named, or all, without those that do not want it."""
    chosen = set(options["attach"]) or (mine if named is None or options["attach_dependencies"] else set(named))
    quiet = {name for name in mine & set(stack.services) if not stack.services[name].attach} - set(options["attach"])
    return (chosen & set(stack.services)) - quiet - set(options["no_attach"])
