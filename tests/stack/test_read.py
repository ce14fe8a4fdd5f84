"""YAML text in, nodes with places out."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.stack.problems import Mark, Problems
from orchestra.stack.read import read, write
from orchestra.stack.scalars import spelled


def plain(text: str) -> Any:
    (node,) = read(text, "f.yml")
    return node.plain()


def refusal(text: str) -> str:
    with pytest.raises(Problems) as caught:
        read(text, "f.yml")
    return str(caught.value)


@pytest.mark.parametrize(
    "text", ["no", "yes", "on", "off", "y", "22:22", "1:30", "190:20:30", "2001-12-14", "08:00", "1e400"]
)
def test_words_of_yaml_1_1_are_strings(text: str) -> None:
    """Only the words of the YAML 1.2 core schema mean something."""
    assert plain(f"k: {text}") == {"k": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("0x10", 16),
        ("0o17", 15),
        ("017", 15),
        ("1_000", 1000),
        ("-0b11", -3),
        ("1.50", 1.5),
        (".5", 0.5),
        ("+5", 5),
    ],
)
def test_words_of_the_core_schema_have_their_types(text: str, value: object) -> None:
    """Numbers are Go's: a leading zero is octal, underscores are skipped."""
    found = plain(f"k: {text}")["k"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5, "1.5"),
        (1234567.0, "1.234567e+06"),
        (100000.0, "100000"),
        (1e-05, "1e-05"),
        (0.0001, "0.0001"),
        (True, "true"),
    ],
)
def test_numbers_are_spelled_as_go_does(value: Any, text: str) -> None:
    """What reaches a container's environment is what docker compose would put there."""
    assert spelled(value) == text


def test_quoted_scalars_are_strings() -> None:
    """Quotes make a string of anything."""
    assert plain("""{a: "1", b: 'true', c: "~"}""") == {"a": "1", "b": "true", "c": "~"}


def test_a_value_knows_where_it_stands() -> None:
    """Lines and columns count from 1."""
    (node,) = read("a:\n  - x\n  - {b: 5}\n", "f.yml")
    items = node.get("a")
    assert items is not None
    assert isinstance(items.value, list)
    assert items.value[1].mark == Mark("f.yml", 3, 5)
    assert items.value[1].keys["b"] == Mark("f.yml", 3, 6)


def test_merge_keys_are_shallow_and_own_keys_win() -> None:
    """Of several sources the first wins, as YAML 1.1's merge type says."""
    text = "a: &a {x: 1, y: {z: 1}}\nb: &b {x: 2, w: 2}\nc: {<<: [*a, *b], y: {q: 1}}\n"
    assert plain(text)["c"] == {"x": 1, "w": 2, "y": {"q": 1}}


def test_a_quoted_merge_key_is_a_key() -> None:
    """Only the plain word merges."""
    assert plain('a: {"<<": 1}') == {"a": {"<<": 1}}


def test_a_key_that_is_there_twice_is_told_with_both_lines() -> None:
    """YAML forbids duplicates; most readers drop one of them in silence."""
    assert refusal("a: 1\nb: 2\na: 3\n") == "f.yml:3:1: key 'a' is there twice, first in line 1 (keep one of them)"


@pytest.mark.parametrize("text", ["1: a", "true: a", "null: a", "[a]: b", "{a: b}: c"])
def test_keys_are_strings(text: str) -> None:
    """A number or a list as a key is a mistake that is told of."""
    assert "is not a string (write it in quotes)" in refusal(text)


def test_documents_of_one_file_come_in_order() -> None:
    """Empty ones are left out."""
    assert [node.plain() for node in read("a: 1\n---\n---\nb: 2\n", "f.yml")] == [{"a": 1}, {"b": 2}]


def test_markers_are_kept() -> None:
    """`!reset` and `!override` mean something to the merge."""
    (node,) = read("a: !reset null\nb: !override [x]\nc: !other 5\n", "f.yml")
    tags = {key: child.tag for key, child in node.value.items()} if isinstance(node.value, dict) else {}
    assert tags == {"a": "reset", "b": "override", "c": ""}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12)),
        "[" * 5000,
        "{a: " * 5000,
        "- " * 3000 + "x",
        "a: &a {b: *a}",
        "".join(f"{'  ' * i}k:\n" for i in range(200)),
    ],
    ids=["aliases", "lists", "mappings", "dashes", "recursive", "indented"],
)
def test_bombs_are_refused_quickly(text: str) -> None:
    """Neither aliases nor nesting can make a small file big."""
    before = time.process_time()
    message = refusal(text)
    assert time.process_time() - before < 2
    assert message.count("\n") == 0


def test_bad_yaml_is_told_with_its_place() -> None:
    """libyaml's words, our place."""
    assert refusal("a: [1\nb: 2\n").startswith("f.yml:2:2: not YAML: ")


@pytest.mark.parametrize("text", ["a: \x00", "a: *b", "%YAML 3.0\n---\na: 1", "a: !!int x", "<<: 5", 'a: "\\0"'])
def test_what_yaml_refuses_is_a_problem(text: str) -> None:
    """Nothing but `Problems` comes out."""
    assert refusal(text)


TEXTS = st.text().filter(lambda text: "\0" not in text)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=15,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1))
def test_what_is_written_reads_back(value: Any) -> None:
    """`config` prints YAML that means the same when it is read again."""
    (node,) = read(write(value), "f.yml")
    assert node.plain() == value


@given(st.text(max_size=200))
def test_any_text_gives_nodes_or_problems(text: str) -> None:
    """No other exception gets out."""
    with contextlib.suppress(Problems):
        read(text, "f.yml")
