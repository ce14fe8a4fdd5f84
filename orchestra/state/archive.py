"""What a stack remembers: events, probes and use, in one SQLite file with a bound on rows, age and bytes.

One thread at a time writes; readers (`recall`) have connections of their own, which a write-ahead log lets look on
meanwhile (sqlite.org/wal.html). Each write is one transaction, kept by the kernel when the supervisor is killed and
on disk at the next checkpoint: a loss of power may cost the last seconds, never the file.

Use is kept in three grains: a second (only while somebody follows), ten seconds, five minutes. The key begins with
the time, so that a sample of all containers is one place of the file, not one for each container.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from .. import ours
from ..plan.probesum import ProbeSum
from ..wire.api import Event
from ..wire.history import METRICS, Alert
from .files import ensure_folder

VERSION = 1
LARGEST = 64 << 20
"""Bytes of the file; past that the oldest of the finest goes first."""
DAY = 86400.0
GRAINS: Mapping[int, float] = {1: 900.0, 10: DAY, 300: 30 * DAY}
"""Seconds of one sample, and how long such samples are kept."""
COARSE = 300
EVENTS_KEPT, EVENTS_AGE = 100_000, 30 * DAY
MOST_SUBJECTS = 2000
PROBES_AGE, PROBES_HOURLY_AGE = DAY, 30 * DAY

SCALE: Mapping[str, float] = {
    name: {"cores": 1e6, "share of time": 1e6, "per cent": 100.0, "bytes": 1 / 1024}.get(unit, 1.0)
    for name, unit in METRICS.items()
}
"""What a value is multiplied with before it is kept as a whole number: SQLite stores small ones in few bytes."""

_EACH = ", ".join(METRICS)
_COARSE_COLUMNS = [f"{name}_{part}" for name in METRICS for part in ("least", "mean", "most")]
_SCHEMA = f"""
CREATE TABLE events (id INTEGER PRIMARY KEY, time REAL NOT NULL, action TEXT NOT NULL, service TEXT NOT NULL,
    container TEXT NOT NULL, text TEXT NOT NULL, attributes TEXT NOT NULL);
CREATE INDEX events_of_container ON events (container, id);
CREATE TABLE subjects (id INTEGER PRIMARY KEY, container TEXT NOT NULL, service TEXT NOT NULL,
    UNIQUE (container, service));
CREATE TABLE uses_1 (time INTEGER, subject INTEGER, {_EACH}, PRIMARY KEY (time, subject)) WITHOUT ROWID;
CREATE TABLE uses_10 (time INTEGER, subject INTEGER, {_EACH}, PRIMARY KEY (time, subject)) WITHOUT ROWID;
CREATE TABLE uses_300 (time INTEGER, subject INTEGER, {", ".join(_COARSE_COLUMNS)}, PRIMARY KEY (time, subject))
    WITHOUT ROWID;
CREATE TABLE probes (time INTEGER, span INTEGER, subject INTEGER, count INTEGER, failed INTEGER, least REAL,
    total REAL, most REAL, text TEXT, PRIMARY KEY (time, span, subject)) WITHOUT ROWID;
CREATE TABLE alerts (id INTEGER PRIMARY KEY, rule TEXT NOT NULL, service TEXT NOT NULL, container TEXT NOT NULL,
    since REAL NOT NULL, resolved REAL, text TEXT NOT NULL, sent INTEGER NOT NULL, failed TEXT NOT NULL);
CREATE TABLE marks (name TEXT PRIMARY KEY, value REAL) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
_FAST = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", "PRAGMA journal_size_limit = 1048576")
_BAD = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Unwritable(Exception):
    """The disk is full, or not ours to write: what was to be kept is not. Said in its message."""


class Archive:
    """Every method blocks for the disk: call them from a worker thread, one at a time. Each may raise Unwritable."""

    def __init__(self, path: str, largest: int = LARGEST) -> None:
        self.path = path
        self.notices: list[str] = []  # what a person should know about it
        self._largest = largest
        self._connection: sqlite3.Connection | None = None
        self._subjects: dict[tuple[str, str], int] = {}

    def open(self) -> None:
        """Open or begin the file. One that is damaged is set aside, and a new one begun; one of a newer
        version stays as it is."""
        if self._connection is not None:
            return
        try:
            self._connection = self._opened()
        except sqlite3.Error as error:
            if not _is_bad(error):
                raise Unwritable(str(error)) from None
            self._begin_anew(str(error))
        except OSError as error:
            raise Unwritable(error.strerror or str(error)) from None

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None
        self._subjects = {}

    def remove(self) -> None:
        """The file and what SQLite keeps beside it; not those of a newer version, which others may go on with."""
        self.close()
        if _version_of(self.path) > VERSION:
            raise Unwritable(_newer(self.path))
        for ending in ("", "-wal", "-shm"):
            ours.clear(self.path + ending)

    def add(
        self,
        events: Sequence[Event] = (),
        probes: Sequence[ProbeSum] = (),
        uses: Mapping[tuple[str, str], Mapping[str, float | None]] | None = None,
        grain: int = 10,
        now: float = 0.0,
    ) -> None:
        """All of it in one transaction. `uses`: (container, service) -> metric -> value, of the sample at `now`;
        ("", "") is the sum of all containers."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", [_event_row(event) for event in events]
            )
            connection.executemany(
                "INSERT INTO probes VALUES (?, 60, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " count = count + excluded.count, failed = failed + excluded.failed,"
                " least = min(least, excluded.least), total = total + excluded.total,"
                " most = max(most, excluded.most), text = excluded.text",
                [self._probe_row(one) for one in probes],
            )
            if uses:
                slots = ", ".join("?" * (2 + len(METRICS)))
                rows = [
                    (int(now) // grain * grain, self._subject(*who), *(_kept(m, its.get(m)) for m in METRICS))
                    for who, its in uses.items()
                ]
                connection.executemany(f"INSERT OR REPLACE INTO uses_{grain} VALUES ({slots})", rows)
            if now:
                connection.execute("INSERT OR REPLACE INTO marks VALUES ('alive', ?)", (now,))

    def last_alive(self) -> float | None:
        """When a supervisor last wrote down a sample."""
        return self._mark("alive")

    def last_event(self) -> int:
        """The highest id; the next one has to be above it, whatever the clock says by now."""
        with self._writing() as connection:
            return int(connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])

    def keep_alert(self, alert: Alert) -> None:
        """A new one, or that one is over; who was told of it stays as it was noted."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO alerts VALUES (:id, :rule, :service, :container, :since, :resolved, :text, :sent,"
                " :failed) ON CONFLICT (id) DO UPDATE SET resolved = excluded.resolved, text = excluded.text",
                alert,
            )

    def note_told(self, alert: int, failed: str) -> None:
        """A receiver has heard of it, or has not, and why; it may be over by then."""
        with self._writing() as connection:
            if failed:
                connection.execute("UPDATE alerts SET failed = ? WHERE id = ?", (failed, alert))
            else:
                connection.execute("UPDATE alerts SET sent = sent + 1 WHERE id = ?", (alert,))

    def tidy(self, now: float) -> None:
        """Sum up what is old, let go what is too old or too much."""
        with self._writing() as connection:
            self._sum_up(connection, now)
            for grain, age in GRAINS.items():
                connection.execute(f"DELETE FROM uses_{grain} WHERE time < ?", (now - age,))
            hours = "INSERT OR REPLACE INTO probes SELECT time / 3600 * 3600, 3600, subject, sum(count), sum(failed),"
            old = (int(now - PROBES_AGE) // 3600 * 3600,)
            connection.execute(
                f"{hours} min(least), sum(total), max(most), text FROM probes WHERE span = 60 AND time < ?"
                " GROUP BY time / 3600, subject",
                old,
            )
            connection.execute("DELETE FROM probes WHERE span = 60 AND time < ?", old)
            connection.execute("DELETE FROM probes WHERE time < ?", (now - PROBES_HOURLY_AGE,))
            connection.execute("DELETE FROM alerts WHERE resolved < ?", (now - EVENTS_AGE,))
            connection.execute("DELETE FROM events WHERE time < ?", (now - EVENTS_AGE,))
            connection.execute(
                "DELETE FROM events WHERE id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (EVENTS_KEPT,),
            )
            self._forget_subjects(connection)
        self._shrink()

    def size(self) -> int:
        """Bytes of the file that hold something."""
        with self._writing() as connection:
            pages, free, each = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * each)

    # How

    def _opened(self) -> sqlite3.Connection:
        ensure_folder(os.path.dirname(self.path))
        for ending in ("-wal", "-shm"):
            if os.path.lexists(self.path + ending) and not os.path.isfile(self.path + ending):
                ours.set_aside(self.path + ending)
        os.close(ours.lock_file(self.path))  # SQLite would make it 0644, and write through a link
        connection = sqlite3.connect(self.path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise Unwritable(_newer(self.path))
            if not version:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            for pragma in _FAST:
                connection.execute(pragma)
            if not version:
                connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            elif version != VERSION:
                raise _bad(f"it is of version {version}, and this orchestra knows {VERSION}")
            connection.execute("SELECT count(*) FROM subjects").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin_anew(self, why: str) -> None:
        self.close()
        try:
            aside = ours.set_aside(self.path)
            self.remove()
            self._connection = self._opened()
        except (OSError, sqlite3.Error) as error:
            raise Unwritable(str(error)) from None
        self.notices.append(f"the history was not readable ({why}) and begins anew; the old one is {aside}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; a damage that shows now begins the file anew, without what was to be written."""
        self.open()
        connection = self._connection
        assert connection is not None
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._subjects = {}  # ids that the transaction gave are not given
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if _is_bad(error):
                self._begin_anew(str(error))
            raise Unwritable(str(error)) from None

    def _subject(self, container: str, service: str) -> int:
        who = (container, service)
        if who not in self._subjects:
            assert self._connection is not None
            self._connection.execute("INSERT OR IGNORE INTO subjects (container, service) VALUES (?, ?)", who)
            found = self._connection.execute("SELECT id FROM subjects WHERE container = ? AND service = ?", who)
            self._subjects[who] = found.fetchone()[0]
        return self._subjects[who]

    def _probe_row(self, one: ProbeSum) -> tuple[object, ...]:
        who = self._subject(one.container, one.service)
        return (one.time, who, one.count, one.failed, one.least, one.total, one.most, one.text)

    def _mark(self, name: str) -> float | None:
        with self._writing() as connection:
            row = connection.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
            return row[0] if row else None

    def _sum_up(self, connection: sqlite3.Connection, now: float) -> None:
        """Ten-second samples of every five minutes that are over become one row for each subject."""
        row = connection.execute("SELECT value FROM marks WHERE name = 'summed'").fetchone()
        start, end = int(row[0] if row else 0), int(now) // COARSE * COARSE
        parts = ", ".join(f"min({name}), avg({name}), max({name})" for name in METRICS)
        connection.execute(
            f"INSERT OR REPLACE INTO uses_{COARSE} SELECT time / {COARSE} * {COARSE}, subject, {parts} FROM uses_10"
            f" WHERE time >= ? AND time < ? GROUP BY time / {COARSE}, subject",
            (start, end),
        )
        connection.execute("INSERT OR REPLACE INTO marks VALUES ('summed', ?)", (end,))

    def _forget_subjects(self, connection: sqlite3.Connection) -> None:
        """Names of which nothing is kept any more; each one-off container has one of its own."""
        if connection.execute("SELECT count(*) FROM subjects").fetchone()[0] > MOST_SUBJECTS:
            used = " UNION ".join(f"SELECT subject FROM {table}" for table in (*map(_uses, GRAINS), "probes"))
            connection.execute(f"DELETE FROM subjects WHERE id NOT IN ({used})")
            self._subjects = {}

    def _shrink(self) -> None:
        """Below the bound on bytes, a tenth at a time: seconds, ten seconds, probes, five minutes, events."""
        for _ in range(100):
            if self.size() <= self._largest:
                break
            with self._writing() as connection:
                if not any(_drop_oldest(connection, table) for table in _DROPPED_IN_ORDER):
                    break
        assert self._connection is not None
        try:
            self._connection.execute("PRAGMA incremental_vacuum").fetchall()
        except sqlite3.Error as error:
            raise Unwritable(str(error)) from None


def _uses(grain: int) -> str:
    return f"uses_{grain}"


_DROPPED_IN_ORDER = ("uses_1", "uses_10", "probes", "uses_300", "events")


def _drop_oldest(connection: sqlite3.Connection, table: str) -> bool:
    """A tenth of the time that a table covers. False where there is nothing to drop."""
    first, last = connection.execute(f"SELECT min(time), max(time) FROM {table}").fetchone()
    if first is None:
        return False
    connection.execute(f"DELETE FROM {table} WHERE time <= ?", (first + (last - first) / 10,))
    return True


def _event_row(event: Event) -> tuple[int, float, str, str, str, str, str]:
    attributes = json.dumps(event["attributes"], separators=(",", ":"))
    who = (event["service"], event["container"])
    return (event["id"], event["time"], event["action"], *who, event["text"], attributes)


def _kept(metric: str, value: float | None) -> int | None:
    return None if value is None else round(value * SCALE[metric])


def _newer(path: str) -> str:
    return f"{path} was written by a newer orchestra; it stays as it is"


def _version_of(path: str) -> int:
    """The user version in the head of a database (sqlite.org/fileformat.html, 1.3), 0 where there is none."""
    try:
        handle = ours.to_read(path)
    except OSError:
        return 0
    try:
        head = os.pread(handle, 64, 0)
    finally:
        os.close(handle)
    return int.from_bytes(head[60:], "big") if head.startswith(b"SQLite format 3\0") else 0


def _bad(why: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(why)
    error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    return error


def _is_bad(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) in _BAD
