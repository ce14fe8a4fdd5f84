"""How a log looks on a screen or in a pipe."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestra.logs.layout import DROPPED, RUN_STARTED, STDERR, STDOUT
from orchestra.logs.reader import Block
from orchestra.logs.render import Renderer, neutral, stamp

SECOND = 1_000_000_000


def block(data: bytes, kind: int = STDOUT, time: int = 0) -> Block:
    return Block(time, kind, 1, data)


def test_every_line_gets_its_prefix() -> None:
    """Also empty ones."""
    assert Renderer(False).render("a", block(b"one\n\ntwo\n"), b"a | ") == b"a | one\na | \na | two\n"


def test_without_prefix_bytes_pass_unchanged() -> None:
    """Into a file or pipe goes what the service wrote."""
    data = b"\x1b[2J\0\r\n\xff\n"
    assert Renderer(False).render("a", block(data)) == data


def test_times_stand_between_prefix_and_line() -> None:
    """As docker logs --timestamps writes them."""
    rendered = Renderer(False, timestamps=True).render("a", block(b"x\n", time=SECOND + 5), b"a | ")
    assert rendered == b"a | 1970-01-01T00:00:01.000000005Z x\n"
    assert stamp(1_700_000_000 * SECOND) == b"2023-11-14T22:13:20.000000000Z"


def test_pieces_of_a_line_get_one_prefix() -> None:
    """A line that was too long to be held comes in pieces."""
    renderer = Renderer(False)
    assert (
        renderer.render("a", block(b"one"), b"a | ") + renderer.render("a", block(b"more\n"), b"a | ")
        == b"a | onemore\n"
    )


def test_nobody_is_glued_to_an_unfinished_line() -> None:
    """Not another container, not the other stream."""
    renderer = Renderer(False)
    pieces = [
        renderer.render("a", block(b"half"), b"a | "),
        renderer.render("b", block(b"whole\n"), b"b | "),
        renderer.render("a", block(b"rest"), b"a | "),
        renderer.render("a", block(b"error", STDERR), b"a | "),
        renderer.finish(),
        renderer.finish(),
    ]
    assert b"".join(pieces) == b"a | half\nb | whole\na | rest\na | error\n"


def test_lost_output_is_said() -> None:
    """In words that cannot be the service's; where a run began is no line."""
    renderer = Renderer(False)
    assert b"5 bytes" in renderer.render("a", Block(0, DROPPED, 1, b"", 5), b"a | ")
    assert renderer.render("a", Block(0, RUN_STARTED, 1, b""), b"a | ") == b""


@pytest.mark.parametrize(
    ("wrote", "shown"),
    [
        (b"plain\ttext \xc3\xa9\n", b"plain\ttext \xc3\xa9\n"),
        (b"\x1b[1;31mred\x1b[0m\n", b"\x1b[1;31mred\x1b[0m\n"),
        (b"\x1b[38:5:3mcolour\n", b"\x1b[38:5:3mcolour\n"),
        (b"\x1b[2J\x1b[1;1Hgone\n", b"gone\n"),
        (b"\x1b]0;title\x07text\n", b"text\n"),
        (b"\x1b]52;c;aGk=\x1b\\text\n", b"text\n"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", b"link\n"),
        (b"\x1b]0;never ended\n", b"\n"),
        (b"\x1bPq#0\x1b\\sixel\n", b"sixel\n"),
        (b"\x1bcreset\n", b"reset\n"),
        (b"\x1b(0charset\n", b"charset\n"),
        (b"\xc2\x9b2Jc1\n", b"2Jc1\n"),
        (b"50 \xc2\xb0C\n", b"50 \xc2\xb0C\n"),
        ("caf\u202e\u2066e \u2014 \u2028x\n".encode(), "cafe \u2014 x\n".encode()),
        (b"bell\x07back\x08\x7f\0\n", b"bellback\n"),
        (b"line\r\n", b"line\n"),
        (b"10%\r20%\n", b"10%\r20%\n"),
    ],
)
def test_a_log_cannot_command_the_terminal(wrote: bytes, shown: bytes) -> None:
    """Colours pass, everything else that is not text goes."""
    assert neutral(wrote) == shown


@given(st.lists(st.sampled_from([bytes([code]) for code in b"\x1b[]Pm2J;\x07\\\xc2\x9bx\n\r"])))
@example([b"\xc2", b"\x1b", b"\x9b"])
def test_no_sequence_of_bytes_gets_through(parts: list[bytes]) -> None:
    """What remains of any mixture has no escape but colours."""
    shown = neutral(b"".join(parts))
    assert b"\x1b" not in re.sub(rb"\x1b\[[0-9;:]*m", b"", shown)
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]|\xc2[\x80-\x9f]", shown)


def test_a_command_in_two_blocks_gets_through_as_little() -> None:
    """A long line comes in pieces, and its writer knows where they are cut."""
    renderer = Renderer(True)
    assert renderer.render("a", block(b"x\xc2")) + renderer.render("a", block(b"\x9b2J\n")) == b"x\x9b2J\n"
    for cut in (1, 2):
        override = "\u202e".encode()
        assert override not in renderer.render("a", block(override[:cut])) + renderer.render(
            "a", block(override[cut:])
        )


def test_a_line_cannot_overwrite_its_prefix_or_colour_the_next() -> None:
    """A carriage return draws the name again; colours end with the line."""
    rendered = Renderer(True).render("a", block(b"\x1b[31m10%\r20%\nnext\n"), b"a | ")
    assert rendered == b"a | \x1b[31m10%\ra | 20%\x1b[0m\na | next\x1b[0m\n"
