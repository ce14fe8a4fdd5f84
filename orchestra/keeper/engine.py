"""The keeper's way to the runtime: each of these calls is made in a freshly forked child of the keeper."""

from __future__ import annotations

import contextlib
import socket

from .errand import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..runtime.failure import StartError
    from ..wire.keeping import CopyOrder, SandboxSpec
    from ..wire.spec import Process, Spec

    Outcome = tuple[dict[str, Any], list[int]]


class Engine:
    """Containers made by `orchestra.runtime`; another engine has the same methods."""

    def warm(self) -> None:
        """Import what the children will need: once here is cheaper than in every child."""
        from ..runtime import cgroups, join, sandbox, start  # noqa: F401

        with contextlib.suppress(OSError):  # told of when something is started
            cgroups.driver()

    def sandbox(self, sandboxes: list[SandboxSpec]) -> None:
        from ..runtime import sandbox
        from ..runtime.failure import StartError

        try:
            sandbox.make(sandboxes)
        except StartError as error:
            raise _failed(error) from None

    def launch(self, spec: Spec, stdio: list[int]) -> Outcome:
        """Start a container. Returns {"pid": host's pid of its pid 1, "unmapped"} and a terminal's master, if any."""
        from ..runtime import start
        from ..runtime.failure import StartError

        try:
            if not spec["process"]["terminal"]:
                stdin, stdout, stderr = stdio
                pid, unmapped = start.start(spec, stdin, stdout, stderr)
                return {"pid": pid, "unmapped": unmapped}, []
            ours, theirs = socket.socketpair()
            pid, unmapped = start.start(spec, -1, -1, -1, theirs)
            return {"pid": pid, "unmapped": unmapped}, _received(ours)
        except StartError as error:
            raise _failed(error) from None

    def execute(
        self, pid: int, start_time: int, cgroup: str, process: Process, seccomp: str, stdio: list[int]
    ) -> Outcome:
        """Start a process in a running container. Returns {"pid": host's pid} and, with a terminal, the master."""
        from ..runtime import join
        from ..runtime.failure import StartError

        try:
            if not process["terminal"]:
                stdin, stdout, stderr = stdio
                return {"pid": join.join(pid, start_time, process, seccomp, cgroup, stdin, stdout, stderr)}, []
            ours, theirs = socket.socketpair()
            found = join.join(pid, start_time, process, seccomp, cgroup, -1, -1, -1, theirs)
            return {"pid": found}, _received(ours)
        except StartError as error:
            raise _failed(error) from None

    def probe(
        self, pid: int, start_time: int, cgroup: str, process: Process, seccomp: str, stdio: list[int], timeout: float
    ) -> Outcome:
        """The same for one that is to leave nothing behind, within about that time; SIGTERM to the pid ends it."""
        from ..runtime import join
        from ..runtime.failure import StartError

        try:
            stdin, stdout, stderr = stdio
            found = join.join(pid, start_time, process, seccomp, cgroup, stdin, stdout, stderr, clean_after=timeout)
            return {"pid": found}, []
        except StartError as error:
            raise _failed(error) from None

    def copy(self, pid: int, start_time: int, cgroup: str, order: CopyOrder, stdio: list[int]) -> Outcome:
        """Begin to pack or unpack in a running container. Returns {"pid": host's pid}."""
        from functools import partial

        from ..archive import orders
        from ..runtime import visit
        from ..runtime.failure import StartError

        try:
            return {"pid": visit.visit(pid, start_time, cgroup, partial(orders.carry_out, order), *stdio)}, []
        except StartError as error:
            raise _failed(error) from None

    def copy_files(self, spec: Spec, order: CopyOrder, stdio: list[int]) -> Outcome:
        """The same for a container that does not run."""
        from functools import partial

        from ..archive import orders
        from ..runtime import visit
        from ..runtime.failure import StartError

        try:
            return {"pid": visit.visit_files(spec, partial(orders.carry_out, order), *stdio)}, []
        except StartError as error:
            raise _failed(error) from None

    def kill(self, cgroup: str) -> None:
        """SIGKILL to everything in a cgroup."""
        from ..runtime import cgroups

        cgroups.driver().kill(cgroup)


def _received(channel: socket.socket) -> list[int]:
    return socket.recv_fds(channel, 16, 1)[1]


def _failed(error: StartError) -> Failed:
    return Failed(error.step, error.errno, error.what, error.code)
