"""The command `orchestra`: starts what can overlap, runs one command, and turns whatever goes wrong into words."""

from __future__ import annotations

import os
import sys

from .warm import warm_up


def main() -> None:
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
