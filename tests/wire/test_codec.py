"""Dataclasses to JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Literal

import pytest

from orchestra.values import dataclass
from orchestra.wire.codec import decode, encode


@dataclass(frozen=True, slots=True)
class Leaf:
    name: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Other:
    path: str


@dataclass(frozen=True, slots=True)
class Tree:
    kind: Literal["a", "b"]
    leaf: Leaf | Other
    leaves: tuple[Leaf, ...] = ()
    by_name: Mapping[str, Leaf] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    pair: tuple[int, Leaf] | None = None
    inner: Tree | None = None


ONE = Leaf("one", 1)
VALUES = [
    Tree("a", ONE),
    Tree("b", Other("/x"), (ONE, Leaf("two")), {"one": ONE}, frozenset({"z", "y"}), (3, ONE)),
    Tree("a", ONE, inner=Tree("b", Other("/y"), inner=Tree("a", ONE))),
]


@pytest.mark.parametrize("value", VALUES)
def test_what_goes_out_comes_back(value):
    """Through JSON, with every kind of field, and a class among its own fields."""
    assert decode(Tree, json.loads(json.dumps(encode(value)))) == value


def test_the_members_of_a_union_are_named():
    """Which one it was is in the data."""
    assert encode(Tree("a", Other("/x")))["leaf"] == {"is": "Other", "path": "/x"}


def test_sets_are_sorted():
    """The same value is the same text."""
    assert encode(Tree("a", ONE, tags=frozenset("cab")))["tags"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "raw", [None, 3, [], {"kind": "a"}, {**encode(VALUES[0]), "new": 1}, {"leaf": 1, "kind": "a"}]
)
def test_what_is_no_such_thing_is_refused(raw):
    """ValueError, whatever it is: a file of another version, a message of somebody else."""
    if raw == {"leaf": 1, "kind": "a"}:
        raw = {**raw, "leaves": 5}
    with pytest.raises(ValueError, match="not a Tree"):
        decode(Tree, raw)


def test_what_cannot_be_encoded_is_named():
    """A mistake of ours."""
    with pytest.raises(TypeError, match="object cannot be encoded"):
        encode({"a": (object(),)})
