"""`orchestra stop`."""

from __future__ import annotations

import click

from .acts import act
from .nothing import fine_when_nothing_runs
from .options import Asked, project_options, services_argument, timeout_option


@click.command()
@services_argument
@timeout_option
@click.option("--force", is_flag=True, help="Also when other stacks use them.")
@project_options()
@click.pass_obj
@fine_when_nothing_runs
def command(asked: Asked, services: tuple[str, ...], timeout: float | None, force: bool) -> int:
    """Stop services without removing them."""
    return act(asked, services, "stopped", {"do": "stop", "timeout": timeout, "force": force})
