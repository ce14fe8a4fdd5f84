"""Waiting for the answer to one request, with the rows that come before it shown as progress."""

from __future__ import annotations

import select
import time

from orchestra.client import SILENCE, SupervisorGone
from orchestra.errors import OrchestraError
from orchestra.wire.frames import BadFrame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from orchestra.client import Connection

    from .progress import Progress
    from .queue import turn


def listen(
    connection: Connection, number: int, show: Progress, held: turn, patience: float | None = None
) -> dict[str, Any]:
    """The last answer to a request; the turn is given away as soon as what was asked for is written down.

    Raises OrchestraError for an error, TimeoutError after `patience` seconds.
    """
    end = None if patience is None else time.monotonic() + patience
    looked = time.monotonic()
    try:
        while True:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            pause = min(each for each in (show.tick, left, SILENCE) if each is not None)
            if not select.select([connection], [], [], pause)[0]:
                if time.monotonic() >= looked + SILENCE:
                    connection.look()
                    looked = time.monotonic()
            else:
                for answer in receive(connection):
                    if answer.get("re") != number:
                        continue
                    for row in answer.get("rows", ()):
                        show.row(row)
                    trouble(answer)
                    if answer.get("accepted") or answer.get("done"):
                        held.let_go()
                    if answer.get("done"):
                        return answer
            show.draw()
    finally:
        show.close()


def receive(connection: Connection) -> list[dict[str, Any]]:
    """What came in, with the loss of the supervisor as an error for people."""
    try:
        return connection.receive()
    except (EOFError, ConnectionError, BadFrame) as error:
        raise SupervisorGone(f"the supervisor went away: {error}", "run the command again") from None


def trouble(answer: dict[str, Any]) -> None:
    """Raise what an answer says went wrong."""
    if told := answer.get("error"):
        raise OrchestraError(told["what"], told.get("hint"), told.get("status", 1))
