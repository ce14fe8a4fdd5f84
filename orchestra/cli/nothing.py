"""Where a stack does not run there is nothing to stop, freeze or measure: docker compose does not call that a
failure, and scripts that clean up (`stop && rm -f`) count on it."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

import click

from orchestra.client import NotRunning
from orchestra.errors import OrchestraError

from .telling import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .options import Asked

P = ParamSpec("P")


def fine_when_nothing_runs(function: Callable[P, int | None]) -> Callable[P, int | None]:
    """A command that says so and ends with 0. Services that are not in the stack file are refused all the same."""

    @wraps(function)
    def command(*words: P.args, **options: P.kwargs) -> int | None:
        try:
            return function(*words, **options)
        except NotRunning as reason:
            context = click.get_current_context()
            _refuse_unknown(context.obj, context.params.get("services") or ())
            warn(reason.what)
            return 0

    return command


def _refuse_unknown(asked: Asked, services: Sequence[str]) -> None:
    from .project import names_in_file, refuse_unknown

    if services:
        try:
            names = names_in_file(asked)
        except OrchestraError:
            return  # the stack was named without a file that could be asked
        refuse_unknown(services, names)
