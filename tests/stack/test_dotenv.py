"""The grammar of `.env` and `env_file`."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.stack.dotenv import parse, parse_raw
from orchestra.stack.problems import Problems

CALLER = {"SET": "s"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1", {"A": "1"}),
        ("A = 1", {"A": "1"}),
        ("A: 1", {"A": "1"}),
        ("export  A=1", {"A": "1"}),
        ("# c\n\n  A=1", {"A": "1"}),
        ("A=1 # c", {"A": "1"}),
        ("A=1#c", {"A": "1#c"}),
        ('A="x # y" # z', {"A": "x # y"}),
        ("A='x\ny'\nB=1", {"A": "x\ny", "B": "1"}),
        ("A='$SET\\n'", {"A": "$SET\\n"}),
        (r'A="a\nb\tc\"d"', {"A": 'a\nb\tc"d'}),
        (r'A="\$SET ${SET} ${NO:-d}"', {"A": "$SET s d"}),
        ("A=${SET}b", {"A": "sb"}),
        ("A=1\nB=$A", {"A": "1", "B": "1"}),
        ("SET=z\nB=$SET", {"SET": "z", "B": "s"}),
        ("SET\nNO\nA=1", {"SET": "s", "A": "1"}),
        ("A=\nB=''", {"A": "", "B": ""}),
        ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=x=y", {"A": "x=y"}),
    ],
)
def test_lines_mean_what_compose_makes_of_them(text: str, found: dict[str, str]) -> None:
    """Each of these was compared with docker compose."""
    assert parse(text, ".env", CALLER) == found


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("A=1\nA B=1", "2:1"),
        ("=x", "1:1"),
        ('A=1\nB="x', "2:3"),
        ("A='x", "1:3"),
        ("A=${B", "1:3"),
        ("A=${B:?no}", "1:3"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, place: str) -> None:
    """File, line and column."""
    with pytest.raises(Problems) as caught:
        parse(text, ".env", {})
    assert str(caught.value).startswith(f".env:{place}: ")


def test_raw_lines_are_taken_as_they_are() -> None:
    """`format: raw` expands nothing and removes no quote."""
    assert parse_raw("A='$SET' # x\n# c\nB= y ", "f", {}) == {"A": "'$SET' # x", "B": " y "}


@given(st.text(max_size=100))
def test_any_text_gives_values_or_problems(text: str) -> None:
    """No other exception gets out."""
    for grammar in (parse, parse_raw):
        with contextlib.suppress(Problems):
            grammar(text, "f", CALLER)


@given(
    st.dictionaries(
        st.from_regex(r"\A[A-Z][A-Z0-9_]{0,5}\Z"), st.text(alphabet=st.characters(exclude_categories=["Cs"]))
    )
)
def test_quoted_values_come_back(values: dict[str, str]) -> None:
    """Double quotes can hold any text."""

    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\r", "\\r")

    text = "\n".join(f'{key}="{quoted(value)}"' for key, value in values.items())
    assert parse(text, "f", {}) == values
