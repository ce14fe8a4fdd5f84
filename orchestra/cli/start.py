"""`orchestra start`."""

from __future__ import annotations

import click

from .acts import act
from .options import Asked, project_options, services_argument, timeout_option


@click.command()
@services_argument
@timeout_option
@project_options()
@click.pass_obj
def command(asked: Asked, services: tuple[str, ...], timeout: float | None) -> int:
    """Start services that were stopped."""
    return act(asked, services, "running", {"do": "start", "timeout": timeout})
