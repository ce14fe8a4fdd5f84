"""`orchestra events`: what happened and happens to a stack, with causes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click

from orchestra.places import Places

from ..wire import compact
from .console import echo
from .moments import moment
from .options import Asked, project_options, services_argument
from .past import events
from .project import find, need_services

SHOWN = ("exitCode",)
"""Attributes that a person wants to see; the text says the rest."""


@click.command()
@services_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--since", metavar="TIME", help="Those since then as well: 10m, RFC 3339, epoch seconds.")
@click.option("--until", metavar="TIME", help="No further than this.")
@project_options()
@click.pass_obj
def command(asked: Asked, services: tuple[str, ...], as_json: bool, since: str | None, until: str | None) -> None:
    """Show events as they happen, until interrupted."""
    last = moment(until, "--until")
    first = moment(since, "--since")
    if first is None and last is None:
        first = time.time()
    request = {
        "since": first,
        "until": last,
        "services": list(services) or None,
        "follow": last is None or last > time.time(),
    }
    places = find(asked)
    if services:
        _need_known(asked, places, services)
    for event in events(places, request):
        echo(compact.dumps(record(event)) if as_json else line(event))


def _need_known(asked: Asked, places: Places, services: tuple[str, ...]) -> None:
    """A service that is not there any more has a past all the same."""
    unheard = [name for name in services if not list(events(places, {"services": [name], "limit": 1}))]
    if unheard:
        need_services(asked, unheard, [])


def record(event: dict[str, Any]) -> dict[str, Any]:
    """The keys of `docker compose events --json`, then the cause."""
    return {
        "action": event["action"],
        "attributes": {"name": event["container"], **event["attributes"]},
        "id": event["container"],
        "service": event["service"],
        "time": datetime.fromtimestamp(event["time"], UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": "container" if event["container"] else "stack",
        "text": event["text"],
    }


def line(event: dict[str, Any]) -> str:
    """`2026-11-23 22:47:59.123456 container die store-cart-1 (exitCode=137): killed by SIGKILL`."""
    when = datetime.fromtimestamp(event["time"]).isoformat(" ", timespec="microseconds")
    kind = "container" if event["container"] else "stack"
    words = [when, kind, event["action"], event["container"] or event["service"]]
    if shown := [f"{key}={event['attributes'][key]}" for key in SHOWN if key in event["attributes"]]:
        words.append(f"({', '.join(shown)})")
    text = " ".join(word for word in words if word)
    return f"{text}: {event['text']}" if event["text"] else text
