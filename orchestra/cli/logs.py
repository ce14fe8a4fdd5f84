"""`orchestra logs`: what containers have written."""

from __future__ import annotations

import click

from .attach import Output
from .options import Asked, project_options, services_argument
from .project import find, need_services
from .ps import rows_of


@click.command()
@services_argument
@project_options("-f", "-p")
@click.pass_obj
def command(asked: Asked, services: tuple[str, ...]) -> None:
    """Show what containers have written."""
    places = find(asked)
    rows = rows_of(places)
    need_services(asked, services, rows)
    output = Output(places, set(services) or {row["service"] for row in rows}, {})
    for row in rows:
        output.add(row)
    output.show(before=lambda: None)
