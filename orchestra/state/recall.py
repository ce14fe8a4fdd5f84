"""Reading what a stack remembers, while somebody writes or when nobody runs. Every question has a bound on rows and
on time; what it returns are values of `wire`."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ..errors import OrchestraError
from ..plan.sought import MOST as MOST_EVENTS
from ..plan.sought import Sought
from ..wire.api import Event
from ..wire.history import Alert, Probes
from .archive import COARSE, GRAINS, SCALE, VERSION
from .newer import Newer

PATIENCE = 3.0
"""Seconds that one question may take."""
_STEPS = 20_000  # instructions of SQLite's machine between two looks at the clock
MOST_POINTS = 1500
MOST_PROBES = 20_000


@contextlib.contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection | None]:
    """A connection that only reads; None where nothing is remembered yet. Raises OrchestraError for a question that
    takes too long, or a file that cannot be read."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        yield None
        return
    if not stat.S_ISREG(kind):  # SQLite would wait for who writes into a FIFO
        raise OrchestraError("cannot read the history: it is no file", f"see {path}")
    connection: sqlite3.Connection | None = None
    end = time.monotonic() + PATIENCE
    try:
        connection = sqlite3.connect(f"file:{_quoted(path)}?mode=ro", timeout=PATIENCE, uri=True)
        if connection.execute("PRAGMA user_version").fetchone()[0] > VERSION:
            raise Newer(path)
        connection.execute("PRAGMA query_only = 1")
        connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        yield connection
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise OrchestraError(f"the history takes longer than {PATIENCE:g} s to search", "ask for less") from None
        raise OrchestraError(f"cannot read the history: {error}", f"see {path}") from None
    finally:
        if connection is not None:
            connection.close()


def events(path: str, sought: Sought) -> tuple[list[Event], bool]:
    """The newest that match, oldest first, and whether there are more."""
    terms, values = ["1"], list[Any]()
    bounds = (
        ("time >= ?", sought.since),
        ("time <= ?", sought.until),
        ("id < ?", sought.before),
        ("id > ?", sought.after),
    )
    for term, value in bounds:
        if value is not None:
            terms.append(term)
            values.append(value)
    for column, names in (("service", sought.services), ("container", sought.containers)):
        if names:
            terms.append(f"{column} IN ({_slots(names)})")
            values += names
    if sought.actions:
        slots = _slots(sought.actions)
        terms.append(f"(action IN ({slots}) OR ('health_status' IN ({slots}) AND {_HEALTH}))")
        values += [*sought.actions, *sought.actions]
    if sought.search:
        terms.append("(text LIKE ? ESCAPE '\\' OR container LIKE ? ESCAPE '\\' OR action LIKE ? ESCAPE '\\')")
        values += [f"%{_escaped(sought.search)}%"] * 3
    with reading(path) as connection:
        if connection is None:
            return [], False
        rows = connection.execute(
            f"{_EVENT} WHERE {' AND '.join(terms)} ORDER BY id DESC LIMIT ?", (*values, sought.limit + 1)
        ).fetchall()
    return [_event(row) for row in reversed(rows[: sought.limit])], len(rows) > sought.limit


_EVENT = "SELECT id, time, action, service, container, text, attributes FROM events"
_HEALTH = "action LIKE 'health_status:%'"


def turns(path: str, actions: Sequence[str], start: float, until: float) -> tuple[list[Event], float]:
    """Events of these kinds in a window, after the last one of each container before it; and when the window begins:
    later than asked where it would have too many."""
    kinds = f"(action IN ({_slots(actions)}) OR {_HEALTH})"
    with reading(path) as connection:
        if connection is None:
            return [], start
        within = connection.execute(
            f"{_EVENT} WHERE time >= ? AND time <= ? AND {kinds} ORDER BY id DESC LIMIT ?",
            (start, until, *actions, MOST_EVENTS + 1),
        ).fetchall()
        if len(within) > MOST_EVENTS:
            start = within[-1][1]
        before = connection.execute(
            f"{_EVENT} WHERE id IN (SELECT max(id) FROM events WHERE time < ? AND container != '' AND {kinds}"
            " GROUP BY container) ORDER BY id",
            (start, *actions),
        ).fetchall()
    return [_event(row) for row in (*before, *reversed(within))], start


def series(
    path: str,
    container: str | None,
    service: str | None,
    metrics: Sequence[str],
    start: float,
    until: float,
    step: float,
) -> tuple[int, dict[str, list[list[float]]]]:
    """The step that was used, and for each metric [time, least, mean, most]. A service is the sum of its containers
    (pressure: the most); neither: of all of them."""
    asked = max(step, (until - start) / MOST_POINTS)
    grain = _grain(asked, time.time() - start)
    width = max(1, -(-int(asked) // grain)) * grain
    found: dict[str, list[list[float]]] = {metric: [] for metric in metrics}
    with reading(path) as connection:
        if connection is None:
            return width, found
        which, names = "container = '' AND service = ''", list[str]()
        if container:
            which, names = "container = ?", [container]
        elif service:
            which, names = "service = ? AND container != ''", [service]
        subjects = [row[0] for row in connection.execute(f"SELECT id FROM subjects WHERE {which}", names)]
        if subjects:
            for metric in metrics:
                found[metric] = _points(connection, metric, grain, width, subjects, start, until)
    return width, found


def _points(
    connection: sqlite3.Connection,
    metric: str,
    grain: int,
    width: int,
    subjects: Sequence[int],
    start: float,
    until: float,
) -> list[list[float]]:
    together = "max" if metric.startswith("pressure") else "sum"
    rows = connection.execute(
        f"SELECT time / {width} * {width}, min(a), avg(b), max(c) FROM (SELECT time, {together}(a) AS a,"
        f" {together}(b) AS b, {together}(c) AS c FROM ({_source(metric, grain)})"
        f" WHERE time >= ? AND time <= ? AND subject IN ({_slots(subjects)}) AND b IS NOT NULL GROUP BY time)"
        f" GROUP BY time / {width} ORDER BY 1",
        (int(start) // width * width, until, *subjects),
    )
    scale = SCALE[metric]
    return [[float(at), low / scale, middle / scale, high / scale] for at, low, middle, high in rows]


def _source(metric: str, grain: int) -> str:
    """Samples of a grain, filled up from the next one where it has none: seconds are only kept while somebody
    follows, and what is not five minutes old is not summed up."""
    tens = f"SELECT time, subject, {metric} AS a, {metric} AS b, {metric} AS c FROM uses_10"
    if grain == 10:
        return tens
    if grain == COARSE:
        summed = "(SELECT coalesce(max(value), 0) FROM marks WHERE name = 'summed')"
        coarse = (
            f"SELECT time, subject, {metric}_least AS a, {metric}_mean AS b, {metric}_most AS c FROM uses_{COARSE}"
        )
        return f"{coarse} UNION ALL {tens} WHERE time >= {summed}"
    both = "SELECT 1 FROM uses_1 WHERE uses_1.time = uses_10.time AND uses_1.subject = uses_10.subject"
    return f"{tens.replace('uses_10', 'uses_1')} UNION ALL {tens} WHERE NOT EXISTS ({both})"


def _grain(asked: float, age: float) -> int:
    """The coarsest that is not coarser than the step that was asked for, of those that reach back so far."""
    reaching = [grain for grain, kept in GRAINS.items() if age <= kept] or [COARSE]
    return max((grain for grain in reaching if grain <= asked), default=reaching[0])


def probes(
    path: str, services: Collection[str] | None, start: float, until: float
) -> tuple[dict[str, list[Probes]], bool]:
    """By container; and whether older ones had to be left out."""
    term = f" AND service IN ({_slots(services)})" if services else ""
    found: dict[str, list[Probes]] = {}
    with reading(path) as connection:
        if connection is None:
            return found, False
        rows = connection.execute(
            "SELECT container, time, count, failed, least, total / count, most, text FROM probes JOIN subjects ON"
            f" subjects.id = subject WHERE time >= ? AND time <= ?{term} ORDER BY time DESC LIMIT ?",
            (int(start) // 60 * 60, until, *(services or ()), MOST_PROBES + 1),
        ).fetchall()
    for container, at, count, failed, least, mean, most, text in reversed(rows[:MOST_PROBES]):
        found.setdefault(container, []).append(
            {
                "time": at,
                "count": count,
                "failed": failed,
                "least": least,
                "mean": mean,
                "most": most,
                "text": text,
            }
        )
    return found, len(rows) > MOST_PROBES


def alerts(path: str, start: float, limit: int) -> list[Alert]:
    """Firing ones first, then the newest."""
    with reading(path) as connection:
        if connection is None:
            return []
        rows = connection.execute(
            "SELECT id, rule, service, container, since, resolved, text, sent, failed FROM alerts WHERE resolved IS"
            " NULL OR resolved >= ? ORDER BY resolved IS NOT NULL, since DESC LIMIT ?",
            (start, max(1, min(limit, MOST_EVENTS))),
        ).fetchall()
    keys = ("id", "rule", "service", "container", "since", "resolved", "text", "sent", "failed")
    return [dict(zip(keys, row, strict=True)) for row in rows]  # type: ignore[misc]  # the keys of Alert


def _event(row: Any) -> Event:
    ident, moment, action, service, container, text, attributes = row
    return {
        "id": ident,
        "time": moment,
        "action": action,
        "service": service,
        "container": container,
        "text": text,
        "attributes": json.loads(attributes),
    }


def _slots(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _quoted(path: str) -> str:
    """For SQLite's URI (sqlite.org/uri.html)."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
