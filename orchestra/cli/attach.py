"""`orchestra attach`: the caller's terminal beside a running container's own process.

What it writes comes from its log, which the keeper keeps anyway; what is typed goes to its standard input, where
that is open (`stdin_open`, `tty`). Leaving it leaves it alone.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack
from types import FrameType
from typing import Any

import click

from orchestra.client import Connection
from orchestra.errors import OrchestraError
from orchestra.logs.follow import Follower
from orchestra.logs.layout import STDERR
from orchestra.logs.reader import Cursor

from .console import echo
from .interrupts import hear
from .listen import receive, trouble
from .options import Asked, FileFirst, project_options
from .output import say_who_is_silent
from .project import find, need_services
from .reach import at_owner, connect
from .terminal import follow_size, raw, write_all
from .waiting import ready

BLOCK = 1 << 16
PROXIED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT")
CONTROLS = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


@click.command(cls=FileFirst)
@click.argument("service")
@click.option("--detach-keys", default="ctrl-p,ctrl-q", show_default=True, metavar="KEYS", help="Keys that leave it.")
@click.option("--index", type=int, default=0, metavar="N", help="This replica.")
@click.option("--no-stdin", is_flag=True, help="Do not pass stdin on.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on (it does by default).")
@project_options()
@click.pass_obj
def command(asked: Asked, service: str, detach_keys: str, index: int, no_stdin: bool, sig_proxy: bool) -> int:
    """Attach stdin, stdout and stderr to a running container; ends with its exit code."""
    keys = parsed_keys(detach_keys)
    connection, (service,) = at_owner(connect(find(asked)), asked.home(), [service])
    with connection:
        rows = connection.call({"do": "status"})["rows"]
        need_services(asked, [service], rows)
        say_who_is_silent(row for row in rows if row["service"] == service)
        request = {"do": "attach", "service": service, "index": index, "stdin": not no_stdin}
        return Attachment(connection, request, keys, sig_proxy).run()


def parsed_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q`, `a`, or both kinds together, as bytes (docker attach, --detach-keys)."""
    found = b""
    for word in filter(None, text.split(",")):
        control = word[5:] if word.startswith("ctrl-") else ""
        if len(word) == 1 and word.isascii():
            found += word.encode()
        elif len(control) == 1 and control in CONTROLS:
            found += bytes((CONTROLS.index(control),))
        else:
            raise OrchestraError(f"--detach-keys {text}: {word} is no key", 'write it like "ctrl-p,ctrl-q"')
    return found


class Attachment:
    def __init__(self, connection: Connection, request: dict[str, Any], keys: bytes, sig_proxy: bool) -> None:
        self._connection = connection
        self._number = connection.send(request)
        self._keys = keys
        self._sig_proxy = sig_proxy
        self._input: int | None = None  # into the container
        self._typed = b""  # the beginning of the keys that leave

    def run(self) -> int:
        begun = time.time_ns()
        with ExitStack() as undo:
            answer = self._wait_for_start()
            log = undo.enter_context(Follower())
            log.add("", Cursor(answer["logs"], begun))
            if self._connection.descriptors:
                self._input = self._connection.descriptors.pop()
                undo.callback(os.close, self._input)
            if answer["tty"] and self._input is not None and sys.stdin.isatty():
                undo.enter_context(raw(sys.stdin.fileno()))
                undo.enter_context(follow_size(sys.stdout.fileno(), self._input))
            elif self._sig_proxy:
                self._pass_signals_on(answer["attached"])
            try:
                return self._copy(log)
            finally:
                self._show(log)

    def _wait_for_start(self) -> dict[str, Any]:
        while True:
            for answer in receive(self._connection):
                if answer.get("re") == self._number:
                    trouble(answer)
                    return answer

    def _pass_signals_on(self, name: str) -> None:
        def passed_on(number: int, _: FrameType | None) -> None:
            self._connection.send({"do": "signal", "name": name, "signal": signal.Signals(number).name})

        for each in PROXIED:
            hear(signal.Signals[each], passed_on)

    def _copy(self, log: Follower) -> int:
        stdin: int | None = sys.stdin.fileno() if self._input is not None else None
        while True:
            self._show(log)
            watched: list[Any] = [self._connection, *([log] if log.fileno() >= 0 else [])]
            found = ready([*watched, *([] if stdin is None else [stdin])], log.patience())
            if stdin is not None and stdin in found:
                typed = os.read(stdin, BLOCK)
                if not typed:
                    stdin = None
                elif self._leaves(typed):
                    echo("read escape sequence", sys.stderr)
                    return 0
            if self._connection in found and (code := self._ended()) is not None:
                return code

    def _ended(self) -> int | None:
        for answer in receive(self._connection):
            if answer.get("re") == self._number:
                trouble(answer)
                if answer.get("done"):
                    return int(answer["code"])
        return None

    def _leaves(self, typed: bytes) -> bool:
        """Hand on what was typed, but for the keys that leave; what began like them follows once it is not them."""
        assert self._input is not None
        passed = b""
        for at in range(len(typed)):
            self._typed += typed[at : at + 1]
            while self._typed and not self._keys.startswith(self._typed):
                passed, self._typed = passed + self._typed[:1], self._typed[1:]
            if self._keys and self._typed == self._keys:
                write_all(self._input, passed)
                return True
        write_all(self._input, passed)
        return False

    def _show(self, log: Follower) -> None:
        for _, block in log.pull():
            write_all(sys.stderr.fileno() if block.kind == STDERR else sys.stdout.fileno(), block.data)
