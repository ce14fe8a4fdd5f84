"""Frozen dataclasses to JSON and back, by their type hints.

Knows what the model is made of: str, int, float, bool, None, Literal, tuple, frozenset, Mapping, unions, and
dataclasses. In a union of dataclasses the member is named by its class under "is". Decoders are built once a class.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
Decoder = Callable[[Any], Any]


def encode(value: Any) -> Any:
    """Anything made of the kinds above, as what json.dumps takes. Equal parts may be one object in it."""
    return _encoded(value, {})


def _encoded(value: Any, done: dict[int, Any]) -> Any:
    """`done`: the dataclasses encoded so far, by identity; a service stands in three places of a book."""
    kind = value.__class__
    way = _ways.get(kind)
    if way is None:
        way = _ways[kind] = _way(kind)
    return way(value, done)


_ways: dict[type, Callable[[Any, dict[int, Any]], Any]] = {}
_PLAIN = {str, int, float, bool, type(None)}


def _way(kind: type) -> Callable[[Any, dict[int, Any]], Any]:
    if issubclass(kind, (str, int, float, type(None))):
        return lambda value, done: value
    if issubclass(kind, Mapping):
        return lambda value, done: {key: _encoded(item, done) for key, item in value.items()}
    if issubclass(kind, (tuple, list)):
        return lambda value, done: [_encoded(item, done) for item in value]
    if issubclass(kind, (set, frozenset)):
        return lambda value, done: sorted(_encoded(item, done) for item in value)
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} cannot be encoded")
    names = [field.name for field in dataclasses.fields(kind)]

    def encoded(value: Any, done: dict[int, Any]) -> Any:
        found = done.get(id(value))
        if found is None:
            found = done[id(value)] = {"is": kind.__name__}
            for name in names:
                part = getattr(value, name)
                found[name] = part if part.__class__ in _PLAIN else _encoded(part, done)
        return found

    return encoded


def decode(kind: type[T], raw: Any) -> T:
    """The inverse of `encode`. Raises ValueError when `raw` is not of that kind."""
    try:
        result: T = _decoder(kind)(raw)  # type: ignore[arg-type]  # a class is hashable
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from None
    return result


@functools.cache
def _decoder(kind: Hashable) -> Decoder:
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        parts = [_decoder(argument) for argument in arguments]
        return lambda raw: tuple(part(item) for part, item in zip(parts, raw, strict=True))
    if origin is tuple or origin is frozenset:
        each = _decoder(arguments[0])
        return lambda raw: origin(map(each, raw))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        item = _decoder(arguments[1])
        return lambda raw: {key: item(value) for key, value in raw.items()}
    return _plain


def _plain(raw: Any) -> Any:
    return raw


def _dataclass(kind: Any) -> Decoder:
    decoders: dict[str, Decoder] | None = None

    def decoded(raw: Any) -> Any:
        nonlocal decoders
        if decoders is None:  # not before: a class may be among its own fields
            hints = {name: _hint(text, kind.__module__) for name, text in kind.__annotations__.items()}
            every = {name: _decoder(hint) for name, hint in hints.items()}
            decoders = {name: decoder for name, decoder in every.items() if decoder is not _plain}
        parts = dict(raw)
        parts.pop("is", None)
        for name, decoder in decoders.items():
            if name in parts:
                parts[name] = decoder(parts[name])
        return kind(**parts)

    return decoded


@functools.cache
def _hint(text: Any, module: str) -> Any:
    """What an annotation means: as typing.get_type_hints, but each text is looked at once a module."""
    return eval(text, vars(sys.modules[module])) if isinstance(text, str) else text


def _union(members: tuple[Any, ...]) -> Decoder:
    named: dict[str, Any] = {member.__name__: member for member in members if dataclasses.is_dataclass(member)}  # type: ignore[union-attr]
    others = [_decoder(member) for member in members if member not in named.values() and member is not type(None)]

    def decoded(raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("is") in named:
            return _decoder(named[raw["is"]])(raw)
        if raw is None or not others:
            return raw
        return others[0](raw)

    return decoded
