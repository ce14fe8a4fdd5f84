"""Where a stack does not run there is nothing to stop, freeze or measure: docker compose does not call that a
failure, and scripts that clean up (`stop && rm -f`) count on it."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

from orchestra.client import NotRunning

from .telling import warn

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")


def fine_when_nothing_runs(function: Callable[P, int | None]) -> Callable[P, int | None]:
    """A command that says so and ends with 0."""

    @wraps(function)
    def command(*words: P.args, **options: P.kwargs) -> int | None:
        try:
            return function(*words, **options)
        except NotRunning as reason:
            warn(reason.what)
            return 0

    return command
