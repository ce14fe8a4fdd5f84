"""`orchestra why SERVICE`: the very line the supervisor works from."""

from __future__ import annotations

import time

import click

from orchestra.client import NotRunning

from . import words
from .options import Asked, project_options, services_argument
from .project import find, need_services
from .ps import rows_of


@click.command()
@services_argument
@project_options()
@click.pass_obj
def command(asked: Asked, services: tuple[str, ...]) -> None:
    """Say why services are in the state they are in."""
    places = find(asked)
    rows = rows_of(places)
    if not rows:
        raise NotRunning(places.name)
    need_services(asked, services, rows)
    for row in rows:
        if not services or row["service"] in services:
            click.echo(f"{row['name']}: {sentence(row, time.time())}")


def sentence(row: words.Row, now: float) -> str:
    """State, cause, and how the last run ended."""
    parts = [words.status(row, now)]
    if words.cause(row) and words.cause(row) not in parts[0]:
        parts.append(words.cause(row))
    if row["last_exit"] and row["last_exit"] not in parts:
        parts.append(f"last run: {row['last_exit']}")
    if row["restarts"]:
        parts.append(f"restarted {row['restarts']} times" if row["restarts"] > 1 else "restarted once")
    return "; ".join(parts)
