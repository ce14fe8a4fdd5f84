"""Frames between processes: bytes in, messages out, however the bytes arrive."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.wire.frames import LIMIT, BadFrame, Reader, encode

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
messages = st.lists(st.dictionaries(st.text(), values, max_size=4), max_size=5)


@given(messages)
def test_one_byte_at_a_time(sent: list[dict[str, Any]]) -> None:
    """A message is there with its last byte, and not before."""
    reader = Reader()
    received = []
    for message in sent:
        frame = encode(message)
        for at in range(len(frame)):
            found = list(reader.feed(frame[at : at + 1]))
            assert bool(found) == (at == len(frame) - 1)
            received += found
    assert received == sent


@given(messages, st.lists(st.integers(0, 400)))
def test_any_cuts(sent: list[dict[str, Any]], cuts: list[int]) -> None:
    """Where the reads happen to end makes no difference."""
    data = b"".join(map(encode, sent))
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    reader = Reader()
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    received = [message for piece in pieces for message in reader.feed(piece)]
    assert received == sent


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for(garbage: bytes) -> None:
    """Whatever comes, it is a message, the beginning of one, or a BadFrame: nothing else is raised."""
    with contextlib.suppress(BadFrame):
        assert all(isinstance(message, dict) for message in Reader().feed(garbage))


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b"null", b"{", b"{'a': 1}", b"\xff{}"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """Only JSON objects are messages."""
    with pytest.raises(BadFrame):
        list(Reader().feed(len(body).to_bytes(4, "big") + body))


def test_a_frame_over_the_limit_is_refused_at_once() -> None:
    """Before its bytes are gathered; and none is sent."""
    with pytest.raises(BadFrame):
        list(Reader().feed((LIMIT + 1).to_bytes(4, "big")))
    with pytest.raises(BadFrame):
        encode({"x": "x" * LIMIT})
