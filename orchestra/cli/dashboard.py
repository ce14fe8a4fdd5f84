"""`orchestra dashboard`: all stacks of this home in the browser."""

from __future__ import annotations

import click

from orchestra.errors import OrchestraError

from .options import Asked, project_options

MOST_PORT = 65535


@click.command()
@click.option("--listen", metavar="HOST[:PORT]", help="Where to listen; anything but this machine itself is exposed.")
@click.option("--port", type=click.IntRange(0, MOST_PORT), help="Port on 127.0.0.1 (7077, or a free one).")
@click.option("--name", "names", multiple=True, metavar="NAME", help="Also answer to this name; repeat.")
@click.option("--read-only", is_flag=True, help="Show everything, change nothing.")
@click.option("--allow-exec", is_flag=True, help="Terminals in containers, from the page.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@project_options()
@click.pass_obj
def command(
    asked: Asked,
    listen: str | None,
    port: int | None,
    names: tuple[str, ...],
    read_only: bool,
    allow_exec: bool,
    no_open: bool,
) -> None:
    """Show all stacks in the browser: health, causes, logs, events, and what can be done about it."""
    if read_only and allow_exec:
        raise OrchestraError("--allow-exec in a --read-only dashboard", "leave one of them out")
    host, its_port = address(listen) if listen else ("127.0.0.1", None)
    if its_port is not None and port is not None and port != its_port:
        raise OrchestraError(f"--port {port} and --listen {listen} differ", "leave --port out")
    from orchestra.dashboard.serve import Wishes, serve

    serve(asked.home(), Wishes(host, its_port if port is None else port, read_only, allow_exec, not no_open, names))


def address(text: str) -> tuple[str, int | None]:
    """`0.0.0.0:8000`, `[::]:8000`, `10.0.0.1`, `:8000`."""
    host, _, port = text.rpartition(":") if not text.endswith("]") and ":" in text else (text, "", "")
    if port and not (port.isascii() and port.isdigit() and int(port) <= MOST_PORT):
        raise OrchestraError(f"--listen {text}: not HOST:PORT", 'write it like "127.0.0.1:8000" or "[::1]:8000"')
    return host.strip("[]") or "0.0.0.0", int(port) if port else None
