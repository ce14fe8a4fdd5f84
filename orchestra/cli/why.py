"""`orchestra why [SERVICE]`: what holds it back, down to what everything hangs on, and what happens next."""

from __future__ import annotations

from typing import Any

import click

from orchestra.wire.terminal import line as fit

from .console import echo_lines
from .options import Asked, project_options, services_argument
from .project import find, need_services
from .reach import connect


@click.command()
@services_argument
@project_options()
@click.pass_obj
def command(asked: Asked, services: tuple[str, ...]) -> None:
    """Say why services are in the state they are in, and what happens next."""
    with connect(find(asked)) as connection:
        causes = connection.call({"do": "why"})["causes"]
    need_services(asked, services, causes)
    for cause in causes:
        if not services or cause["service"] in services:
            echo_lines(told(cause))


def told(cause: dict[str, Any]) -> str:
    """The sentence; below it what happens next, where something is amiss."""
    after = cause["next"]
    if cause["kind"] in ("ready", "finished"):
        return fit(cause["sentence"])
    command = f" (or: {after['command']})" if after["command"] else ""
    return f"{fit(cause['sentence'])}\n  next: {fit(after['text'])}{command}"
