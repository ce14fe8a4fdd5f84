"""A place of its own for each candidate: namespaces that it may fill as it likes, and a cgroup that counts its CPU.

Ending the first process of the pid namespace ends every daemon, shim and container that was started in it; the
network namespace takes bridges and firewall rules along. Needs root, and unshare(1) and nsenter(1) of util-linux.

CPU is what the kernel counts for one directory of cgroup v1's cpuacct and all below: the client, daemons and shims
start in it, and the containers' own cgroups are made below it; kernel threads don't count. Without that hierarchy
only wall time is measured.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

HIERARCHIES = "/sys/fs/cgroup"
CPUACCT = f"{HIERARCHIES}/cpuacct"
PATIENCE = 120.0
NAMESPACES = ("--mount", "--net", "--pid", "--ipc")
# Loopback up, then reap whatever is left to the first process of a pid namespace.
INIT = """
import fcntl, signal, socket, struct
with socket.socket() as door:
    fcntl.ioctl(door, 0x8914, struct.pack("16sH22x", b"lo", 0x41))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
while True:
    signal.pause()
"""


class Failed(Exception):
    """A candidate did not do what was asked; the run goes on without this sample."""


@dataclass(frozen=True, slots=True)
class Sample:
    wall: float
    cpu: float | None = None


class Sandbox:
    def __init__(self, name: str, environ: Mapping[str, str], leaf: str | None = None) -> None:
        """`leaf`: what a candidate that cannot be told where to make its cgroups makes at the top of the hierarchies.

        In its own view cpuacct's top is then the counting directory. (runc and crun do not bear such a view.)
        """
        self.environ = {**os.environ, **environ}
        self.counts = os.path.isdir(CPUACCT)
        self.cgroup = f"{CPUACCT}/orchestra-benchmark-{name}"
        self.parent = os.path.basename(self.cgroup)
        self._leaves = [each for each in (self.parent, leaf) if each and not _tops(each)]
        if self.counts:
            os.makedirs(self.cgroup, exist_ok=True)
        # The second process ends with the first one (--kill-child), which is the one that we can name.
        command = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", INIT]
        self._unshare = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=self._join)
        assert self._unshare.stdout is not None
        if self._unshare.stdout.readline() != "ready\n":
            raise Failed("cannot make namespaces: run as root, with util-linux")
        with open(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children") as children:
            self.first = int(children.read().split()[0])
        if self.counts and leaf:
            self.run(["mount", "--bind", self.cgroup, CPUACCT])

    def _join(self) -> None:
        if self.counts:
            with open(f"{self.cgroup}/cgroup.procs", "w") as procs:
                procs.write("0")

    def spawn(self, words: Sequence[str], **options: object) -> subprocess.Popen[str]:
        enter = ["nsenter", f"--target={self.first}", *NAMESPACES, "--", *words]
        return subprocess.Popen(enter, env=self.environ, text=True, preexec_fn=self._join, **options)  # type: ignore[call-overload, no-any-return]

    def run(self, words: Sequence[str]) -> str:
        """Run to the end; what it said. Raises Failed."""
        process = self.spawn(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"{' '.join(words)}: no end after {PATIENCE:g} s") from None
        if process.returncode:
            raise Failed(f"{' '.join(words)}: exit status {process.returncode}: {said[-600:]}")
        return str(said)

    def timed(self, words: Sequence[str], until: Callable[[], bool], calm: bool = True) -> Sample:
        """One command. Its wall time ends with the command or, if that is later, when the world is as it promised.

        Its CPU counts until the candidate is calm again, or, if it never will be, until the end of the wall time.
        """
        before, begun = self.cpu(), time.monotonic()
        self.run(words)
        ended = time.monotonic()
        if not until():
            wait(until, " ".join(words))
            ended = time.monotonic()
        return Sample(ended - begun, self.since(before, calm))

    def since(self, before: float, calm: bool = True) -> float | None:
        if not self.counts:
            return None
        return (self._calmed() if calm else self.cpu()) - before

    def cpu(self) -> float:
        """Seconds of all processes that are or were in the candidate's cgroup or below."""
        if not self.counts:
            return 0.0
        with open(f"{self.cgroup}/cpuacct.usage") as nanoseconds:
            return int(nanoseconds.read()) / 1e9

    def _calmed(self) -> float:
        end, last = time.monotonic() + 5, self.cpu()
        while time.monotonic() < end:
            time.sleep(0.1)
            now = self.cpu()
            if now - last < 0.002:
                return now
            last = now
        return last

    def end(self) -> None:
        self._unshare.kill()
        self._unshare.wait()
        end = time.monotonic() + 10
        while time.monotonic() < end and any(map(os.path.exists, self._remaining())):
            time.sleep(0.02)

    def _remaining(self) -> list[str]:
        """Remove the cgroups that were not there before; what is still there."""
        tops = [top for leaf in self._leaves for top in _tops(leaf)]
        for top in tops:
            for below, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):  # processes that are just about to end
                    os.rmdir(below)
        return tops


def _tops(leaf: str) -> list[str]:
    return [top for name in os.listdir(HIERARCHIES) if os.path.isdir(top := f"{HIERARCHIES}/{name}/{leaf}")]


def wait(until: Callable[[], bool], what: str, patience: float = 30.0) -> None:
    end = time.monotonic() + patience
    while not until():
        if time.monotonic() > end:
            raise Failed(f"{what}: not true after {patience:g} s")
        time.sleep(0.002)
