"""How a keeper comes to be: from a command that needs one, or in a process that was forked for it."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

from ..errors import OrchestraError
from ..places import Home, Places

_OURS = frozenset(("HOME", "LANG", "PATH", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV"))
_OUR_KINDS = ("LC_", "ORCHESTRA_", "PYTHON", "XDG_")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .engine import Engine
    from .keeper import Keeper
    from .loop import Loop

PATIENCE = 10.0
"""Seconds that a new keeper may take until it answers."""
ANOTHER = 1.0
"""Seconds after which one more is started, should the first have been killed; if it is only slow, one more ends at
once."""


def ensure_keeper(places: Places) -> None:
    """Returns when a keeper of this stack answers; starts a detached one where none does.

    Blocks for some 50 ms when it has to start one; from asyncio, call it in a thread. Raises OrchestraError.
    """
    if answers(places) or call_back(places):
        return
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        spawn(places)
        if _answers_within(places, ANOTHER):
            return
    raise OrchestraError(f"the keeper of stack {places.name} does not answer", f"read {places.own_log}")


def call_back(places: Places) -> bool:
    """Have a keeper that lives without its run directory, or whose supervisor does, make it again. Whether there was
    one and it did."""
    from . import lost

    pid = lost.find(places)
    if not pid:
        return False
    with contextlib.suppress(ProcessLookupError):
        lost.call(pid)
    return _answers_within(places, PATIENCE)


def lives(places: Places) -> bool:
    """Whether there is a keeper, in reach or not."""
    from . import lost

    return lost.find(places) != 0


def _answers_within(places: Places, patience: float) -> bool:
    end = time.monotonic() + patience
    while not (found := answers(places)) and time.monotonic() < end:
        time.sleep(0.002)
    return found


def sweep(places: Places) -> None:
    """Remove what keepers that were killed left in the run directory of a stack that is no more."""
    from .claim import claim, release, remove
    from .holder import kill_recorded

    if not os.path.isdir(places.run) or (lock := claim(places)) is None:
        return
    for name in (places.keeper_socket, places.api_socket):
        remove(name)
    kill_recorded(places)
    release(places)
    os.close(lock)


def answers(places: Places) -> bool:
    """Whether somebody listens on the keeper's socket."""
    import socket

    try:
        folder = os.open(places.run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(f"/proc/self/fd/{folder}/{os.path.basename(places.keeper_socket)}")
    except BlockingIOError:  # its queue is full: there it is
        return True
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    finally:
        os.close(folder)
    return True


def spawn(places: Places) -> None:
    """Run `python -m orchestra.keeper`, which goes its own way and lets its caller go at once."""
    # -P: what lies in the current directory is not a module of ours.
    command = [sys.executable, "-P", "-m", "orchestra.keeper", places.name]
    ended = os.waitpid(os.posix_spawn(sys.executable, command, environment(places)), 0)[1]
    if ended:
        raise OrchestraError(f"the keeper of stack {places.name} could not be started", f"read {places.own_log}")


def fork_keeper(places: Places) -> None:
    """Start a keeper by forking this process, which must be small and have one thread; does not wait for it."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        if os.fork() == 0:
            become_keeper(places)
    finally:
        os._exit(0)


def is_ours(key: str) -> bool:
    """Whether a variable of the environment is any business of a process that outlives its caller."""
    return key in _OURS or key.startswith(_OUR_KINDS)


def environment(places: Places) -> dict[str, str]:
    """What a process of ours needs to find the same orchestra and the same directories."""
    found = {key: value for key, value in os.environ.items() if is_ours(key)}
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    inherited = found.get("PYTHONPATH", "")
    if here not in inherited.split(os.pathsep):
        found["PYTHONPATH"] = here + os.pathsep + inherited if inherited else here
    home = Home.of(found, os.geteuid())
    if (home.run, home.data) != (places.home.run, places.home.data):
        found["ORCHESTRA_HOME"] = os.path.dirname(places.home.run)
    return found


def become_keeper(
    places: Places,
    supervisor: Callable[[], None] | None = None,
    command: Sequence[str] | None = None,
    engine: Engine | None = None,
) -> NoReturn:
    """Turn this process, which was forked for it and has one thread, into the stack's keeper. Never returns.

    The supervisor is a function (by default `supervise`), called in a process forked from the keeper, or a command.
    A second keeper of one stack ends at once, quietly.
    """
    status, detached = 1, False
    try:
        from .detach import detach

        detach(places)
        detached = True
        status = keep(places, supervisor, command, engine)
    except BaseException as error:  # noqa: BLE001  nothing of the process that this was forked from may run on
        if isinstance(error, OSError) and not detached:  # it would be told on the caller's terminal
            sys.stderr.write(f"keeper: {error}\n")
        else:
            sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def keep(
    places: Places, supervisor: Callable[[], None] | None, command: Sequence[str] | None, engine: Engine | None
) -> int:
    """Be the keeper, in a process that is detached already. Returns the exit status."""
    from .claim import claim

    lock = claim(places)
    if lock is None:
        return 0
    default = command is None and supervisor is None
    # The supervisor has the most to import, so it goes first; unless one may be there already, to be found.
    traces = (f"{places.run}/supervisor.json", places.api_socket)
    first = _fork_supervisor(places) if default and not any(map(os.path.lexists, traces)) else 0
    from .caretaker import Caretaker
    from .engine import Engine
    from .keeper import Keeper
    from .loop import Loop

    if default:
        supervisor = functools.partial(supervise, places)
    loop = Loop()
    caretaker = Caretaker(loop, places, command or (), environment(places), supervisor, first)
    keeper = Keeper(places, loop, engine or Engine(), caretaker, lock)
    _hear_signals(loop, keeper)
    gc.freeze()  # children share these pages for longer when the collector leaves them alone
    keeper.serve()
    return 0


def _fork_supervisor(places: Places) -> int:
    """The pid of a supervisor that has nothing of this process but its standard descriptors."""
    # What both import is imported once.
    from ..runtime import cgroups, sandbox, seccomp  # noqa: F401
    from ..wire import frames  # noqa: F401
    from .errand import become_plain

    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            become_plain(keep=())
            supervise(places)
            status = 0
        except BaseException:  # noqa: BLE001  it must not run on as a second keeper
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid


def supervise(places: Places) -> None:
    """Be the supervisor, in a process that the keeper has just forked: what is imported need not be again.

    By name, since a keeper knows nothing of what a supervisor is made of.
    """
    from importlib import import_module

    from .detach import rename

    # By itself: a keeper that is killed right after its fork has not done so, and the next one has to find it.
    sign(places)
    rename(f"orchestra-supervisor {places.name}")
    os.environ.update(environment(places))  # the same directories, also where an option named them
    gc.set_threshold(50_000)  # imports make many objects and no garbage
    gc.enable()
    import_module("orchestra.supervisor.main").main(places)


def sign(places: Places) -> None:
    """Of a supervisor: have the record by which a keeper finds this process and starts no second one."""
    from . import records
    from .claim import mark
    from .process import start_time

    with contextlib.suppress(OSError, OrchestraError):
        mark(places)
        records.save(places.run, "supervisor", {"pid": os.getpid(), "start_time": start_time(os.getpid())})


def _hear_signals(loop: Loop, keeper: Keeper) -> None:
    """Signals become bytes in a pipe that the loop watches (signal.set_wakeup_fd)."""
    hear, tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def heard(_: int) -> None:
        numbers = os.read(hear, 4096)
        if signal.SIGTERM in numbers:
            loop.over = True
        if signal.SIGHUP in numbers:
            keeper.called()
        keeper.reap()

    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    loop.watch(hear, heard)
