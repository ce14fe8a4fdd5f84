"""Lines of logs: their level, searches in what is stored, and what a page gets of a flood; changes for pages."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import anyio
import pytest
from logs.piped import PipedLog

from orchestra.cli.dashboard import address
from orchestra.dashboard.board import Board
from orchestra.dashboard.feed import KEPT, LONGEST_QUEUE, Feed
from orchestra.dashboard.lines import level_of
from orchestra.dashboard.logs import MOST_BYTES, Follower
from orchestra.dashboard.search import Query, search
from orchestra.dashboard.serve import Wishes, listening, warning
from orchestra.errors import OrchestraError
from orchestra.logs.layout import STDERR, STDOUT
from orchestra.logs.render import plain
from orchestra.stack.model import Stack


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ('{"ts": 1, "level": "error", "msg": "no info"}', "error"),
        ("time=1 level=warn msg=x", "warn"),
        ("2026-11-25 12:00:00,000 INFO root: started", "info"),
        ("[ERROR] cannot open", "error"),
        ("error: cannot open", "error"),
        ("WARNING: old", "warn"),
        ("DEBUG:root:x", "debug"),
        ("Traceback (most recent call last):", "error"),
        ("an error that is told in a sentence", ""),
        ("GET /health 200", ""),
        ("", ""),
    ],
)
def test_a_line_says_its_level(line, level):
    """JSON, logfmt, words in capitals, a word in front; a word in a sentence is none."""
    assert level_of(line) == level


def test_lines_are_shown_without_commands_for_a_terminal():
    """Colours, titles, bells: gone; what is no UTF-8 is marked."""
    assert plain(b"\x1b[31mred\x1b[0m\n\x1b]0;title\x07two\xff\n") == ["red", "two\ufffd"]


@pytest.fixture
def directory(tmp_path: Path) -> str:
    """A log of a thousand lines, every hundredth of them an error."""
    log = PipedLog(str(tmp_path / "log"), 1 << 20, 3)
    log.begin(1)
    for number in range(1000):
        log.write(STDOUT, f"{'ERROR' if number % 100 == 0 else 'INFO'} line {number}\n".encode())
    log.end(0)
    log.close()
    return str(tmp_path / "log")


def texts(found):
    return [line[4] for line in found.lines]


def test_the_newest_hits_are_kept(directory):
    """And that there are more is said."""
    found = search([directory], Query(text="line 9", limit=3))
    assert texts(found) == ["INFO line 997", "INFO line 998", "INFO line 999"]
    assert found.more
    assert texts(search([directory], Query(text="line 9", limit=2, newest=False))) == ["INFO line 9", "INFO line 90"]


def test_hits_are_chosen_by_pattern_case_level_and_time(directory):
    """Each of them alone, and together."""
    assert texts(
        search([directory], Query(text=r"line \d00$", regex=True, levels=frozenset(("error",)), limit=2))
    ) == [
        "ERROR line 800",
        "ERROR line 900",
    ]
    assert texts(search([directory], Query(text="LINE 7", case=True))) == []
    every = search([directory], Query(limit=2000))
    assert len(every.lines) == 1002  # the beginning and the end of the run are lines of their own
    middle = every.lines[500][0]
    assert all(line[0] >= middle for line in search([directory], Query(since=middle, limit=2000)).lines)
    assert all(line[0] <= middle for line in search([directory], Query(until=middle, limit=2000)).lines)


def test_several_logs_come_in_the_order_of_time(directory, tmp_path):
    """Each line names its log."""
    other = PipedLog(str(tmp_path / "other"), 1 << 20, 3)
    other.write(STDOUT, b"INFO line of another\n")
    other.close()
    found = search([directory, str(tmp_path / "other")], Query(text="line", limit=2))
    assert [(line[1], line[4]) for line in found.lines] == [(0, "INFO line 999"), (1, "INFO line of another")]


def test_a_bad_pattern_is_told_in_words(directory):
    """Not with a traceback."""
    with pytest.raises(OrchestraError, match="is no pattern"):
        search([directory], Query(text="(", regex=True))


def board_with(directory: str) -> Board:
    board = Board(Feed())
    row = {"name": "t-a-1", "service": "a", "logs": directory, "state": "running", "health": "", "command": "a"}
    board.introduce("t", {}, Stack("t", "/", (), {}))
    board.change("t", [row])  # type: ignore[list-item]  # as much of a row as is looked at
    return board


def test_a_flood_is_cut_and_said_to_be(tmp_path):
    """However much comes between two looks, a page gets a bounded part, and the end of it."""
    directory = str(tmp_path / "log")
    log = PipedLog(directory, 64 << 20, 3)
    log.write(STDOUT, b"first\n")
    follower = Follower(board_with(directory), "", [], 10)
    assert follower.look_for_more() == [{"stack": "t", "service": "a", "container": "t-a-1"}]
    assert [line[4] for line in follower.pull()[0]] == ["first"]
    for number in range(100):
        log.write(STDOUT, b"".join(b"line %d of a flood\n" % (number * 2000 + each) for each in range(2000)))
    lines, skipped = follower.pull()
    again, _ = follower.pull()
    follower.close()
    log.close()
    assert skipped > 0
    assert sum(len(line[4]) for line in lines) <= MOST_BYTES
    assert again[-1][4] == "line 199999 of a flood"


def test_a_line_that_goes_on_is_told_as_a_whole(tmp_path):
    """A page shows half a line at once, and replaces it by what has become of it."""
    directory = str(tmp_path / "log")
    log = PipedLog(directory, 64 << 20, 3)
    follower = Follower(board_with(directory), "", [], 10)
    follower.look_for_more()

    def told() -> list[tuple[str, int]]:
        return [(line[4], len(line) - 5) for line in follower.pull()[0]]

    log.write(STDOUT, b"first\nname")
    log.inflows[STDOUT].let_go()
    assert told() == [("first", 0), ("name", 0)]
    log.write(STDOUT, b"? ")
    log.inflows[STDOUT].let_go()
    log.write(STDERR, b"other\n")
    assert told() == [("name? ", 1), ("other", 0)]
    log.write(STDOUT, b"Ada\nlast\n")
    assert told() == [("name? Ada", 1), ("last", 0)]
    log.write(STDOUT, b"\x1b[31m")
    log.inflows[STDOUT].let_go()
    log.write(STDOUT, b"red\n")
    log.close()
    assert told() == [("red", 0)]
    follower.close()


def test_a_page_gets_what_it_missed_and_nothing_twice():
    """As long as it is kept."""
    feed = Feed()
    feed.publish("a", 1)
    mark = feed.mark
    assert feed.missed(mark) == []
    feed.publish("b", 2)
    missed = feed.missed(mark)
    assert missed is not None
    assert [json.loads(re.findall(rb"data: (.*)", one)[0]) for one in missed] == [2]
    for number in range(KEPT + 1):
        feed.publish("c", number)
    assert feed.missed(mark) is None
    assert feed.missed("other-1") is None
    assert feed.missed("nonsense") is None


def test_a_page_that_does_not_read_is_let_go():
    """It would hold everything for ever."""
    feed = Feed()
    with feed.listen() as (_, heard):
        for number in range(LONGEST_QUEUE + 2):
            feed.publish("a", number)

        async def read() -> int:
            return len([one async for one in heard])

        assert anyio.run(read) == LONGEST_QUEUE


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
        ("[::]", ("::", None)),
        ("10.0.0.1", ("10.0.0.1", None)),
        (":80", ("0.0.0.0", 80)),
    ],
)
def test_where_to_listen_is_understood(text, where):
    """Address and port, either alone, both families."""
    assert address(text) == where


@pytest.mark.parametrize("text", ["127.0.0.1:99999", "127.0.0.1:http", "[::1]:65536"])
def test_what_is_no_port_is_told(text):
    """Before anything is opened."""
    with pytest.raises(OrchestraError, match="not HOST:PORT"):
        address(text)


def test_where_nobody_can_listen_is_told_with_what_to_do():
    """An address that is not ours, a name that is none, a port that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for wish, words, hint in (
            (Wishes("192.0.2.1", 9), "cannot listen on 192.0.2.1: it is no address of this machine", "ip addr"),
            (Wishes("no.such.host.invalid", 9), "no.such.host.invalid: it is no address of this machine", "ip addr"),
            (Wishes("127.0.0.1", port), f"127.0.0.1 port {port}: Address already in use", "another --port"),
        ):
            with pytest.raises(OrchestraError) as error, listening(wish):
                raise AssertionError("it listens")
            assert error.value.what.endswith(words)
            assert hint in str(error.value.hint)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (Wishes("0.0.0.0"), "can do with your stacks what you can, and nothing"),
        (Wishes("0.0.0.0", read_only=True), "can see all of your stacks, and nothing"),
    ],
)
def test_what_it_means_to_listen_to_others_is_said(wishes, words):
    """No more than is so."""
    assert words in " ".join(" ".join(warning(wishes)).split())
