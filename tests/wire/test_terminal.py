"""No text may command a terminal, and none may pretend to be several lines."""

from __future__ import annotations

import json
import unicodedata

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestra.wire.terminal import line, lines

TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode, 日本, 👩‍🚀, a b", "plain, ünïcode, 日本, 👩‍🚀, a b"),
        ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
        ("\x9b2J\x7f\x00", "\\u009b2J\\u007f\\u0000"),
        ("a\u202eb\u2069", "a\\u202eb\\u2069"),
        ("one\ntwo\r\n\tthree\u2028", "one\\ntwo\\r\\n\\tthree\\u2028"),
        (b"no \xff text".decode("utf-8", "surrogateescape"), "no \\udcff text"),
    ],
)
def test_what_commands_is_spelled(text: str, shown: str) -> None:
    """And all else, emoji with their joiners too, is left as it is."""
    assert line(text) == shown


def test_lines_stay_lines() -> None:
    """And tabs; a carriage return would write over what stands there."""
    assert lines("a\tb\nc\rd\n") == "a\tb\nc\\rd\n"


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_gets_through(text: str) -> None:
    """No control, no turn of direction, no half of a pair, whatever the text is; twice is as good as once."""
    for shown, kept in ((line(text), ""), (lines(text), "\t\n")):
        found = {each for each in shown if unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") or each in TURNS}
        assert found <= set(kept)
    assert line(line(text)) == line(text)


@given(st.text())
def test_json_and_yaml_mean_the_same(text: str) -> None:
    """In their strings what is spelled is what was there."""
    assert json.loads(lines(json.dumps({"x": text}, ensure_ascii=False))) == {"x": text}
    quoted = yaml.safe_dump({"x": text}, allow_unicode=True, default_style='"', width=1 << 20)
    assert yaml.safe_load(lines(quoted)) == {"x": text}
