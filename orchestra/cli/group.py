"""`orchestra` and its sub-commands. A command's module is imported when it is invoked, not before."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import click

from orchestra import __version__
from orchestra.errors import OrchestraError

from .console import echo, echo_lines
from .options import Asked, project_options

COMMANDS = {
    "up": "Create and start what a stack file describes",
    "create": "Make what a stack file describes, without starting it",
    "scale": "Run more or fewer containers of a service",
    "down": "Stop and remove containers, networks and, if asked, volumes",
    "ps": "List containers",
    "top": "Show the processes of services",
    "stats": "Show what containers use",
    "inspect": "Show everything about containers, as JSON",
    "logs": "Show what containers have written",
    "why": "Say why a service is in the state it is in",
    "attach": "Follow a running container and type into it",
    "exec": "Run a command in a running container",
    "cp": "Copy files between containers and this machine",
    "run": "Run a one-off command as a service",
    "start": "Start services",
    "stop": "Stop services",
    "restart": "Restart services",
    "pause": "Freeze services where they are",
    "unpause": "Let paused services go on",
    "update": "Change the limits of running services",
    "wait": "Wait until services have ended",
    "kill": "Send a signal to services",
    "rm": "Remove stopped containers",
    "port": "Print where a container's port is published",
    "events": "Show what happened and happens, with causes",
    "alerts": "List alerts and rules, or test who is told",
    "history": "Show when services were not well, and why",
    "graph": "Draw who depends on whom, with live state",
    "dashboard": "Show all stacks in the browser, live",
    "config": "Check a stack file and print it resolved",
    "ls": "List stacks",
    "network": "Networks that stacks share: create, ls, inspect, rm, prune",
    "volume": "Named volumes: create, ls, inspect, rm, prune",
    "version": "Show the version",
}


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__package__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from orchestra.stack.problems import did_you_mean

            meant = did_you_mean(args[0], COMMANDS)
            raise OrchestraError(f"there is no command {args[0]}{meant}", "orchestra --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        echo(f"orchestra version {__version__}")
        context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 118})
@click.option("-v", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Version.")
@project_options(at_command=False)
def orchestra() -> None:
    """Run a stack of services from one YAML file: isolated, networked, supervised. No daemon."""


def run(arguments: Sequence[str], asked: Asked) -> int:
    """One command line, by click. Raises OrchestraError, also for what click has to say, and KeyboardInterrupt."""
    try:
        status = orchestra.main(list(arguments), prog_name="orchestra", standalone_mode=False, obj=asked)
    except click.exceptions.NoArgsIsHelpError as error:
        echo_lines(error.format_message())
        return 0
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        usage = f"{context.command_path} --help" if context is not None else None
        raise OrchestraError(error.format_message(), usage) from None
    except click.Abort:
        raise KeyboardInterrupt from None
    return status if isinstance(status, int) else 0
