"""Waiting as one does who follows: for what there is to show, and for the end of whoever reads it.

`logs -f | grep -q ready` is over when grep is, not with the container's next line: only a write would tell otherwise.
"""

from __future__ import annotations

import select
import sys

from orchestra.client import SILENCE

from .listen import receive, trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from orchestra.client import Connection


def ready(sources: Sequence[Any], patience: float | None = None) -> list[Any]:
    """Those of `sources` from which can be read, at the latest after `patience` seconds; as select.select.

    Raises BrokenPipeError when nobody reads stdout any more: POLLERR of a pipe, POLLHUP of a terminal (poll(2)).
    """
    waiting = select.poll()
    reader = _descriptor_of_stdout()
    if reader is not None:
        waiting.register(reader, 0)
    numbers = {source if isinstance(source, int) else source.fileno(): source for source in sources}
    for number in numbers:
        waiting.register(number, select.POLLIN)
    found = dict(waiting.poll(None if patience is None else max(0.0, patience) * 1000))
    if reader is not None and found.pop(reader, 0) & (select.POLLERR | select.POLLHUP):
        raise BrokenPipeError
    return [source for number, source in numbers.items() if number in found]


def answers(connection: Connection, number: int) -> Iterator[dict[str, Any]]:
    """As `Connection.answers`, for as long as somebody reads stdout."""
    while True:
        if not ready([connection], SILENCE):
            connection.look(keeper=False)
            continue
        for answer in receive(connection):
            if answer.get("re") == number:
                trouble(answer)
                yield answer
                if answer.get("done"):
                    return


def _descriptor_of_stdout() -> int | None:
    try:
        return sys.stdout.fileno()
    except (OSError, ValueError):  # something else took its place
        return None
