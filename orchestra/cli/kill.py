"""`orchestra kill`."""

from __future__ import annotations

import click

from .acts import act
from .nothing import fine_when_nothing_runs
from .options import Asked, project_options, services_argument


@click.command()
@services_argument
@click.option("-s", "--signal", default="SIGKILL", show_default=True, help="Name or number of the signal.")
@click.option("--remove-orphans", is_flag=True, hidden=True)
@project_options()
@click.pass_obj
@fine_when_nothing_runs
def command(asked: Asked, services: tuple[str, ...], signal: str, remove_orphans: bool) -> int:
    """Send a signal to services."""
    return act(asked, services, "killed", {"do": "kill", "signal": signal})
