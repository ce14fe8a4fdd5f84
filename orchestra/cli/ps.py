"""`orchestra ps`: the containers of a stack, as docker compose lists them, with what it does not tell: restarts."""

from __future__ import annotations

from typing import Any

import click

from orchestra.errors import OrchestraError

from .listing import chosen, rows_of, show
from .options import Asked, project_options, services_argument
from .project import find, need_services

STATES = ("created", "waiting", "running", "restarting", "stopping", "exited", "dead", "paused", "removing")


@click.command()
@services_argument
@click.option("-a", "--all", "every", is_flag=True, help="Also those that do not run, and one-off ones.")
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@click.option("--services", "only_services", is_flag=True, help="Names of services only.")
@click.option("--status", "states", multiple=True, type=click.Choice(STATES), help="Only in this state; repeat.")
@click.option("--filter", "filters", multiple=True, metavar="status=STATE", help="As --status.")
@click.option("--format", "shape", default="table", metavar="table|json", help="json: one object a line.")
@click.option("--no-trunc", is_flag=True, help="Commands in full length.")
@click.option("--orphans/--no-orphans", default=True, help="Include services that the file has no more.")
@project_options()
@click.pass_obj
def command(asked: Asked, /, services: tuple[str, ...], **options: Any) -> None:
    """List containers."""
    if options["shape"] not in ("table", "json", "jsonl"):
        raise OrchestraError(f"--format {options['shape']}: not supported", "use table or json")
    states = {*options["states"], *(state_of(each) for each in options["filters"])}
    places = find(asked)
    rows = rows_of(places)
    if services:
        need_services(asked, services, rows)
        rows = [row for row in rows if row["service"] in services]
    if not options["orphans"]:
        from .project import load

        stack = load(asked).stack
        rows = [row for row in rows if row["service"] in stack.services or row["service"] in stack.uses]
    rows = chosen(rows, states, options["every"])
    show(places.name, rows, options["shape"], options["quiet"], options["only_services"], options["no_trunc"])


def state_of(pair: str) -> str:
    key, _, state = pair.partition("=")
    if key != "status" or state not in STATES:
        raise OrchestraError(f"--filter {pair}: not supported", f"use status=STATE with one of {', '.join(STATES)}")
    return state
