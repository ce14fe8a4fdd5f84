"""Work that is done in a child of the keeper, so that the keeper never blocks: several at the same time.

The child does one thing, tells the result through a socket (with descriptors, where it made some) and ends.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable

from ..wire.compact import dumps, loads
from .detach import expose
from .loop import Loop
from .process import PR_SET_PDEATHSIG, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]
    Say = Callable[[Result, list[int]], None]

MOST_DESCRIPTORS = 4
CHILDREN_UMASK = 0o022
"""What they make is partly seen from inside of containers, by any user there; the directories above are private."""
LONGEST = 64 * 1024
LONGEST_REASON = 4096
"""Characters; it may quote what a stack file says, and has to fit into a message as JSON spells it."""


class Failed(Exception):
    """A request that could not be done, in the words of `wire.keeping.Failure`."""

    def __init__(self, step: str, errno: int, what: str, code: int = 125) -> None:
        """`code`: the exit code that a shell would give (126, 127), 125 where the program was not to blame."""
        super().__init__(what)
        short = what if len(what) <= LONGEST_REASON else f"{what[:LONGEST_REASON]} …"
        self.failure: Result = {"step": step, "errno": errno, "what": short, "code": code}


WORDLESS = Failed("report", 0, "the starter ended without a word").failure


def run(
    loop: Loop,
    work: Callable[[], tuple[Result, list[int]]],
    done: Callable[[Result, list[int]], None],
    keep: Iterable[int] = (),
) -> None:
    """Fork, do `work` there, call `done` here with what it returned: its dictionary, or {"error": …}.

    The child has no descriptor open but `keep` and its own standard ones.
    """
    heard: list[tuple[Result, list[int]]] = []

    def ended() -> None:
        done(*(heard or [({"error": WORDLESS}, [])])[0])

    run_long(loop, lambda say, _: say(*outcome(work)), lambda *said: heard.append(said), ended, keep)


def run_long(
    loop: Loop,
    work: Callable[[Say, tuple[int, ...]], None],
    told: Say,
    ended: Callable[[], None],
    keep: Iterable[int] = (),
) -> None:
    """Fork and do `work` there, which says as many things as it likes: each comes to `told` here, and then `ended`
    is called. `work` also gets the descriptors that it has to leave open."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        _child(theirs, work, keep)
    theirs.close()
    ours.setblocking(False)

    def answered(_: int) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(ours, LONGEST, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            data, descriptors = dumps({"error": Failed("report", error.errno or 0, str(error)).failure}).encode(), []
        if data:
            told(loads(data.decode()), descriptors)
            return
        loop.forget(ours.fileno())
        ours.close()
        ended()

    loop.watch(ours.fileno(), answered)


def outcome(work: Callable[[], tuple[Result, list[int]]]) -> tuple[Result, list[int]]:
    """What `work` returns, or its failure in the same shape."""
    try:
        return work()
    except Failed as failed:
        return {"error": failed.failure}, []
    except OSError as error:
        return {"error": Failed("start", error.errno or 0, str(error)).failure}, []


def _child(answers: socket.socket, work: Callable[[Say, tuple[int, ...]], None], keep: Iterable[int]) -> None:
    """The child's whole life; it never returns."""

    def say(result: Result, descriptors: list[int]) -> None:
        socket.send_fds(answers, [dumps(result).encode()], descriptors)

    try:
        kept = (answers.fileno(), *keep)
        become_plain(kept)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody would hear the result
        work(say, kept)
        os._exit(0)
    except BaseException:  # noqa: BLE001  whatever it is, this must not run on as a second keeper
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def become_plain(keep: Iterable[int]) -> None:
    """In a forked child: nothing of the keeper's stays but its standard descriptors and those to `keep`."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    gc.disable()
    expose()
    os.umask(CHILDREN_UMASK)
    close_all_but(keep)


def close_all_but(keep: Iterable[int]) -> None:
    """And the standard descriptors."""
    low = 3
    for descriptor in sorted(set(keep)):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 1 << 20)
