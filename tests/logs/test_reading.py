"""Reading a log back: all of it, its end, a span of time, and while it grows."""

from __future__ import annotations

import itertools
import os
import select
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logs.piped import PipedLog
from orchestra.logs import writer
from orchestra.logs.follow import Follower, follow, merge
from orchestra.logs.last import last_words
from orchestra.logs.layout import LONGEST_LINE, STDERR, STDOUT, segments
from orchestra.logs.reader import Block, Cursor, Segment, read
from orchestra.logs.render import Renderer


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record is one nanosecond younger than the one before."""
    ticks = itertools.count(1)
    monkeypatch.setattr(writer.time, "time_ns", lambda: next(ticks))


def make(directory: Path, lines: int, max_size: int = 1 << 20, max_files: int = 1000) -> PipedLog:
    """Lines "1", "2", …, each a block of its own, even ones on standard error."""
    log = PipedLog(str(directory), max_size, max_files)
    for number in range(1, lines + 1):
        log.write(STDERR if number % 2 == 0 else STDOUT, b"%d\n" % number)
    return log


def numbers(blocks: object) -> list[int]:
    return [int(line) for block in blocks for line in block.data.split()]  # type: ignore[attr-defined]


@settings(max_examples=100, deadline=None)
@given(
    lines=st.integers(0, 60),
    tail=st.integers(0, 70),
    max_size=st.sampled_from([7, 20, 1 << 20]),
    joined=st.booleans(),
)
def test_tail_gives_the_last_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: int, tail: int, max_size: int, joined: bool
) -> None:
    """Across streams and segments."""
    directory = tmp_path_factory.mktemp("log")
    make(directory, lines, max_size)
    assert (
        numbers(read(str(directory), tail=tail, joined=joined)) == list(range(1, lines + 1))[max(lines - tail, 0) :]
    )


PIECES = st.lists(
    st.tuples(
        st.sampled_from([STDOUT, STDERR]), st.sampled_from([b"a", b"b\n", b"c\nd", b"\n", b"e\nf\n"]), st.booleans()
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(pieces=PIECES, tail=st.integers(0, 14), max_size=st.sampled_from([3, 8, 1 << 20]), joined=st.booleans())
def test_lines_in_pieces_are_lines(
    tmp_path_factory: pytest.TempPathFactory,
    pieces: list[tuple[int, bytes, bool]],
    tail: int,
    max_size: int,
    joined: bool,
) -> None:
    """Whatever was let go within a line: the last lines are the last ones of what is shown of all."""
    directory = str(tmp_path_factory.mktemp("log"))
    log = PipedLog(directory, max_size, 1000)
    for stream, data, wait in pieces:
        log.write(stream, data)
        if wait:
            log.inflows[stream].let_go()
    log.close()
    shown = rendered(read(directory)).splitlines(True)
    assert rendered(read(directory, tail=tail, joined=joined)) == b"".join(shown[max(len(shown) - tail, 0) :])


def rendered(blocks: Iterable[Block]) -> bytes:
    renderer = Renderer(terminal=False)
    return b"".join(renderer.render("a", block) for block in blocks) + renderer.finish()


def test_a_line_that_came_in_pieces_is_read_as_one(tmp_path: Path) -> None:
    """So a search finds a word that was written in two; who follows gets each piece when it is there."""
    log = PipedLog(str(tmp_path), 1 << 20, 2)
    cursor = Cursor(str(tmp_path))
    log.write(STDOUT, b"one\nna")
    log.inflows[STDOUT].let_go()
    assert [block.data for block in cursor.pull()] == [b"one\n", b"na"]
    log.write(STDOUT, b"me? ")
    log.inflows[STDOUT].let_go()
    log.write(STDERR, b"other\n")
    log.write(STDOUT, b"Ada\n")
    assert [block.data for block in cursor.pull()] == [b"me? ", b"other\n", b"Ada\n"]
    cursor.close()
    assert [block.data for block in read(str(tmp_path))] == [b"one\n", b"name? ", b"other\n", b"Ada\n"]


def test_tail_counts_the_wanted_stream_only(tmp_path: Path) -> None:
    """The last two lines of standard error."""
    make(tmp_path, 10)
    assert numbers(read(str(tmp_path), tail=2, kinds=(STDERR,))) == [8, 10]


def test_tail_within_one_block(tmp_path: Path) -> None:
    """Blocks hold many lines; the place is found inside, also with a last line that is not finished."""
    log = PipedLog(str(tmp_path), 1 << 20, 2)
    log.write(STDOUT, b"1\n2\n3\n4\n")
    assert numbers(read(str(tmp_path), tail=3)) == [2, 3, 4]
    log.write(STDOUT, b"5")
    log.close()
    assert numbers(read(str(tmp_path), tail=3)) == [3, 4, 5]


@pytest.mark.parametrize("piece", [1 << 10, 50_000, 1 << 18])
@pytest.mark.parametrize("tail", [1, 3])
def test_tail_of_what_has_no_newlines_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, tail: int
) -> None:
    """Neither what is shown nor what is read for it grows with the log: each piece counts as a line."""
    log = PipedLog(str(tmp_path), 1 << 20, 10)
    log.write(STDOUT, b"first\n")
    for _ in range((4 << 20) // piece):
        log.write(STDOUT, b"x" * piece)
        log.flush()
    seen: list[int] = []
    monkeypatch.setattr(
        Segment, "read", lambda self, start, end: seen.append(end - start) or os.pread(self._log, end - start, start)
    )
    shown = b"".join(block.data for block in read(str(tmp_path), tail=tail))
    assert shown == b"x" * tail * LONGEST_LINE
    assert sum(seen) <= 2 * (tail * LONGEST_LINE + max(piece, LONGEST_LINE))


@pytest.mark.parametrize("max_size", [7, 20, 1 << 20])
def test_since_and_until(tmp_path: Path, max_size: int) -> None:
    """Both ends are part of the span; the place is found in any segment."""
    make(tmp_path, 50, max_size)
    times = {numbers([block])[0]: block.time for block in read(str(tmp_path))}
    for first, last in ((1, 50), (7, 7), (13, 40), (50, 50)):
        assert numbers(read(str(tmp_path), times[first], times[last])) == list(range(first, last + 1))
    assert numbers(read(str(tmp_path), since=times[50] + 1)) == []
    assert numbers(read(str(tmp_path), since=times[30], tail=100)) == list(range(30, 51))
    assert numbers(read(str(tmp_path), since=times[30], tail=3)) == [48, 49, 50]


def test_neighbours_are_joined(tmp_path: Path) -> None:
    """Where times do not matter, a thousand small blocks of one stream come as one."""
    log = PipedLog(str(tmp_path), 1 << 20, 2)
    for number in range(1000):
        log.write(STDOUT, b"%d\n" % number)
    assert [numbers([block]) for block in read(str(tmp_path), joined=True)] == [list(range(1000))]


def test_no_log_reads_as_nothing(tmp_path: Path) -> None:
    """A container that never ran has no directory."""
    assert list(read(str(tmp_path / "nothing"))) == []
    assert list(read(str(tmp_path / "nothing"), tail=5, since=3)) == []


def test_a_cursor_goes_on_across_rotation(tmp_path: Path) -> None:
    """Every line once, though segments come and go between two looks."""
    cursor = Cursor(str(tmp_path))
    log = PipedLog(str(tmp_path), 30, 3)
    seen: list[int] = []
    for number in range(1, 200):
        log.write(STDOUT, b"%d\n" % number)
        if number % 7 == 0:
            seen += numbers(cursor.pull())
    log.close()
    seen += numbers(cursor.pull())
    cursor.close()
    assert seen == list(range(1, 200))
    assert segments(str(tmp_path))[0] > 1


def test_a_slow_reader_finishes_the_segment_it_has(tmp_path: Path) -> None:
    """What rotation has removed meanwhile is skipped, but never a part of the segment at hand."""
    log = make(tmp_path, 3, max_size=10, max_files=2)
    cursor = Cursor(str(tmp_path))
    assert numbers(itertools.islice(cursor.pull(), 1)) == [1]
    for number in range(4, 100):
        log.write(STDOUT, b"%d\n" % number)
    rest = numbers(cursor.pull())
    cursor.close()
    assert rest[0] == 2
    assert rest == sorted(rest)
    assert rest[-1] == 99


def test_a_cursor_finds_a_log_that_was_begun_anew(tmp_path: Path) -> None:
    """The container was removed and made again: its log starts from the first segment."""
    make(tmp_path / "log", 20, max_size=10).close()
    cursor = Cursor(str(tmp_path / "log"))
    assert numbers(cursor.pull()) == list(range(1, 21))
    shutil.rmtree(tmp_path / "log")
    assert numbers(cursor.pull()) == []
    make(tmp_path / "log", 30, max_size=10).close()
    assert numbers(cursor.pull()) == list(range(1, 31))
    cursor.close()


def test_several_logs_merge_by_time(tmp_path: Path) -> None:
    """Blocks come in the order in which they were written, each with its log's name."""
    logs = {name: PipedLog(str(tmp_path / name), 1 << 20, 2) for name in "ab"}
    for number, name in enumerate("abbaab"):
        logs[name].write(STDOUT, b"%d\n" % number)
    merged = list(merge({name: read(str(tmp_path / name)) for name in "ab"}))
    assert [(name, numbers([block])[0]) for name, block in merged] == list(zip("abbaab", range(6), strict=True))


def test_a_line_in_pieces_is_not_interrupted_by_other_logs(tmp_path: Path) -> None:
    """However much later its end was written than what others wrote meanwhile; the next line waits for its time."""
    long, other = PipedLog(str(tmp_path / "long"), 1 << 23, 2), PipedLog(str(tmp_path / "other"), 1 << 20, 2)
    for piece in (b"x" * (1 << 21), b"y" * (1 << 21), b"z\n", b"next\n"):
        long.write(STDOUT, piece)
        other.write(STDOUT, b"%d\n" % len(piece))
    merged = list(merge({name: read(str(tmp_path / name)) for name in ("long", "other")}))
    begun = next(at for at, (name, _) in enumerate(merged) if name == "long")
    ended = next(at for at, (name, block) in enumerate(merged) if name == "long" and block.data.endswith(b"\n"))
    assert {name for name, _ in merged[begun : ended + 1]} == {"long"}
    assert b"".join(block.data for name, block in merged[begun : ended + 1]) == (
        b"x" * (1 << 21) + b"y" * (1 << 21) + b"z\n"
    )
    assert [block.data for name, block in merged if name == "other"] == [b"2097152\n", b"2097152\n", b"2\n", b"5\n"]


def test_following_brings_history_and_news(tmp_path: Path) -> None:
    """A log that does not exist yet, one that rotates, and one that is begun anew are followed by one call."""
    make(tmp_path / "a", 3)
    stream = follow({name: Cursor(str(tmp_path / name), tail=2 if name == "a" else None) for name in "ab"})
    assert [next(stream)[1].data for _ in range(2)] == [b"2\n", b"3\n"]
    log = make(tmp_path / "b", 30, max_size=10, max_files=100)
    assert numbers(block for _, block in itertools.islice(stream, 30)) == list(range(1, 31))
    log.close()
    shutil.rmtree(tmp_path / "b")
    make(tmp_path / "b", 2).close()
    assert [next(stream)[0] for _ in range(2)] == ["b", "b"]
    stream.close()


def test_news_wake_a_follower_at_once(tmp_path: Path) -> None:
    """Its descriptor becomes readable by a write, not by looking ever again; idle it stays quiet."""
    log = make(tmp_path / "a", 1)
    with Follower() as follower:
        follower.add("a", Cursor(str(tmp_path / "a")))
        assert len(list(follower.pull())) == 1
        assert follower.patience() >= 1
        assert select.select([follower], [], [], 0)[0] == []
        log.write(STDOUT, b"2\n")
        assert select.select([follower], [], [], 5)[0] == [follower]
        assert numbers(block for _, block in follower.pull()) == [2]
        begun = time.monotonic()
        follower.wait(0.01)
        assert time.monotonic() - begun < 1


def test_a_block_that_is_half_written_is_read_to_its_end(tmp_path: Path) -> None:
    """The record is there before the bytes: they belong to it when they come."""
    log = make(tmp_path, 1)
    cursor = Cursor(str(tmp_path))
    list(cursor.pull())
    with open(tmp_path / "000001.log", "ab") as file:
        log._record(STDERR, 0)
        file.write(b"2")
        file.flush()
        first = list(cursor.pull())
        file.write(b"3\n")
    assert [(block.kind, block.data) for block in [*first, *cursor.pull()]] == [(STDERR, b"2"), (STDERR, b"3\n")]
    cursor.close()


def test_last_words_are_plain(tmp_path: Path) -> None:
    """They stand in the midst of other words: no colour goes on after them, and nothing is written over."""
    log = PipedLog(str(tmp_path), 1 << 20, 1)
    log.write(STDOUT, b"started\n10%\r\x1b[1;31mno \x1b[2Jroom\n\n")
    log.close()
    assert last_words(str(tmp_path)) == "no room"
