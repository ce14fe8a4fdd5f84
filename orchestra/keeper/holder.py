"""The process that holds containers' pipes open beside the keeper, and does nothing else.

Note [Who holds a pipe]: A container has one end of each pipe and the keeper the other. Were the keeper the only one,
its end would give who writes a SIGPIPE, and what is in the pipe would vanish with the last writer. So the other ends
are also in a process that is started anew by each keeper, and that the one before outlives until its successor has
opened all of them again. Alone, it ends when nothing can come any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import termios

from ..places import Places
from . import records
from .detach import forget_environment, protect, rename
from .errand import become_plain
from .loop import Loop
from .process import open_pidfd, start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "holder"
LONGEST_NAME = 4096
MOST = 8
"""Descriptors of one container."""
ALONE = 1.0
"""Seconds between two looks of one that no keeper talks to."""
DELAY = 0.1
"""Seconds after which another one takes the place of one that ended."""
PATIENCE = 1.0
"""Seconds within which one that was killed has ended, and one that is busy takes what it is told."""


class Holder:
    """The keeper's side of it."""

    def __init__(self, loop: Loop, places: Places, lost: Callable[[], None]) -> None:
        """`lost` is called when it ended: what is to be held has to be given again."""
        self._loop = loop
        self._places = places
        self._lost = lost
        self._channel: socket.socket | None = None
        self._pid = 0
        self._alone = False

    def hold(self, name: str, descriptors: list[int]) -> None:
        """Also hold these, which stay the caller's, until `drop`."""
        fresh = self._channel is None
        try:
            if fresh:
                self._start()
        except OSError as error:
            _complain(name, error)
            return
        self._tell(name, descriptors)
        if fresh and self._alone:
            self.save()

    def drop(self, name: str) -> None:
        if self._channel is not None:
            self._tell(name, [])

    def replace(self) -> None:
        """Whatever an earlier keeper's held is held by ours by now."""
        kill_recorded(self._places)
        self._alone = True
        self.save()

    def end(self) -> None:
        """There is nothing to hold any more."""
        self._close()
        kill_recorded(self._places)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, os.WNOHANG)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            _be_holder(theirs, self._places.name)
        theirs.close()
        ours.settimeout(PATIENCE)  # for many at once its queue has no room
        self._channel, self._pid = ours, pid
        self._loop.watch(ours.fileno(), lambda _: self._ended())

    def save(self) -> None:
        """By which a later keeper finds it, should this one be killed."""
        if self._pid == 0:
            return
        with contextlib.suppress(OSError):
            records.save(self._places.run, NAME, {"pid": self._pid, "start_time": start_time(self._pid)})

    def _tell(self, name: str, descriptors: list[int]) -> None:
        assert self._channel is not None
        try:
            socket.send_fds(self._channel, [name.encode()], descriptors)
        except OSError as error:
            _complain(name, error)

    def _ended(self) -> None:
        self._close()
        self._pid = 0
        self._loop.later(DELAY, self._lost)

    def _close(self) -> None:
        if self._channel is not None:
            self._loop.forget(self._channel.fileno())
            self._channel.close()
            self._channel = None


def _complain(name: str, error: OSError) -> None:
    sys.stderr.write(f"keeper: nobody else holds the output of {name}: {error}\n")


def kill_recorded(places: Places) -> None:
    """End the one that a keeper left behind, if there is one."""
    record = records.load(f"{places.run}/{NAME}.json", records.SUPERVISOR)
    if record is None:
        return
    pidfd = open_pidfd(record["pid"], record["start_time"])
    if pidfd is not None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        ended = select.poll()  # of a keeper of hundreds of containers the number is none for select(2)
        ended.register(pidfd, select.POLLIN)
        ended.poll(PATIENCE * 1000)
        os.close(pidfd)
    records.remove(places.run, NAME)


def _be_holder(channel: socket.socket, stack: str) -> None:
    """The whole life of the process; never returns."""
    try:
        become_plain((channel.fileno(),))
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        protect()
        os.environ.clear()
        forget_environment()
        rename(f"orchestra-holder {stack}")
        _hold(channel)
    except BaseException:  # noqa: BLE001  it must not run on as a second keeper
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _hold(channel: socket.socket) -> None:
    held: dict[str, list[int]] = {}
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, LONGEST_NAME, MOST, socket.MSG_CMSG_CLOEXEC)
        if not data:
            break
        name = data.decode()
        for descriptor in held.pop(name, ()):
            os.close(descriptor)
        if descriptors:
            held[name] = descriptors
    while any(_may_bring(descriptor) for descriptors in held.values() for descriptor in descriptors):
        signal.sigtimedwait((), ALONE)


def _may_bring(descriptor: int) -> bool:
    """Whether somebody can still write into it, or has left something that a keeper can find."""
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
        return False  # a way in
    poll = select.poll()
    poll.register(descriptor, 0)
    if not poll.poll(0):
        return True
    if not os.fstat(descriptor).st_nlink:
        return False
    return bool(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0])
