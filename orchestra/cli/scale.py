"""`orchestra scale`: more or fewer containers of a service."""

from __future__ import annotations

import click

from orchestra.errors import OrchestraError
from orchestra.wire.codec import encode

from .bringing import apply_request, bring_up
from .options import Asked, project_options, without_files
from .project import load
from .up import reached, scaled


def _pairs(context: click.Context, _: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    return without_files(context, words)


@click.command()
@click.argument("scales", nargs=-1, metavar="SERVICE=N...", callback=_pairs)
@click.option("--no-deps", is_flag=True, help="Do not start what the services depend on.")
@project_options()
@click.pass_obj
def command(asked: Asked, scales: tuple[str, ...], no_deps: bool) -> int:
    """Run so many containers of a service, until the next `up` says otherwise."""
    if not scales:
        raise OrchestraError("scale what?", 'write it like "orchestra scale cart=2"')
    if asked.dry_run:
        raise OrchestraError("scale has no --dry-run", "orchestra up --dry-run --scale SERVICE=N has")
    named = tuple(each.partition("=")[0] for each in scales)
    stack = scaled(load(asked, named).stack, scales)
    request = apply_request(asked, encode(stack), named, no_deps=no_deps, until="running")
    numbers = {
        name: stack.services[name].scale if name in stack.services else 1
        for name in reached(stack, request["services"], no_deps)
    }
    known = {*stack.services, *stack.uses, *stack.disabled}
    return bring_up(asked, asked.home().stack(stack.name), request, numbers, known, None)
