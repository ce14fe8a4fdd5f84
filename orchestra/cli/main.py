"""The command `orchestra`: starts what can overlap, runs one command, and turns whatever goes wrong into words."""

from __future__ import annotations

import gc
import os
import sys

# `signal` makes enumerations first, which takes longer than some commands.
from _signal import (  # type: ignore[import-not-found]
    SIG_DFL,
    SIGCHLD,
    SIGINT,
    default_int_handler,
    getsignal,
    signal,
)


def open_streams() -> None:
    """Where stdin, stdout or stderr was closed (`<&-`) it leads nowhere: no other file may get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(opened, True)
            setattr(sys, name, open(number, "w" if number else "r"))  # noqa: SIM115


def main() -> None:
    open_streams()
    signal(SIGCHLD, SIG_DFL)  # where it is ignored nobody hears how a child ended (wait(2))
    # Ctrl-C while there is nothing to undo yet ends the process without a word; an exception would show the imports.
    heard = getsignal(SIGINT) is default_int_handler
    if heard:
        signal(SIGINT, SIG_DFL)
    # Imports make many objects and no garbage: looking for some after every 700 of them is a tenth of the start.
    gc.set_threshold(50_000)
    from .warm import warm_up

    warm_up(sys.argv[1:], os.environ)
    from .guard import INTERRUPTED, guarded

    try:
        if heard:
            signal(SIGINT, default_int_handler)
        status = guarded(sys.argv[1:])
        if heard:
            signal(SIGINT, SIG_DFL)
    except KeyboardInterrupt:
        status = INTERRUPTED
    # Nothing below needs the interpreter's teardown, which costs more than some commands.
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more, or the disk is full, which has been said
        pass
    os._exit(status)


if __name__ == "__main__":
    main()
