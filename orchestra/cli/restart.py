"""`orchestra restart`."""

from __future__ import annotations

import click

from .acts import act
from .nothing import fine_when_nothing_runs
from .options import Asked, project_options, services_argument, timeout_option


@click.command()
@services_argument
@timeout_option
@click.option("--no-deps", is_flag=True, help="Leave alone what depends on them.")
@project_options()
@click.pass_obj
@fine_when_nothing_runs
def command(asked: Asked, services: tuple[str, ...], timeout: float | None, no_deps: bool) -> int:
    """Restart services. A changed stack file takes effect with `up`, not here."""
    return act(asked, services, "running", {"do": "restart", "timeout": timeout, "no_deps": no_deps})
