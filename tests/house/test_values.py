"""Our dataclasses are the standard library's in everything but what they cost."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Mapping

import pytest

from orchestra import values


def both(frozen: bool):
    """The same class, made by the standard library and by ours."""
    made = []
    for decorator in (dataclasses.dataclass, values.dataclass):

        @decorator(frozen=frozen, slots=True)
        class Thing:
            name: str
            size: int = 3
            labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

            @property
            def double(self) -> int:
                return self.size * 2

        made.append(Thing)
    return made


@pytest.fixture(params=[True, False], ids=["frozen", "mutable"])
def kinds(request):
    return both(request.param)


@values.dataclass(frozen=True, slots=True)
class Known:
    """At the top of a module, where pickle finds it."""

    name: str
    size: int = 3


@values.dataclass(frozen=True, slots=True)
class One:
    only: int


@values.dataclass(frozen=True, slots=True)
class Nothing:
    pass


MAKINGS = [(("a",), {}), (("a", 4), {}), ((), {"name": "a", "size": 4}), (("a",), {"labels": {"x": "y"}})]


@pytest.mark.parametrize(("given", "named"), MAKINGS)
def test_they_look_and_behave_alike(kinds, given, named):
    """Made by position, by name, by default."""
    theirs, ours = (kind(*given, **named) for kind in kinds)
    assert repr(ours) == repr(theirs)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert ours.double == theirs.double
    assert ours == type(ours)(*given, **named) != type(ours)("other")
    assert ours != theirs
    changed = dataclasses.replace(ours, size=9)
    assert (changed.name, changed.size, changed.labels) == (ours.name, 9, ours.labels)
    assert values.replace(ours, size=9) == changed
    assert not hasattr(ours, "__dict__")


def test_classes_tell_the_same_of_themselves(kinds):
    """Fields in order, for patterns and for the codec."""
    theirs, ours = kinds
    assert ours.__match_args__ == theirs.__match_args__
    names = [[field.name for field in dataclasses.fields(kind)] for kind in kinds]
    assert names[0] == names[1]
    assert dataclasses.is_dataclass(ours)


def test_each_has_a_dictionary_of_its_own(kinds):
    """A default that is made is made each time."""
    for kind in kinds:
        assert kind("a").labels is not kind("b").labels


@pytest.mark.parametrize(
    ("given", "named"), [((), {}), (("a", 1, {}, 4), {}), (("a",), {"name": "b"}), (("a",), {"x": 1})]
)
def test_what_does_not_fit_is_refused(kinds, given, named):
    """Too little, too much, twice, unknown."""
    for kind in kinds:
        with pytest.raises(TypeError):
            kind(*given, **named)


def test_frozen_means_frozen():
    """Nothing can be set, added or deleted, and so it can be a key."""
    for kind in both(frozen=True):
        thing = kind("a", labels=())
        with pytest.raises(dataclasses.FrozenInstanceError):
            thing.name = "b"
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):  # TypeError: a slip of CPython 3.11
            thing.new = "b"
        with pytest.raises(dataclasses.FrozenInstanceError):
            del thing.name
        assert {thing: 1}[kind("a", labels=())] == 1


def test_mutable_means_mutable():
    """It can be set, and is no key."""
    for kind in both(frozen=False):
        thing = kind("a")
        thing.size = 8
        assert thing == kind("a", 8)
        with pytest.raises(TypeError):
            hash(thing)


def test_they_can_be_copied_and_pickled():
    """Frozen or not."""
    thing = Known("a", 4)
    assert copy.copy(thing) == copy.deepcopy(thing) == pickle.loads(pickle.dumps(thing)) == thing


def test_one_field_or_none():
    """The smallest ones compare and hash as well."""
    assert One(1) == One(1) != One(2)
    assert hash(One(1)) == hash(One(1))
    assert Nothing() == Nothing()
    assert repr(Nothing()) == "Nothing()"
    match One(5):
        case One(only):
            assert only == 5
