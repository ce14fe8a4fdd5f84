"""`orchestra exec`: one more process in a running container."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import click

from orchestra.errors import OrchestraError

from .options import Asked, FileFirst, project_options
from .project import find
from .reach import at_owner, connect, minding
from .relay import Relay
from .terminal import interactive


@click.command(cls=FileFirst, context_settings={"allow_interspersed_args": False})
@click.argument("service")
@click.argument("args", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARGS]...")
@click.option("-i", "--interactive/--no-interactive", "stdin", default=True, help="Pass stdin on (it is by default).")
@click.option("-t", "--tty", is_flag=True, help="With a terminal (it is by default, if this is one).")
@click.option("-T", "--no-tty", is_flag=True, help="Without a terminal.")
@click.option("-d", "--detach", is_flag=True, help="In the background.")
@click.option("-e", "--env", "environment", multiple=True, metavar="KEY=VALUE", help="Environment; repeat.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="As this user.")
@click.option("-w", "--workdir", metavar="DIR", help="In this folder.")
@click.option("--index", type=int, default=0, metavar="N", help="In this replica.")
@click.option("--privileged", is_flag=True, help="With all rights of the container's root.")
@project_options()
@click.pass_obj
def command(
    asked: Asked,
    service: str,
    args: tuple[str, ...],
    stdin: bool,
    tty: bool,
    no_tty: bool,
    detach: bool,
    environment: tuple[str, ...],
    user: str | None,
    workdir: str | None,
    index: int,
    privileged: bool,
) -> int:
    """Run a command in a running container of a service; ends with the command's exit code."""
    if asked.dry_run:
        raise OrchestraError("exec has no --dry-run", "leave it out")
    request = {
        "do": "exec",
        "service": service,
        "index": index,
        "args": list(args),
        "env": variables(environment, asked.environ),
        "cwd": workdir,
        "user": user,
        "tty": with_terminal(tty, no_tty or detach or not stdin),
        "privileged": privileged,
        "detach": detach,
    }
    places = find(asked)
    connection, (request["service"],) = at_owner(minding(connect(places), places), asked.home(), [service])
    with connection:
        if detach:
            connection.call(request)
            return 0
        return Relay(connection, request, stdin).run()


def with_terminal(wanted: bool, refused: bool) -> bool:
    """Whether the process gets a terminal: when we have one, unless it is refused."""
    if refused:
        return False
    if wanted and not interactive():
        raise OrchestraError(
            "cannot give the command a terminal: stdin and stdout are not one", "leave out -t, or use -T"
        )
    return interactive()


def variables(given: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """KEY=VALUE as it stands; a bare KEY has the caller's value, if there is one."""
    return [each if "=" in each else f"{each}={environ[each]}" for each in given if "=" in each or each in environ]
