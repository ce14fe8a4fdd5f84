"""For all tests: how fast the machine is does not decide whether something is right, and two may run at a time.

Note [Two at a time]: Under pytest-xdist the files of tests are spread over processes. All but the first of them work
in a network namespace of their own, with the part of sysfs that shows it: whatever a test does to "the host's" links,
firewall or forwarding, it does to its own process's. What belongs to the whole machine (its clock, the list of all
its namespaces) is only touched by tests that are marked `alone`: during these no other test runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
SHOWN = ("class/net", "devices/virtual/net")


def pytest_sessionstart(session: pytest.Session) -> None:
    have_plain_signals()
    worker = getattr(session.config, "workerinput", None)
    if worker is not None and worker["workerid"] != "gw0" and os.geteuid() == 0:
        have_own_network()


def have_plain_signals() -> None:
    """As in a terminal, for this process and what it starts: nohup, a shell's jobs in the background and some CI
    systems hand down signals that are ignored or blocked."""
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in IGNORED_BY_PYTHON:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def have_own_network() -> None:
    """From here on this process and its children are in a new network namespace, as on a machine of their own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    with tempfile.TemporaryDirectory() as sysfs:
        for command in (
            ["mount", "--make-rprivate", "/"],
            ["mount", "-t", "sysfs", "sysfs", sysfs],
            *(["mount", "--bind", f"{sysfs}/{folder}", f"/sys/{folder}"] for folder in SHOWN),
            ["umount", sysfs],
            ["ip", "link", "set", "lo", "up"],
        ):
            subprocess.run(command, check=True)


@pytest.fixture(autouse=True, scope="session")
def turns(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two files for locks: who holds the first may ask for the second."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return shared / "asking", shared / "running"


@pytest.fixture(autouse=True)
def turn(request: pytest.FixtureRequest, turns: tuple[Path, Path]) -> Iterator[None]:
    """Held by all tests together, or by one that is alone, which the others let in before they go on."""
    alone = request.node.get_closest_marker("alone") is not None
    with locked(turns[1]) as running, locked(turns[0]) as asking:
        fcntl.flock(asking, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(asking, fcntl.LOCK_UN)
        yield


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)  # whoever was forked meanwhile may have it open still
        os.close(file)
