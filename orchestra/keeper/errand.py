"""Work that is done in a child of the keeper, so that the keeper never blocks: several at the same time.

The child does one thing, tells the result through a socket (with descriptors, where it made some) and ends.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .detach import expose
from .loop import Loop
from .process import PR_SET_PDEATHSIG, prctl

if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

MOST_DESCRIPTORS = 4
CHILDREN_UMASK = 0o022
"""What they make is partly seen from inside of containers, by any user there; the directories above are private."""
LONGEST = 64 * 1024


class Failed(Exception):
    """A request that could not be done, in the words of `wire.keeping.Failure`."""

    def __init__(self, step: str, errno: int, what: str, code: int = 125) -> None:
        """`code`: the exit code that a shell would give (126, 127), 125 where the program was not to blame."""
        super().__init__(what)
        self.failure: Result = {"step": step, "errno": errno, "what": what, "code": code}


def run(
    loop: Loop,
    work: Callable[[], tuple[Result, list[int]]],
    done: Callable[[Result, list[int]], None],
    keep: Iterable[int] = (),
) -> int:
    """Fork, do `work` there, call `done` here with what it returned: its dictionary, or {"error": …}.

    The child has no descriptor open but `keep` and its own standard ones.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        _child(theirs, work, keep)
    theirs.close()
    ours.setblocking(False)

    def answered(_: int) -> None:
        loop.forget(ours.fileno())
        result, descriptors = _receive(ours)
        ours.close()
        done(result, descriptors)

    loop.watch(ours.fileno(), answered)
    return pid


def _receive(answers: socket.socket) -> tuple[Result, list[int]]:
    """What the child said; one that ended without a word has failed."""
    try:
        data, descriptors, _, _ = socket.recv_fds(answers, LONGEST, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except OSError as error:
        return {"error": Failed("report", error.errno or 0, str(error)).failure}, []
    if not data:
        return {"error": Failed("report", 0, "the starter ended without a word").failure}, []
    result: Result = json.loads(data)
    return result, descriptors


def _child(answers: socket.socket, work: Callable[[], tuple[Result, list[int]]], keep: Iterable[int]) -> None:
    """The child's whole life; it never returns."""
    try:
        become_plain(keep=(answers.fileno(), *keep))
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody would hear the result
        try:
            result, descriptors = work()
        except Failed as failed:
            result, descriptors = {"error": failed.failure}, []
        except OSError as error:
            result, descriptors = {"error": Failed("start", error.errno or 0, str(error)).failure}, []
        socket.send_fds(answers, [json.dumps(result).encode()], descriptors)
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
    low = 3
    for descriptor in sorted(set(keep)):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 1 << 20)
