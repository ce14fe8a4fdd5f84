"""`orchestra up`: make what runs equal to the stack file."""

from __future__ import annotations

from typing import Any

import click

from orchestra.client import Connection
from orchestra.errors import OrchestraError
from orchestra.stack import scaling
from orchestra.stack.model import Stack
from orchestra.wire.codec import encode

from .bringing import apply_request, bring_up
from .console import echo
from .options import IMAGES, Asked, not_yet, project_options, services_argument, timeout_option
from .project import load, refuse_unknown
from .queue import turn
from .reach import start


@click.command()
@services_argument
@click.option("-d", "--detach", is_flag=True, help="Return as soon as everything runs.")
@click.option("--wait", is_flag=True, help="Return as soon as everything is healthy. Implies --detach.")
@click.option("--wait-timeout", type=float, metavar="SECONDS", help="Give up waiting after this time.")
@click.option("--force-recreate", is_flag=True, help="Replace containers even if nothing changed.")
@click.option("--no-recreate", is_flag=True, help="Leave containers as they are even if the file changed.")
@click.option("--no-deps", is_flag=True, help="Do not start what the services depend on.")
@click.option("--no-start", is_flag=True, help="Create, but do not start.")
@click.option("--scale", "scales", multiple=True, metavar="SERVICE=N", help="Run N containers of a service; repeat.")
@click.option("--remove-orphans", is_flag=True, help="Remove containers of services that the file has no more.")
@click.option("--take-over", is_flag=True, help="Also where the stack was started from another file.")
@timeout_option
@click.option("--abort-on-container-exit", "abort_on_exit", is_flag=True, help="Stop all when one ends.")
@click.option("--abort-on-container-failure", "abort_on_failure", is_flag=True, help="Stop all when one fails.")
@click.option(
    "--exit-code-from", metavar="SERVICE", help="End with its exit code. Implies --abort-on-container-exit."
)
@click.option("--attach", multiple=True, metavar="SERVICE", help="Show the output of these only; repeat.")
@click.option("--no-attach", multiple=True, metavar="SERVICE", help="Do not show its output; repeat.")
@click.option("--attach-dependencies", is_flag=True, help="Show the output of dependencies too.")
@click.option("--no-log-prefix", is_flag=True, help="No name in front of a line.")
@click.option("--timestamps", is_flag=True, help="The time in front of a line.")
@click.option("--no-color", is_flag=True, help="No colours in front of a line.")
@not_yet("--build", because=IMAGES)
@not_yet("--pull", because=IMAGES, takes_value=True)
@not_yet("--watch", "-w")
@not_yet("--renew-anon-volumes", "-V")
@click.option("--no-build", is_flag=True, hidden=True)
@click.option("--quiet-build", is_flag=True, hidden=True)
@click.option("--quiet-pull", is_flag=True, hidden=True)
@click.option("--always-recreate-deps", is_flag=True, hidden=True)
@click.option("-y", "--yes", is_flag=True, hidden=True)
@click.option("--menu", is_flag=True, hidden=True)
@project_options()
@click.pass_obj
def command(asked: Asked, /, services: tuple[str, ...], **options: Any) -> int:
    """Create and start what a stack file describes, and show what it writes. Ctrl-C stops it all."""
    refuse_combinations(options)
    loaded = load(asked, services)
    stack = scaled(loaded.stack, options["scales"])
    named = (*services, *options["attach"], *options["no_attach"], *filter(None, [options["exit_code_from"]]))
    refuse_unknown(named, {*stack.services, *stack.uses})
    places = asked.home().stack(stack.name)
    if asked.dry_run:
        with start(places) as connection:
            return show_plan(connection, stack, options)
    request = apply_request(
        asked,
        encode(stack),
        services,
        recreate=recreation(options),
        no_deps=options["no_deps"],
        no_start=options["no_start"],
        remove_orphans=options["remove_orphans"],
        timeout=options["timeout"],
        until="healthy" if options["wait"] else "running",
    )
    if options["detach"] or options["wait"] or options["no_start"]:
        scales = {
            name: stack.services[name].scale if name in stack.services else 1
            for name in reached(stack, request["services"], options["no_deps"])
        }
        known = {*stack.services, *stack.uses, *stack.disabled}
        return bring_up(asked, places, request, scales, known, options["wait_timeout"], options["take_over"])
    from .foreground import Foreground

    with turn(places, "up") as held, start(places) as connection:
        return Foreground(connection, held, places, stack, request, asked, options).run()


def refuse_combinations(options: dict[str, Any]) -> None:
    """What docker compose refuses as well."""
    refuse_both(options)
    stays = [f"--{name}" for name in ("exit-code-from",) if options[name.replace("-", "_")]]
    stays += ["--abort-on-container-exit"] if options["abort_on_exit"] else []
    stays += ["--abort-on-container-failure"] if options["abort_on_failure"] else []
    if stays and (options["detach"] or options["wait"]):
        raise OrchestraError(f"{stays[0]} is incompatible with --detach and --wait", "leave --detach out")
    if options["abort_on_exit"] and options["abort_on_failure"]:
        raise OrchestraError(
            "--abort-on-container-exit and --abort-on-container-failure are incompatible", "leave one of them out"
        )


def refuse_both(options: dict[str, Any]) -> None:
    if options["force_recreate"] and options["no_recreate"]:
        raise OrchestraError("--force-recreate and --no-recreate are incompatible", "leave one of them out")


def scaled(stack: Stack, scales: tuple[str, ...]) -> Stack:
    """The stack with the numbers of --scale."""
    numbers: dict[str, int] = {}
    for each in scales:
        name, _, number = each.partition("=")
        if not number.isdigit():
            raise OrchestraError(f"--scale {each}: not SERVICE=NUMBER", 'write it like "cart=2"')
        refuse_unknown([name], stack.services)
        numbers[name] = int(number)
    return scaling.scaled(stack, numbers)


def reached(stack: Stack, services: list[str] | None, no_deps: bool = False) -> set[str]:
    """The services that `up` with these names touches: they and what they depend on, of whatever stack."""
    there = {*stack.services, *stack.uses}
    if services is None:
        return there
    found: set[str] = set()
    todo = list(services)
    while todo:
        name = todo.pop()
        if name not in found and name in there:
            found.add(name)
            needs = stack.services[name].depends_on if name in stack.services and not no_deps else ()
            todo += [needed.service for needed in needs]
    return found


def count(stack: Stack, request: dict[str, Any]) -> int:
    touched = reached(stack, request["services"], request["no_deps"])
    return sum(stack.services[name].scale if name in stack.services else 1 for name in touched)


def recreation(options: dict[str, Any]) -> str:
    return "force" if options["force_recreate"] else "never" if options["no_recreate"] else "diverged"


def show_plan(connection: Connection, stack: Stack, options: dict[str, Any]) -> int:
    answer = connection.call({"do": "plan", "stack": encode(stack), "recreate": recreation(options)})
    for line in answer["lines"] or ["nothing to do"]:
        echo(line)
    return 0
