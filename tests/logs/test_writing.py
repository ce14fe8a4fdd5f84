"""A container's log on disk: whole lines, in order, bounded, whatever comes in."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logs.piped import PipedLog
from orchestra import ours
from orchestra.logs.layout import (
    DROPPED,
    LOG,
    LONGEST_LINE,
    RUN_ENDED,
    RUN_STARTED,
    STDERR,
    STDOUT,
    file_name,
    segments,
)
from orchestra.logs.reader import read

ALL = frozenset((STDOUT, STDERR, RUN_STARTED, RUN_ENDED, DROPPED))
chunks = st.lists(
    st.tuples(st.sampled_from([STDOUT, STDERR]), st.lists(st.sampled_from([b"a", b"bc", b"\n"])).map(b"".join)),
    max_size=40,
)


def written(directory: Path) -> bytes:
    return b"".join((directory / file_name(number, LOG)).read_bytes() for number in segments(str(directory)))


def output(directory: Path, stream: int) -> bytes:
    return b"".join(block.data for block in read(str(directory), kinds=(stream,)))


@settings(max_examples=150, deadline=None)
@given(chunks=chunks)
def test_streams_never_tear_each_others_lines(
    chunks: list[tuple[int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any chunks on two streams: each stream reads back byte for byte, and every block is whole lines."""
    directory = tmp_path_factory.mktemp("log")
    log = PipedLog(str(directory), 1 << 20, 3)
    log.begin(1)
    for stream, chunk in chunks:
        log.write(stream, chunk)
    before_end = list(read(str(directory)))
    log.end(0)
    log.close()
    assert all(block.data.endswith(b"\n") for block in before_end)
    for stream in (STDOUT, STDERR):
        assert output(directory, stream) == b"".join(chunk for kind, chunk in chunks if kind == stream)


@settings(max_examples=150, deadline=None)
@given(chunks=chunks, max_size=st.integers(1, 60), max_files=st.integers(1, 4))
def test_rotation_loses_only_what_it_has_to(
    chunks: list[tuple[int, bytes]], max_size: int, max_files: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Never more files than allowed; what is kept is the end of what was written, cut between lines."""
    directory = tmp_path_factory.mktemp("log")
    log = PipedLog(str(directory), max_size, max_files)
    everything = PipedLog(str(directory / "all"), 1 << 20, 1)
    for stream, chunk in [*chunks, (STDOUT, b"\n"), (STDERR, b"\n")]:
        log.write(stream, chunk)
        everything.write(stream, chunk)
    log.close()
    everything.close()
    kept, whole = written(directory), written(directory / "all")
    assert len(segments(str(directory))) <= max_files
    assert whole.endswith(kept)
    assert len(kept) == len(whole) or whole[: -len(kept) or None].endswith(b"\n")
    if len(segments(str(directory))) < max_files:
        assert kept == whole
    longest = max((len(line) + 1 for line in whole.split(b"\n")), default=0)
    for number in segments(str(directory)):
        assert (directory / file_name(number, LOG)).stat().st_size <= max(max_size, longest)


def test_rotation_goes_on_after_one_that_was_cut_short(tmp_path: Path) -> None:
    """A keeper that is killed between the two files of a segment leaves one: the log is bounded all the same."""
    log = PipedLog(str(tmp_path), 10, 2)
    for number in range(4):
        log.write(STDOUT, b"line %d....\n" % number)
    (tmp_path / file_name(segments(str(tmp_path))[0], LOG)).unlink()
    for number in range(4, 9):
        log.write(STDOUT, b"line %d....\n" % number)
    log.close()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_line_without_end_comes_in_pieces(tmp_path: Path) -> None:
    """The memory that a line may take is bounded; none of its bytes is lost."""
    log = PipedLog(str(tmp_path), 1 << 30, 2)
    for _ in range(40):
        log.write(STDOUT, b"x" * 10_000)
        assert log.inflows[STDOUT].pending < LONGEST_LINE + 10_000
    assert len(written(tmp_path)) > 300_000
    log.close()
    assert written(tmp_path) == b"x" * 400_000


def test_a_terminal_is_logged_as_it_comes(tmp_path: Path) -> None:
    """There is one stream only, and a prompt has no newline."""
    log = PipedLog(str(tmp_path), 1 << 20, 2, whole_lines=False)
    log.write(STDOUT, b"name? ")
    assert written(tmp_path) == b"name? "
    log.close()


def test_runs_are_told_apart(tmp_path: Path) -> None:
    """Beginning and end of each run stand in the index with the run's number and exit code."""
    log = PipedLog(str(tmp_path), 1 << 20, 2)
    for run in (1, 2):
        log.begin(run)
        log.write(STDOUT, b"hello\n")
        log.end(run * 10)
    log.close()
    found = [(block.kind, block.run, block.extra) for block in read(str(tmp_path), kinds=ALL)]
    assert found == [
        (RUN_STARTED, 1, 0), (STDOUT, 1, 0), (RUN_ENDED, 1, 10),
        (RUN_STARTED, 2, 0), (STDOUT, 2, 0), (RUN_ENDED, 2, 20),
    ]  # fmt: skip


def test_a_writer_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    """Also behind an index record that a crash cut off."""
    log = PipedLog(str(tmp_path), 1 << 20, 2)
    log.write(STDOUT, b"one\n")
    log.close()
    with open(tmp_path / "000001.idx", "ab") as index:
        index.write(b"torn")
    log = PipedLog(str(tmp_path), 1 << 20, 2)
    log.write(STDERR, b"two\n")
    log.close()
    assert [(block.kind, block.data) for block in read(str(tmp_path))] == [(STDOUT, b"one\n"), (STDERR, b"two\n")]


def test_without_a_directory_nothing_is_kept() -> None:
    """`logging: driver: none`: output is read and thrown away."""
    log = PipedLog("", 1, 1)
    log.begin(1)
    log.write(STDOUT, b"x\n" * 1000)
    log.end(0)
    log.close()


@pytest.mark.parametrize("name", ["log", "log/000001.idx", "log/000001.log"])
@pytest.mark.parametrize("kind", ["folder", "link", "fifo"])
def test_what_is_in_the_way_of_a_log_is_set_aside(tmp_path: Path, name: str, kind: str) -> None:
    """The lines are written, not into somebody else's file, and nobody waits for a reader."""
    foreign = tmp_path / "foreign"
    foreign.write_text("of somebody else")
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    if kind == "folder":
        place.mkdir()
    elif kind == "link":
        place.symlink_to(foreign)
    else:
        os.mkfifo(place)
    log = PipedLog(str(tmp_path / "log"), 1 << 20, 2)
    log.write(STDOUT, b"kept\n")
    log.close()
    assert b"".join(block.data for block in read(str(tmp_path / "log"))) == b"kept\n"
    assert foreign.read_text() == "of somebody else"


@pytest.mark.parametrize("index", [b"", b"\xff" * 96, bytes(range(64)), b"\0" * 320])
def test_a_spoiled_index_is_read_without_an_exception(tmp_path: Path, index: bytes) -> None:
    log = PipedLog(str(tmp_path), 1 << 20, 2)
    log.write(STDOUT, b"one\ntwo\n")
    log.close()
    (tmp_path / "000001.idx").write_bytes(index)
    for tail in (None, 1):
        assert len(b"".join(block.data for block in read(str(tmp_path), tail=tail))) <= 8


def test_a_directory_that_cannot_be_made_is_no_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was lost is counted, and said as soon as writing works again."""

    def refuse(path: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    log = PipedLog(str(tmp_path / "log"), 1 << 20, 2)
    with monkeypatch.context() as refusing:
        refusing.setattr(ours, "folder", refuse)
        log.write(STDOUT, b"lost\n")
    log.write(STDOUT, b"kept\n")
    log.close()
    blocks = list(read(str(tmp_path / "log"), kinds=ALL))
    assert [(block.kind, block.data, block.extra) for block in blocks] == [
        (DROPPED, b"", 5),
        (STDOUT, b"kept\n", 0),
    ]


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """What services write may be secret."""
    log = PipedLog(str(tmp_path / "log"), 1 << 20, 2)
    log.write(STDOUT, b"x\n")
    log.close()
    modes = {os.stat(tmp_path / "log" / name).st_mode & 0o077 for name in os.listdir(tmp_path / "log")}
    assert modes == {0}
    assert os.stat(tmp_path / "log").st_mode & 0o077 == 0
