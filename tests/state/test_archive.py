"""What is remembered: written, summed up, bounded, read back, and begun anew when it is damaged."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestra.errors import OrchestraError
from orchestra.plan.probesum import ProbeSum
from orchestra.plan.sought import Sought
from orchestra.state import archive as archives
from orchestra.state import recall
from orchestra.state.archive import Archive, Unwritable
from orchestra.wire.history import METRICS, Alert

NOW = 1_000_000_000.0
NOTHING = dict.fromkeys(METRICS)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    monkeypatch.setattr(recall.time, "time", lambda: NOW)
    one = Archive(str(tmp_path / "stack" / "history.db"))
    yield one
    one.close()


def event(number: int, action: str = "start", text: str = "", container: str = "c-1") -> Any:
    who = {"service": "c", "container": container}
    return {"id": number, "time": float(number), "action": action, **who, "text": text, "attributes": {"n": "1"}}


def use(archive: Archive, at: float, grain: int = 10, container: str = "c-1", **metrics: float) -> None:
    archive.add(uses={(container, container.split("-")[0]): {**NOTHING, **metrics}}, grain=grain, now=at)


def test_events_come_back_as_they_were(archive: Archive) -> None:
    """By time, id, action, words; % and _ are letters; the newest where there are too many."""
    archive.add(
        [event(1), event(2, "health_status: healthy"), event(3, "die", "100% of a_b"), event(3, "die", "twice")]
    )
    found, more = recall.events(archive.path, Sought())
    assert [one["id"] for one in found] == [1, 2, 3]
    assert not more
    assert found[2] == event(3, "die", "100% of a_b")

    def ids(**sought: Any) -> list[int]:
        return [one["id"] for one in recall.events(archive.path, Sought(**sought))[0]]

    assert ids(actions=("health_status",)) == [2]
    assert (ids(search="0% OF A_B"), ids(search="a%b")) == ([3], [])
    assert (ids(before=3, limit=1), ids(after=1), ids(since=2.0, until=2.5)) == ([2], [2, 3], [2])
    assert recall.events(archive.path, Sought(limit=2))[1]


def test_the_state_before_a_window_is_known(archive: Archive) -> None:
    """The last turn of each container before it comes first."""
    archive.add([event(1), event(2, "die"), event(3, container="d-1"), event(10, "start"), event(11, "oom")])
    told, begin = recall.turns(archive.path, ("start", "die"), 5.0, 20.0)
    assert [one["id"] for one in told] == [2, 3, 10]
    assert begin == 5.0


def test_a_window_with_too_many_events_begins_later(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the state of everybody at that moment, so that nothing is wrong, only missing."""
    monkeypatch.setattr(recall, "MOST_EVENTS", 3)
    archive.add([event(1), event(6, container="d-1"), event(7, "die"), *(event(n) for n in (8, 9, 10, 11))])
    told, begin = recall.turns(archive.path, ("start", "die"), 5.0, 20.0)
    assert begin == 8.0
    assert [one["id"] for one in told] == [6, 7, 8, 9, 10, 11]


def test_series_have_a_least_a_mean_and_a_most(archive: Archive) -> None:
    """In the step that was asked for; a service is the sum of its containers, pressure the most of them."""
    for at in range(0, 60, 10):
        use(archive, NOW - 60 + at, cpu=at / 10, pressure_cpu=1.0)
        use(archive, NOW - 60 + at, container="c-2", cpu=1.0, pressure_cpu=at / 10)
    step, found = recall.series(archive.path, "c-1", None, ["cpu", "read"], NOW - 60, NOW, 30)
    assert step == 30
    assert [point[1:] for point in found["cpu"]] == [[0.0, 0.5, 1.0], [2.0, 3.0, 4.0], [5.0, 5.0, 5.0]]
    assert found["read"] == []
    step, found = recall.series(archive.path, None, "c", ["cpu", "pressure_cpu"], NOW - 60, NOW, 10)
    assert step == 10
    assert [point[2] for point in found["cpu"]] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert [point[2] for point in found["pressure_cpu"]] == [1.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_old_samples_are_summed_up_and_let_go(archive: Archive) -> None:
    """Seconds after minutes, ten seconds after a day, five minutes after thirty days."""
    use(archive, NOW - 1000, grain=1, cpu=1.0)
    for at in (0, 10, 20):
        use(archive, NOW - 2 * 86400 + at, cpu=float(at), memory=1 << 20)
    use(archive, NOW - 40 * 86400, cpu=9.0)
    archive.tidy(NOW)
    with sqlite3.connect(archive.path) as file:
        assert [file.execute(f"SELECT count(*) FROM uses_{grain}").fetchone()[0] for grain in (1, 10, 300)] == [
            0,
            0,
            1,
        ]
    step, found = recall.series(archive.path, "c-1", None, ["cpu", "memory"], NOW - 3 * 86400, NOW, 300)
    assert step == 300
    assert [point[1:] for point in found["cpu"]] == [[0.0, 10.0, 20.0]]
    assert found["memory"][0][2] == 1 << 20


def test_a_live_second_is_not_counted_twice(archive: Archive) -> None:
    """Where there are seconds the ten-second sample of the same moment is left out."""
    for at in range(20):
        use(archive, NOW - 20 + at, grain=1, cpu=2.0)
    use(archive, NOW - 20, cpu=2.0)
    use(archive, NOW - 40, cpu=3.0)
    step, found = recall.series(archive.path, None, "c", ["cpu"], NOW - 60, NOW, 1)
    assert step == 1
    assert {point[0]: point[2] for point in found["cpu"]}[NOW - 20] == 2.0
    assert found["cpu"][0] == [NOW - 40, 3.0, 3.0, 3.0]
    assert len(found["cpu"]) == 21


def test_an_answer_has_no_more_points_than_it_may(archive: Archive) -> None:
    """A month asked for by the second comes in larger steps."""
    step, _ = recall.series(archive.path, "c-1", None, ["cpu"], NOW - 30 * 86400, NOW, 1)
    assert 30 * 86400 / step <= recall.MOST_POINTS


def test_probes_of_a_minute_are_one_row(archive: Archive) -> None:
    """Also when they come in two parts; after a day they are summed up by the hour."""
    minute = int(NOW) // 60 * 60
    for took, ok in ((0.5, True), (0.1, False)):
        archive.add(probes=[ProbeSum(minute, "c-1", "c").and_one(ok, took, "refused" if not ok else "fine")])
    (row,) = recall.probes(archive.path, ["c"], NOW - 60, NOW)[0]["c-1"]
    assert (row["count"], row["failed"], row["least"], row["most"], row["text"]) == (2, 1, 0.1, 0.5, "refused")
    assert row["mean"] == pytest.approx(0.3)
    archive.tidy(NOW + 2 * 86400)
    (row,) = recall.probes(archive.path, None, NOW - 3600, NOW + 3600)[0]["c-1"]
    assert (row["time"], row["count"]) == (minute // 3600 * 3600, 2)
    assert recall.probes(archive.path, ["other"], 0, NOW) == ({}, False)


def test_alerts_are_found_again(archive: Archive) -> None:
    """Firing ones first, whenever they began."""
    base = {"rule": "r", "service": "c", "container": "c-1", "text": "t", "sent": 0, "failed": ""}
    archive.keep_alert({"id": 1, "since": 5.0, "resolved": 6.0, **base})  # type: ignore[typeddict-item]
    archive.keep_alert({"id": 2, "since": 1.0, "resolved": None, **base})  # type: ignore[typeddict-item]
    assert [one["id"] for one in recall.alerts(archive.path, 0.0, 10)] == [2, 1]
    assert [one["id"] for one in recall.alerts(archive.path, 7.0, 10)] == [2]
    archive.keep_alert({"id": 2, "since": 1.0, "resolved": 8.0, **base})  # type: ignore[typeddict-item]
    assert recall.alerts(archive.path, 7.0, 10)[0]["resolved"] == 8.0


def test_who_was_told_of_an_alert_is_noted_beside_how_it_is(archive: Archive) -> None:
    """A message may need longer than the alert lasts: what is noted late makes it fire no more."""
    alert: Alert = {
        "id": 1,
        "rule": "r",
        "service": "c",
        "container": "c-1",
        "since": 5.0,
        "resolved": None,
        "text": "t",
        "sent": 0,
        "failed": "",
    }
    archive.keep_alert(alert)
    archive.note_told(1, "")
    archive.keep_alert({**alert, "resolved": 6.0})
    archive.note_told(1, "")
    archive.note_told(1, "phone (h) answered 404")
    (found,) = recall.alerts(archive.path, 0.0, 10)
    assert found == {**alert, "resolved": 6.0, "sent": 2, "failed": "phone (h) answered 404"}


def test_it_keeps_within_its_bytes(tmp_path: Path) -> None:
    """The finest and oldest goes first; events stay longest."""
    small = Archive(str(tmp_path / "h.db"), largest=400_000)
    values = {**NOTHING, **dict.fromkeys(METRICS, 123456.0)}
    for minute in range(40):
        uses = {(f"c-{n}", "c"): values for n in range(100)}
        small.add([{**event(minute + 1), "time": NOW}], uses=uses, now=NOW - 40 * 60 + minute * 60)
    small.tidy(NOW)
    assert small.size() <= 400_000
    assert os.path.getsize(small.path) <= 500_000
    assert len(recall.events(small.path, Sought())[0]) == 40
    small.close()


def test_events_are_bounded(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest are kept."""
    monkeypatch.setattr(archives, "EVENTS_KEPT", 10)
    archive.add([{**event(n), "time": NOW} for n in range(1, 31)])
    archive.tidy(NOW)
    assert [one["id"] for one in recall.events(archive.path, Sought())[0]] == list(range(21, 31))


def test_names_of_which_nothing_is_kept_are_forgotten(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that come back are known again."""
    monkeypatch.setattr(archives, "MOST_SUBJECTS", 5)
    for number in range(10):
        use(archive, NOW - 60 * 86400, container=f"once-{number}", cpu=1.0)
    use(archive, NOW, container="here-1", cpu=2.0)
    archive.tidy(NOW)
    with sqlite3.connect(archive.path) as file:
        assert file.execute("SELECT container FROM subjects").fetchall() == [("here-1",)]
    use(archive, NOW + 10, container="once-1", cpu=3.0)
    assert recall.series(archive.path, "once-1", None, ["cpu"], NOW, NOW + 20, 10)[1]["cpu"][0][2] == 3.0


def test_a_file_of_a_newer_version_stays_as_it_is(archive: Archive) -> None:
    """It is no damage: nothing is added, nothing is set aside, and who asks is told."""
    archive.add([event(1)])
    archive.close()
    with closing(sqlite3.connect(archive.path)) as file:
        file.execute("PRAGMA user_version = 99")
    before = Path(archive.path).read_bytes()
    with pytest.raises(Unwritable, match="newer"):
        archive.add([event(2)])
    with pytest.raises(Unwritable, match="newer"):
        archive.remove()
    with pytest.raises(OrchestraError, match="written by a newer orchestra"):
        recall.events(archive.path, Sought())
    assert Path(archive.path).read_bytes() == before
    assert not os.path.exists(f"{archive.path}.bad")


@pytest.mark.parametrize("damage", ["head", "body", "folder", "link"])
def test_a_bad_file_is_set_aside(archive: Archive, tmp_path: Path, damage: str) -> None:
    """Garbage at its head, garbage inside, or no file at all: kept as .bad, said, and begun anew."""
    archive.add([event(n, text="x" * 500) for n in range(1, 500)])
    archive.close()
    foreign = tmp_path / "foreign"
    foreign.write_text("of somebody else")
    if damage in ("folder", "link"):
        archive.remove()
        os.mkdir(archive.path) if damage == "folder" else os.symlink(foreign, archive.path)
    else:
        with open(archive.path, "r+b") as raw:
            raw.seek(0 if damage == "head" else 4096)
            raw.write(b"\x5a" * 200_000)
    for number in (1000, 1001):  # what is being written when a damage shows is lost, not what comes next
        try:
            archive.add([event(number)])
        except Unwritable:
            continue
    assert os.path.exists(f"{archive.path}.bad")
    assert any("begins anew" in notice for notice in archive.notices) or damage in ("folder", "link")
    assert foreign.read_text() == "of somebody else"
    assert 1001 in [one["id"] for one in recall.events(archive.path, Sought())[0]]


def test_nothing_is_known_of_what_never_was(tmp_path: Path) -> None:
    """No file is an empty past, not an error; and reading makes none."""
    path = str(tmp_path / "no.db")
    assert recall.events(path, Sought()) == ([], False)
    assert recall.series(path, "c-1", None, ["cpu"], 0, 10, 1)[1] == {"cpu": []}
    assert not os.path.exists(path)


def test_a_search_that_takes_too_long_is_an_error(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends by itself, with what to do."""
    archive.add([event(n, text="y" * 200) for n in range(1, 5000)])
    monkeypatch.setattr(recall, "PATIENCE", -1.0)
    monkeypatch.setattr(recall, "_STEPS", 10)
    with pytest.raises(OrchestraError, match="takes longer"):
        recall.events(archive.path, Sought(search="z"))


def test_the_file_is_private(archive: Archive) -> None:
    """Events may tell what only the owner should know."""
    archive.open()
    assert os.stat(archive.path).st_mode & 0o777 == 0o600


@pytest.mark.kernel
def test_a_full_disk_loses_samples_and_nothing_else(tmp_path: Path) -> None:
    """Said as Unwritable; with room again it goes on, with what was there before."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small tmpfs")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(tmp_path)], check=True)
    try:
        small = Archive(f"{tmp_path}/history.db")
        small.add([event(1)])
        filler = tmp_path / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(1 << 20))
        with pytest.raises(Unwritable):
            small.add([event(n, text="x" * 1000) for n in range(2, 400)])
        filler.unlink()
        small.add([event(500)])
        assert [one["id"] for one in recall.events(small.path, Sought())[0]] == [1, 500]
        small.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
