"""Whether a value out of a JSON text has the shape that its reader relies on."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NUMBER = (int, float)
OPTIONAL_NUMBER = (int, float, type(None))
OPTIONAL_INT = (int, type(None))


def fits(value: Any, shape: Any) -> bool:
    """`shape`: a type or several; [item] for a list; {str: item} for a mapping; {"key": …} for an object that has at
    least these keys. True and False are no numbers."""
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, shape[0]) for item in value)
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return False
        if str in shape:
            return all(fits(item, shape[str]) for item in value.values())
        return all(key in value and fits(value[key], item) for key, item in shape.items())
    if isinstance(value, bool):
        return shape is bool
    return isinstance(value, shape)


def fitting(value: Any, shape: Any) -> Any:
    """The value. Raises ValueError where it does not fit."""
    if not fits(value, shape):
        raise ValueError("this is not what belongs here")
    return value
