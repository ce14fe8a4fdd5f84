"""The way to a stack's supervisor; where both supervisor and keeper are gone but containers are not, a new pair is
started, which adopts them."""

from __future__ import annotations

import os
import time

from orchestra import ours
from orchestra.client import SILENCE, Connection, NotRunning, look_at_keeper
from orchestra.errors import OrchestraError
from orchestra.state.newer import refuse_newer

from . import warm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestra.places import Home, Places

PATIENCE = 20.0  # seconds that a supervisor may take to start on a busy machine
ONE_TRY = 1.0  # seconds after which to look whether there still is a keeper
HEAD_START = 5.0  # seconds after which a keeper that was started ahead of time is not counted on any more
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def known(places: Places) -> bool:
    """Whether anything of this stack may be alive or kept."""
    return os.path.lexists(places.run) or os.path.lexists(places.wanted) or _has_cgroup(places)


def connect(places: Places, *, changes: bool = False) -> Connection:
    """Connect to the supervisor of a stack that runs. Raises NotRunning when there is nothing to speak with.

    A command that `changes` something also wakes a stack that has only been kept on disk (after a reboot).
    """
    if changes:
        refuse_newer(places.wanted, places.home.leases)
    try:
        connection = Connection(places)
    except NotRunning:
        if not (coming(places) or orphaned(places) or lost(places) or (changes and os.path.exists(places.wanted))):
            raise
        return start(places)
    return minding(connection, places) if changes else connection


def minding(connection: Connection, places: Places) -> Connection:
    """Nothing is asked of a supervisor whose keeper could do nothing about it."""
    try:
        look_at_keeper(places, SILENCE)
    except OrchestraError:
        connection.__exit__()
        raise
    return connection


def at_owner(connection: Connection, home: Home, services: Sequence[str]) -> tuple[Connection, list[str]]:
    """Where these services can be looked into, and their names there: at another stack's, if that owns them."""
    found = [connection.call({"do": "owner", "service": name}) for name in services]
    owners = {each["owner"] for each in found}
    if owners <= {""}:
        return connection, list(services)
    with connection:
        if len(owners) > 1:
            raise OrchestraError(
                f"{', '.join(services)} belong to different stacks", "name those of one stack at a time"
            )
    return connect(home.stack(owners.pop())), [each["service"] for each in found]


def start(places: Places) -> Connection:
    """Connect to the supervisor, which is started when none runs. Its keeper's life is its own care."""
    refuse_newer(places.wanted, places.home.leases)
    try:
        return minding(Connection(places, HEAD_START if warm.started == places.run else 0.0), places)
    except NotRunning:
        pass
    if os.geteuid() != 0:
        raise OrchestraError(f"cannot start stack {places.name}: containers are made by root", "run it with sudo")
    from orchestra.keeper.start import call_back, ensure_keeper

    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        ensure_keeper(places)
        try:
            return Connection(places, ONE_TRY)
        except NotRunning:
            look_at_keeper(places, SILENCE)  # which has no supervisor, and starts none while it is stopped
            call_back(places)
            continue  # slow, or that keeper was just about to leave
    raise OrchestraError(f"the supervisor of stack {places.name} does not answer", f"read {places.own_log}")


def coming(places: Places) -> bool:
    """Whether a keeper is there, and so a supervisor will be."""
    from orchestra.keeper.start import answers

    return answers(places)


def orphaned(places: Places) -> bool:
    """Whether containers or namespaces of this boot may live on without a keeper."""
    try:
        with open(BOOT_ID) as current:
            if ours.boot(places.boot) not in (None, current.read().strip()):
                return False
        return bool(ours.names_in(places.children) or ours.names_in(places.pins))
    except OSError:
        return False


def lost(places: Places) -> bool:
    """Whether something of the stack lives on although its run directory tells nothing of it."""
    if _has_cgroup(places):
        return True
    from orchestra.keeper.start import lives

    return os.path.lexists(places.wanted) and lives(places)


def _has_cgroup(places: Places) -> bool:
    """In any hierarchy (proc_pid_mountinfo(5))."""
    with open("/proc/self/mountinfo") as lines:
        tops = [line.split(" ", 5)[4] for line in lines if " - cgroup" in line]
    beginning = f"{places.name}-"
    for top in tops:
        names = ours.names_in(f"{top}/orchestra")
        if any(name.startswith(beginning) for name in names) and os.path.isdir(f"{top}/{places.cgroups}"):
            return True
    return False
