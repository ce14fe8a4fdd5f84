"""Frozen dataclasses that cost nothing to import.

The standard library writes the source of six methods for each class and compiles it whenever the module is imported:
0.5 ms a class, which was a third of a supervisor's start. Here the classes share theirs. In all other respects they
are dataclasses with slots: `replace`, `fields` and `asdict` of the standard library work on them, and a type checker
is told that they are what `@dataclass` makes.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as dataclass
    from dataclasses import replace as replace
else:

    def dataclass(*, frozen: bool = False, slots: bool = True) -> Callable[[type], type]:
        """As dataclasses.dataclass with these two arguments. `slots` is there for the checker: it is always true."""
        return _frozen if frozen else _mutable

    def replace(value: Any, /, **changes: Any) -> Any:
        """As dataclasses.replace, for the classes of this module."""
        kind = value.__class__
        return kind(**dict(zip(kind.__dataclass_fields__, value._values, strict=True)) | changes)


_bare = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)


def _mutable(kind: type) -> type:
    kind.__doc__ = kind.__doc__ or kind.__name__  # or dataclasses would work out a signature for it, at length
    made: Any = _bare(kind)
    names = tuple(made.__dataclass_fields__)
    made.__init__ = _initial(made, names)
    made.__eq__ = _equal
    made.__hash__ = None
    made.__repr__ = _shown
    made._values = _getter(names)
    return made  # type: ignore[no-any-return]


def _frozen(kind: type) -> type:
    made: Any = _mutable(kind)
    made.__hash__ = _hashed
    made.__setattr__ = made.__delattr__ = _refuse
    made.__reduce__ = _reduced
    return made  # type: ignore[no-any-return]


def _initial(kind: Any, names: tuple[str, ...]) -> Callable[..., None]:
    every = kind.__dataclass_fields__.values()
    defaults = {each.name: each.default for each in every if each.default is not dataclasses.MISSING}
    factories = {each.name: each.default_factory for each in every if each.default_factory is not dataclasses.MISSING}
    # The slots' own __set__: past the __setattr__ that refuses.
    setters = tuple((name, getattr(kind, name).__set__) for name in names)
    number = len(names)

    def __init__(self: Any, *given: Any, **named: Any) -> None:
        if given:
            if len(given) > number or not named.keys().isdisjoint(names[: len(given)]):
                raise TypeError(f"{kind.__name__} takes {', '.join(names)} alone, and each once")
            named.update(zip(names, given))  # noqa: B905  the rest is named, or has a default
        if len(named) != number:
            named = defaults | named
            for name, factory in factories.items():
                if name not in named:
                    named[name] = factory()
        if len(named) != number or not named.keys() <= kind.__dataclass_fields__.keys():
            raise TypeError(f"{kind.__name__} needs {', '.join(names)} and takes no more")
        for name, put in setters:
            put(self, named[name])

    return __init__


def _getter(names: tuple[str, ...]) -> property:
    if len(names) > 1:
        return property(attrgetter(*names))
    return property(lambda self: tuple(getattr(self, name) for name in names))


def _equal(self: Any, other: object) -> Any:
    return self._values == other._values if other.__class__ is self.__class__ else NotImplemented  # type: ignore[attr-defined]


def _hashed(self: Any) -> int:
    return hash(self._values)


def _shown(self: Any) -> str:
    pairs = zip(self.__dataclass_fields__, self._values, strict=True)
    return f"{self.__class__.__qualname__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


def _reduced(self: Any) -> tuple[Any, ...]:
    return self.__class__, self._values


def _refuse(self: Any, name: str, *_: object) -> None:
    raise dataclasses.FrozenInstanceError(f"{self.__class__.__name__}.{name} cannot be changed")
