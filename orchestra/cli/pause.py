"""`orchestra pause`."""

from __future__ import annotations

import click

from .freezing import freeze
from .nothing import fine_when_nothing_runs
from .options import Asked, project_options, services_argument


@click.command()
@services_argument
@project_options()
@click.pass_obj
@fine_when_nothing_runs
def command(asked: Asked, services: tuple[str, ...]) -> int:
    """Freeze services where they are: no process of theirs runs until `unpause`."""
    return freeze(asked, services, "pause")
