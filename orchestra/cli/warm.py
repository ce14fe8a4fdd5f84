"""A head start for `orchestra up`: its keeper starts while this process still reads options and the file.

Everything here is a guess and nothing may fail: `up` itself makes sure of the keeper afterwards. A supervisor that
nobody gives a stack ends by itself after some seconds and its keeper with it, so a file that turns out to be bad
leaves nothing behind.
"""

from __future__ import annotations

import itertools
import os

from orchestra import ours
from orchestra.errors import OrchestraError
from orchestra.places import Home, Places
from orchestra.state.newer import refuse_newer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

started: str | None = None
"""The run directory whose keeper was started ahead of time."""


def warm_up(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Start the keeper of the stack that `argv` most likely means, when it means `up` and none runs."""
    if "up" not in argv or "--help" in argv or "-h" in argv or os.geteuid() != 0:
        return
    try:
        places = guess(argv, environ)
        if places is not None and not lives(places):
            refuse_newer(places.wanted, places.home.leases)
            begin(places)
    except (OSError, OrchestraError):
        return


def guess(argv: Sequence[str], environ: Mapping[str, str]) -> Places | None:
    """The stack that is most likely meant."""
    from orchestra.stack.finding import guess_name

    files = (*values(argv, "-f", "--file"), *(word for word in argv if word.endswith((".yml", ".yaml"))))
    name = values(argv, "-p", "--project-name")
    directory = values(argv, "--project-directory")
    found = guess_name(
        tuple(dict.fromkeys(files)),
        name[-1] if name else None,
        directory[-1] if directory else None,
        os.getcwd(),
        environ,
    )
    moved = values(argv, "--home")
    home = Home.of({**environ, "ORCHESTRA_HOME": moved[-1]} if moved else environ, os.geteuid())
    return home.stack(found) if found and "/" not in found else None


def values(argv: Sequence[str], *options: str) -> list[str]:
    """What follows an option, as `--option value` or `--option=value`."""
    found = [value for option, value in itertools.pairwise(argv) if option in options]
    return found + [word.partition("=")[2] for word in argv if word.partition("=")[0] in options and "=" in word]


def lives(places: Places) -> bool:
    """Whether a supervisor, or a container that a keeper would have to adopt with care, is there already."""
    return os.path.lexists(places.api_socket) or bool(ours.names_in(places.children))


def begin(places: Places) -> None:
    """Start a keeper and wait for nothing. So little is imported yet that a fork is cheaper than a new process."""
    from orchestra.keeper.start import fork_keeper

    global started
    fork_keeper(places)
    started = places.run
