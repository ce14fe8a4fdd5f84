"""What may be said to every command: which stack, which home, how to show progress.

Docker compose wants these options before the sub-command; here they are good in both places, unless the command has
another use for the letter (`logs -f`, `run -p`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from orchestra.errors import OrchestraError

from . import colours
from .asked import ANSI, PROGRESS, is_file
from .asked import Asked as Asked

F = TypeVar("F", bound=Callable[..., Any])


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        asked = context.find_object(Asked)
        if asked is None or value in (None, (), False):
            return
        if isinstance(value, tuple):
            getattr(asked, name).extend(value)
        else:
            setattr(asked, name, value)

    return keep


def _ansi(_: click.Context, __: click.Parameter, value: str | None) -> None:
    if value:
        colours.choose(value)


IMAGES = "images are not supported yet"


def project_options(*taken: str, at_command: bool = True) -> Callable[[F], F]:
    """The options of `Asked`, without the letters that the command has `taken` for itself.

    The help of a command shows the two that matter most; that of `orchestra` shows them all.
    """

    def kept(*names: str, name: str, **more: Any) -> Callable[[Any], Any]:
        free = [each for each in names if each not in taken]
        hidden = at_command and name not in ("files", "project_name")
        return click.option(*free, expose_value=False, callback=_keep(name), hidden=hidden, **more)

    every = [
        kept("-f", "--file", name="files", multiple=True, metavar="FILE", help="Stack file; repeat to merge."),
        kept("-p", "--project-name", name="project_name", metavar="NAME", help="Name of the stack."),
        kept("--profile", name="profiles", multiple=True, metavar="NAME", help="Turn a profile on; repeat."),
        kept("--env-file", name="env_files", multiple=True, metavar="FILE", help="Instead of .env; repeat."),
        kept("--project-directory", name="project_directory", metavar="DIR", help="Folder that paths start from."),
        kept("--home", name="home_directory", metavar="DIR", help="Keep everything below DIR (ORCHESTRA_HOME)."),
        kept("--progress", name="progress", type=click.Choice(PROGRESS), help="How to show what happens."),
        kept("--dry-run", name="dry_run", is_flag=True, help="Show what would be done."),
        click.option(
            "--ansi",
            type=click.Choice(ANSI),
            expose_value=False,
            callback=_ansi,
            hidden=at_command,
            help="Use of colour.",
        ),
        click.option("--parallel", type=int, expose_value=False, hidden=True),
        click.option("--compatibility", is_flag=True, expose_value=False, hidden=True),
        click.option("--all-resources", is_flag=True, expose_value=False, hidden=True),
    ]

    def decorate(function: F) -> F:
        for option in reversed(every):
            function = option(function)
        return function

    return decorate


def services_argument(function: F) -> F:
    """[STACK.YML] [SERVICE...]: files go to the global options, the rest are services."""
    return click.argument("services", nargs=-1, metavar="[SERVICE]...", callback=_services)(function)


def _services(context: click.Context, _: click.Parameter, words: Iterable[str]) -> tuple[str, ...]:
    return without_files(context, words)


def without_files(context: click.Context, words: Iterable[str]) -> tuple[str, ...]:
    asked = context.find_object(Asked)
    words = tuple(words)
    if asked is not None:
        asked.files.extend(word for word in words if is_file(word))
    return tuple(word for word in words if not is_file(word))


def not_yet(*flags: str, because: str = "not supported yet", takes_value: bool = False) -> Callable[[F], F]:
    """An option that docker compose has and this does not: refused by name, never silently ignored."""

    def refuse(_: click.Context, __: click.Parameter, value: Any) -> None:
        if value:
            raise OrchestraError(f"{flags[0]}: {because}", "leave it out")

    return click.option(*flags, is_flag=not takes_value, expose_value=False, hidden=True, callback=refuse)


class FileFirst(click.Command):
    """A command whose first word is a service, and whose options may end there (exec, run): a stack file may stand
    before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = next((at for at, word in enumerate(args) if is_file(word) and self._first(ctx, args[:at])), None)
        if at is not None:
            without_files(ctx, [args[at]])
            args = args[:at] + args[at + 1 :]
        return super().parse_args(ctx, args)

    def _first(self, ctx: click.Context, before: list[str]) -> bool:
        """Whether only options stand before it, none of which waits for its value."""
        try:
            found, rest, _ = self.make_parser(ctx).parse_args(list(before))
        except click.UsageError:
            return False
        return not rest and not isinstance(found.get("service"), str)


timeout_option = click.option(
    "-t", "--timeout", type=float, metavar="SECONDS", help="Grace before a container is killed."
)
