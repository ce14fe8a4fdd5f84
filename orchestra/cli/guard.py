"""Around every command: an error becomes `error: …` and `try: …` on stderr, and the exit status.

Docker compose ends with 1 for every error, bad options too, and with 130 when interrupted. A fault in orchestra
itself is one line; its traceback goes to a file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from orchestra.errors import OrchestraError

from .colours import painted
from .group import orchestra
from .options import Asked

INTERRUPTED = 130


def guarded(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit status."""
    asked = Asked.of(os.environ)
    try:
        status = orchestra.main(list(arguments), prog_name="orchestra", standalone_mode=False, obj=asked)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except OrchestraError as error:
        return tell(error.what, error.hint, error.status)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        return tell(error.format_message(), _usage(error))
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`orchestra logs | head`): nothing to tell, and nothing to flush at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as fault:  # noqa: BLE001  # the last door: nobody ever sees a traceback
        return tell(f"this is a fault in orchestra: {type(fault).__name__}: {fault} {_kept(asked, fault)}", None)


def tell(what: str, hint: str | None = None, status: int = 1) -> int:
    """Show an error; returns the exit status, for the caller to end with."""
    print(f"{painted('error:', 'red', sys.stderr)} {what}", file=sys.stderr)
    if hint:
        print(f"{painted('try:', 'bold', sys.stderr)} {hint}", file=sys.stderr)
    return status


def warn(what: str) -> None:
    print(f"{painted('warning:', 'yellow', sys.stderr)} {what}", file=sys.stderr)


def _usage(error: click.ClickException) -> str | None:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context is not None else None


def _kept(asked: Asked, fault: Exception) -> str:
    """Write the traceback where it can be found; says where."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(fault))
    folder = os.path.join(asked.home().data, "faults")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        number, path = tempfile.mkstemp(prefix="fault-", suffix=".txt", dir=folder)
    except OSError:
        number, path = tempfile.mkstemp(prefix="orchestra-fault-", suffix=".txt")
    with open(number, "w") as file:
        file.write(f"orchestra {' '.join(sys.argv[1:])}\n{text}")
    return f"(details in {path})"
