"""`orchestra run`: a one-off container of a service."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterable
from dataclasses import replace
from types import FrameType
from typing import Any

import click

from orchestra.client import Connection
from orchestra.errors import OrchestraError
from orchestra.stack.model import Stack
from orchestra.wire.codec import encode

from .console import echo
from .exec import variables, with_terminal
from .given import mounts, ports
from .interrupts import hear
from .options import IMAGES, Asked, FileFirst, not_yet, project_options
from .origin import settle
from .progress import progress
from .project import load, refuse_unknown
from .queue import turn
from .reach import start
from .relay import Relay

FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


@click.command(cls=FileFirst, context_settings={"allow_interspersed_args": False})
@click.argument("service")
@click.argument("args", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND [ARGS]...]")
@click.option("--rm", "remove", is_flag=True, help="Remove the container when it has ended.")
@click.option("-d", "--detach", is_flag=True, help="In the background; prints the container's name.")
@click.option("-e", "--env", "environment", multiple=True, metavar="KEY=VALUE", help="Environment; repeat.")
@click.option("--env-from-file", "env_from", multiple=True, metavar="FILE", help="Environment from a file; repeat.")
@click.option("--entrypoint", metavar="COMMAND", help="Instead of the service's entrypoint.")
@click.option("--name", metavar="NAME", help="Name of the container.")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="Add a label; repeat.")
@click.option("--no-deps", is_flag=True, help="Do not start what the service depends on.")
@click.option("-p", "--publish", multiple=True, metavar="PORT", help="Publish a port; repeat.")
@click.option("-P", "--service-ports", is_flag=True, help="Publish the service's ports.")
@click.option("--use-aliases", is_flag=True, help="Answer to the service's names in its networks.")
@click.option("-v", "--volume", "volumes", multiple=True, metavar="MOUNT", help="Mount; repeat.")
@click.option("-i", "--interactive/--no-interactive", "stdin", default=True, help="Pass stdin on (it is by default).")
@click.option("-t", "--tty", is_flag=True, help="With a terminal (it is by default, if this is one).")
@click.option("-T", "--no-tty", "--no-TTY", is_flag=True, help="Without a terminal.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="As this user.")
@click.option("-w", "--workdir", metavar="DIR", help="In this folder.")
@click.option("-q", "--quiet", is_flag=True, hidden=True)
@click.option("--cap-add", multiple=True, metavar="CAP", help="Add a Linux capability; repeat.")
@click.option("--cap-drop", multiple=True, metavar="CAP", help="Take one away; repeat.")
@not_yet("--build", because=IMAGES)
@not_yet("--pull", because=IMAGES, takes_value=True)
@not_yet("--remove-orphans")
@click.option("--quiet-pull", "--quiet-build", is_flag=True, hidden=True)
@project_options("-p")
@click.pass_obj
def command(asked: Asked, /, service: str, args: tuple[str, ...], **options: Any) -> int:
    """Run a one-off command as a service, after what it depends on; ends with the command's exit code."""
    if asked.dry_run:
        raise OrchestraError("run has no --dry-run", "orchestra config shows what the service is")
    loaded = load(asked, (service,))
    if use := loaded.stack.uses.get(service):
        raise OrchestraError(
            f"cannot run {service}: it belongs to stack {use.stack}", f"orchestra run {use.file} {use.service}"
        )
    refuse_unknown([service], loaded.stack.services)
    stack = with_rights(loaded.stack, service, options["cap_add"], options["cap_drop"])
    places = asked.home().stack(stack.name)
    request = {
        **wishes(asked, options),
        "do": "run",
        "stack": encode(stack),
        "service": service,
        "args": list(args) or None,
        "tty": with_terminal(options["tty"], options["no_tty"] or options["detach"] or not options["stdin"]),
    }
    with turn(places, "run") as held, start(places) as connection:
        settle(connection, asked, held, request["stack"])
        if options["detach"]:
            echo(detached_name(connection, request, held))
            return 0
        # What it depends on is told line by line: the screen belongs to the command.
        show = progress("quiet" if options["quiet"] else "plain", "run", "running")
        started = functools.partial(forward, connection)
        return Relay(connection, request, options["stdin"], started, show, places.logs, held).run()


def with_rights(stack: Stack, name: str, add: tuple[str, ...], drop: tuple[str, ...]) -> Stack:
    """The stack with a service that has other capabilities, named with or without CAP_, in any case."""
    if not add and not drop:
        return stack
    service = stack.services[name]
    more, less = ([each.upper().removeprefix("CAP_") for each in given] for given in (add, drop))
    security = replace(
        service.security,
        cap_add=(*(each for each in service.security.cap_add if each not in less), *more),
        cap_drop=(*(each for each in service.security.cap_drop if each not in more), *less),
    )
    return replace(stack, services={**stack.services, name: replace(service, security=security)})


def wishes(asked: Asked, options: dict[str, Any]) -> dict[str, Any]:
    """The options as the request has them."""
    from orchestra.stack.shell import split

    entrypoint = options["entrypoint"]
    return {
        "name": options["name"],
        "entrypoint": None if entrypoint is None else split(entrypoint)[0],
        "env": [*from_files(asked, options["env_from"]), *variables(options["environment"], asked.environ)],
        "cwd": options["workdir"],
        "user": options["user"],
        "labels": {key: value for each in options["labels"] for key, _, value in [each.partition("=")]},
        "mounts": encode(mounts(asked, options["volumes"])),
        "ports": encode(ports(asked, options["publish"])),
        "service_ports": options["service_ports"],
        "use_aliases": options["use_aliases"],
        "no_deps": options["no_deps"],
        "remove": options["remove"],
        "detach": options["detach"],
    }


def from_files(asked: Asked, names: Iterable[str]) -> list[str]:
    from orchestra.stack import dotenv
    from orchestra.stack.finding import read_text

    found: dict[str, str] = {}
    for name in names:
        path = os.path.join(asked.cwd, name)
        try:
            found |= dotenv.parse(read_text(path), path, asked.environ)
        except OSError as error:
            raise OrchestraError(f"cannot read {path}: {error.strerror}", "is its name right?") from None
    return [f"{key}={value}" for key, value in found.items()]


def detached_name(connection: Connection, request: dict[str, Any], held: turn) -> str:
    """The name of the container, once it has started."""
    name = ""
    for answer in connection.answers(connection.send(request)):
        if answer.get("accepted"):
            held.let_go()
        name = str(answer.get("name", name))
    return name


def forward(connection: Connection, answer: dict[str, Any]) -> None:
    """From here on, what interrupts this command interrupts the container instead."""

    def passed_on(number: int, _: FrameType | None) -> None:
        connection.send({"do": "signal", "name": answer["name"], "signal": signal.Signals(number).name})

    for each in FORWARDED:
        hear(signal.Signals[each], passed_on)
