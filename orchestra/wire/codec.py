"""Frozen dataclasses to JSON and back, by their type hints.

Knows what the model is made of: str, int, float, bool, None, Literal, tuple, frozenset, Mapping, unions, and
dataclasses. In a union of dataclasses the member is named by its class under "is". Decoders are built once a class.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
Decoder = Callable[[Any], Any]


def encode(value: Any) -> Any:
    """Anything made of the kinds above, as what json.dumps takes."""
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(encode(item) for item in value)
    if not dataclasses.is_dataclass(value):
        raise TypeError(f"{type(value).__name__} cannot be encoded")
    fields = {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return {"is": type(value).__name__, **fields}


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
    hints = typing.get_type_hints(kind)
    decoders = {field.name: _decoder(hints[field.name]) for field in dataclasses.fields(kind)}

    def decoded(raw: Any) -> Any:
        return kind(**{name: decoders[name](value) for name, value in raw.items() if name != "is"})

    return decoded


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
