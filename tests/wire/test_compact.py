"""JSON by the C halves of json: the same as json itself makes and takes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.wire.compact import dumps, loads

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_it_writes_what_json_writes(value: object) -> None:
    """The same text, and so the same bytes on the wire as ever."""
    assert dumps(value) == json.dumps(value, separators=(",", ":"))


@given(values, st.sampled_from([None, 1, "\t"]))
def test_it_reads_what_json_reads(value: object, indent: int | str | None) -> None:
    """However it is laid out."""
    text = "\n" + json.dumps(value, indent=indent) + " \n"
    assert loads(text) == json.loads(text)


@pytest.mark.parametrize("text", ["", " ", "{", '{"a":}', "[1,]", "1 2", "nul", '"\n"', "{'a': 1}", "[1] x"])
def test_it_refuses_what_json_refuses(text: str) -> None:
    """ValueError, whatever is wrong."""
    for read in (json.loads, loads):
        with pytest.raises(ValueError, match=r"value|delimiter|Extra|control|property"):
            read(text)


def test_what_json_does_not_know_is_refused() -> None:
    """A set has no place in a message."""
    with pytest.raises(TypeError):
        dumps({"a": {1, 2}})
