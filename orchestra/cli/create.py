"""`orchestra create`: everything that a stack needs is made, nothing is started."""

from __future__ import annotations

import click

from orchestra.wire.codec import encode

from .bringing import apply_request, bring_up
from .options import IMAGES, Asked, not_yet, project_options, services_argument
from .project import load, refuse_unknown
from .reach import start
from .up import reached, recreation, refuse_both, scaled, show_plan


@click.command()
@services_argument
@click.option("--force-recreate", is_flag=True, help="Replace containers even if nothing changed.")
@click.option("--no-recreate", is_flag=True, help="Leave containers as they are even if the file changed.")
@click.option("--scale", "scales", multiple=True, metavar="SERVICE=N", help="Make N containers of a service; repeat.")
@click.option("--remove-orphans", is_flag=True, help="Remove containers of services that the file has no more.")
@click.option("--take-over", is_flag=True, help="Also where the stack was started from another file.")
@not_yet("--build", because=IMAGES)
@not_yet("--pull", because=IMAGES, takes_value=True)
@click.option("--no-build", is_flag=True, hidden=True, expose_value=False)
@click.option("--quiet-pull", is_flag=True, hidden=True, expose_value=False)
@click.option("-y", "--yes", is_flag=True, hidden=True, expose_value=False)
@project_options()
@click.pass_obj
def command(
    asked: Asked,
    services: tuple[str, ...],
    force_recreate: bool,
    no_recreate: bool,
    scales: tuple[str, ...],
    remove_orphans: bool,
    take_over: bool,
) -> int:
    """Make containers, networks and volumes without starting anything; `start` starts them."""
    options = {"force_recreate": force_recreate, "no_recreate": no_recreate}
    refuse_both(options)
    stack = scaled(load(asked, services).stack, scales)
    refuse_unknown(services, {*stack.services, *stack.uses})
    places = asked.home().stack(stack.name)
    if asked.dry_run:
        with start(places) as connection:
            return show_plan(connection, stack, options)
    request = apply_request(
        asked,
        encode(stack),
        services,
        recreate=recreation(options),
        no_start=True,
        remove_orphans=remove_orphans,
        until="running",
    )
    names = reached(stack, request["services"])
    numbers = {name: stack.services[name].scale if name in stack.services else 1 for name in names}
    known = {*stack.services, *stack.uses, *stack.disabled}
    return bring_up(asked, places, request, numbers, known, None, take_over)
