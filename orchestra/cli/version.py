"""`orchestra version`."""

from __future__ import annotations

import click

from orchestra import __version__

from ..wire import compact
from .console import echo


@click.command()
@click.option("-f", "--format", "shape", type=click.Choice(["pretty", "json"]), default="pretty")
@click.option("--short", is_flag=True, help="The number only.")
def command(shape: str, short: bool) -> None:
    """Show the version."""
    if shape == "json":
        echo(compact.dumps({"version": f"v{__version__}"}))
    else:
        echo(__version__ if short else f"orchestra version v{__version__}")
