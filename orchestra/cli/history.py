"""`orchestra history [SERVICE]`: outages with their causes, and how much of the time a service was well."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from .console import echo
from .moments import moment
from .options import Asked, project_options, services_argument
from .past import clock, health
from .project import find, refuse_unknown

DAY = 86400.0


@click.command()
@services_argument
@click.option("--since", metavar="TIME", help="From then on: 2h, RFC 3339, epoch seconds (default: 24h).")
@click.option("--json", "as_json", is_flag=True, help="All spans and outages as one JSON object.")
@project_options()
@click.pass_obj
def command(asked: Asked, services: tuple[str, ...], since: str | None, as_json: bool) -> None:
    """Show when services were not well, why, and for how long. Works for stacks that do not run, too."""
    start = moment(since, "--since")
    told = health(find(asked), None, time.time() - DAY if start is None else start)
    refuse_unknown(services, told["spans"])
    chosen = [service for service in told["spans"] if not services or service in services]
    if as_json:
        echo(json.dumps(told))
        return
    for line in lines(told, chosen):
        echo(line)


def lines(told: dict[str, Any], services: list[str]) -> list[str]:
    """`cart: unhealthy 14:02:10 to 14:02:31 (21 s): connection refused; restarted once`, then a line of shares."""
    found = [outage(one) for one in told["outages"] if one["service"] in services]
    for service in services:
        share = told["share"].get(service)
        if share is not None:
            number = sum(one["service"] == service for one in told["outages"])
            found.append(f"{service}: well {percent(share)} of the time, {number} outage{'' if number == 1 else 's'}")
    if told["truncated"]:
        found.append("(older events of that time are not kept any more, or too many to show)")
    return found or ["nothing is known of that time"]


def outage(one: dict[str, Any]) -> str:
    begin, end = clock(one["start"]), "now" if one["open"] else clock(one["end"])
    if one["start"] // DAY == one["end"] // DAY and not one["open"]:
        end = end.split(" ")[-1]
    verdict, _, rest = one["text"].partition(" ")
    return f"{one['service']}: {verdict} {begin} to {end} {rest}"


def percent(share: float) -> str:
    """Never 100 % of what was not: 99.998 stays so."""
    shown = f"{share * 100:.3f}".rstrip("0").rstrip(".")
    return f"{'99.999' if shown == '100' and share < 1 else shown} %"
