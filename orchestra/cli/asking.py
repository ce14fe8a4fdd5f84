"""Commands on several things: each by itself, the errors of all; and a question before what cannot be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from orchestra.errors import OrchestraError

from .console import echo
from .telling import tell


def each_of(names: Iterable[str], act: Callable[[str], None]) -> int:
    """As docker does: what can be done is done, every error is told, and the status is 1 if there was one."""
    status = 0
    for name in names:
        try:
            act(name)
        except OrchestraError as error:
            status = tell(error.what, error.hint, error.status)
    return status


def agreed(warning: str) -> bool:
    """Whether a person says y; silence and the end of input mean no."""
    echo(f"WARNING! {warning}")
    try:
        return bool(click.confirm("Are you sure you want to continue?", default=False))
    except click.Abort:
        echo()
        return False
