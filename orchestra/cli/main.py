"""The command `orchestra`: starts what can overlap, runs one command, and turns whatever goes wrong into words."""

from __future__ import annotations

import gc
import os
import sys

from .warm import warm_up


def main() -> None:
    # Imports make many objects and no garbage: looking for some after every 700 of them is a tenth of the start.
    gc.set_threshold(50_000)
    warm_up(sys.argv[1:], os.environ)
    from .guard import guarded

    status = guarded(sys.argv[1:])
    # Nothing below needs the interpreter's teardown, which costs more than some commands.
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        pass
    os._exit(status)


if __name__ == "__main__":
    main()
