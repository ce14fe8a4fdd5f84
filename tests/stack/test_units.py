"""Sizes, durations, signals and commands as words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.stack import shell, units
from orchestra.stack.process import stop_signal


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("5b", 5),
        ("50m", 50 << 20),
        ("5 kb", 5 << 10),
        ("5MiB", 5 << 20),
        ("1.5g", 3 << 29),
        (4096, 4096),
        ("1Gi", None),
        ("10ib", None),
        ("m", None),
        ("-5m", None),
        ("", None),
        (-1, None),
        (0.5, None),
        (True, None),
        ("9" * 30, None),
    ],
)
def test_sizes_are_powers_of_1024(text: object, size: int | None) -> None:
    """Compared with docker compose; `Gi` without a B is Kubernetes' and is refused."""
    assert units.size(text) == size


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("90s", "1m30s"),
        ("1d", "24h0m0s"),
        ("1h", "1h0m0s"),
        ("500ms", "500ms"),
        ("1.5s", "1.5s"),
        ("100us", "100µs"),
        ("1ns", "1ns"),
        ("0", "0s"),
        ("0s", "0s"),
        ("2w", "336h0m0s"),
    ],
)
def test_durations_are_printed_as_go_does(text: str, printed: str) -> None:
    """The model's form."""
    assert units.spelled_duration(units.duration(text) or 0) == printed


@pytest.mark.parametrize("text", ["", "90", "s", "1x", "1m30", "-5s", "5 s", 90, True, None])
def test_durations_need_their_unit(text: object) -> None:
    """90 of what?"""
    assert units.duration(text) is None


@given(st.integers(0, 10**17))
def test_a_printed_duration_reads_back(nanoseconds: int) -> None:
    """To the nanosecond, as far as a float is exact."""
    again = units.duration(units.spelled_duration(nanoseconds))
    assert again is not None
    assert abs(again - nanoseconds) <= nanoseconds // 2**52 + 1


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ("TERM", "SIGTERM"),
        ("sigint", "SIGINT"),
        ("10", "SIGUSR1"),
        ("31", "SIGSYS"),
        ("34", "SIGRTMIN"),
        ("37", "SIGRTMIN+3"),
        ("64", "SIGRTMAX"),
        ("RTMAX-3", "SIGRTMAX-3"),
        ("POLL", "SIGIO"),
        ("0", None),
        ("32", None),
        ("65", None),
        ("RTMIN+03", "SIGRTMIN+3"),
        ("RTMIN+16", None),
        ("RTMIN+1500", None),
        ("FOO", None),
        ("", None),
    ],
)
def test_signals_have_one_spelling(text: str, signal: str | None) -> None:
    """signal(7), by name or number."""
    assert stop_signal(text) == signal


@pytest.mark.parametrize(
    ("text", "words", "rest"),
    [
        ("a  'b c' \"d e\"", ["a", "b c", "d e"], ""),
        (r'a\ b "c\"d" \q', ["a b", 'c"d', "q"], ""),
        ("a '' \"\"", ["a", "", ""], ""),
        ("echo $(date; x) `ls; y`", ["echo", "$(date; x)", "`ls; y`"], ""),
        ("echo a && b", ["echo", "a"], "&& b"),
        ("echo a>b", ["echo", "a"], ">b"),
        ("echo a 2>b", ["echo", "a"], ">b"),
        ("sh -c 'a && b'", ["sh", "-c", "a && b"], ""),
        ("", [], ""),
    ],
)
def test_commands_are_split_like_a_shells(text: str, words: list[str], rest: str) -> None:
    """But nothing is expanded, and what a shell would have to run is left out (and said so by the caller)."""
    assert shell.split(text) == (words, rest)


@pytest.mark.parametrize("text", ["(a)", "a)"])
def test_a_parenthesis_needs_quotes(text: str) -> None:
    """A shell would start another one."""
    with pytest.raises(ValueError, match="outside of quotes"):
        shell.split(text)


@pytest.mark.parametrize("text", ["'a", '"a', "a\\", "`a", "$(a"])
def test_a_quote_that_is_not_closed_is_refused(text: str) -> None:
    """Guessing where it ends would run something else."""
    with pytest.raises(ValueError, match="not closed"):
        shell.split(text)


@given(st.lists(st.text(alphabet="ab '\"\\$(;&")))
def test_quoted_words_come_back(words: list[str]) -> None:
    """Double quotes with backslashes hold anything."""

    def quoted(word: str) -> str:
        return '"' + "".join(f"\\{letter}" if letter in '"\\' else letter for letter in word) + '"'

    assert shell.split(" ".join(map(quoted, words))) == (words, "")
