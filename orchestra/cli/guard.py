"""Around every command: an error becomes `error: …` and `try: …` on stderr, and the exit status.

Docker compose ends with 1 for every error, bad options too, and with 130 when interrupted. A fault in orchestra
itself is one line; its traceback goes to a file.
"""

from __future__ import annotations

import os
import sys
from errno import EDQUOT, ENOSPC

from orchestra.errors import OrchestraError

from .asked import Asked
from .shortcut import shortcut
from .telling import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
FULL = (ENOSPC, EDQUOT)


def guarded(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit status."""
    try:
        asked = Asked.of(os.environ)
    except OrchestraError as error:
        return tell(error.what, error.hint)
    try:
        status = shortcut(arguments)
        if status is None:
            from .group import run

            status = run(arguments, asked)
        sys.stdout.flush()
        return status
    except OrchestraError as error:
        return tell(error.what, error.hint, error.status)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`orchestra logs | head`): nothing to tell, and nothing to flush at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as fault:  # noqa: BLE001  # the last door: nobody ever sees a traceback
        if isinstance(fault, OSError) and fault.errno in FULL:
            return tell(f"cannot write: {fault.strerror}", "make room where the output goes, and below --home")
        if isinstance(fault, OSError) and _is_of_home(asked, fault.filename):
            return tell(
                f"cannot use {fault.filename}: {fault.strerror}", "set ORCHESTRA_HOME to a folder of your own"
            )
        return tell(f"this is a fault in orchestra: {type(fault).__name__}: {fault} {_kept(asked, fault)}", None)


def _is_of_home(asked: Asked, path: object) -> bool:
    """Whether a path is one of the folders that hold all of ours, or is above them."""
    home = asked.home()
    return isinstance(path, str) and any(f"{each}/".startswith(f"{path}/") for each in (home.run, home.data))


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
