"""`tty: true`."""

from __future__ import annotations

import os
import socket

import pytest

from .conftest import Machine

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("init", [False, True])
def test_a_service_has_a_terminal_of_its_own(machine: Machine, init: bool) -> None:
    """Of its own devpts, controlling, also as /dev/console, with TERM."""
    script = "tty; ls -l /dev/console | cut -c1; echo $TERM; cat /dev/console; exit 5"
    spec = machine.spec("sh", "-c", f"trap 'exit 9' INT; {script}", terminal=True, init=init)
    with _pair() as (ours, theirs):
        running = machine.start(spec, terminal_out=theirs)
        master = _receive(ours)
    assert _lines(master, 3) == ["/dev/pts/0", "c", "xterm"]
    os.write(master, b"hello\n")
    assert _lines(master, 2) == ["hello", "hello"]  # the echo, and cat
    os.write(master, b"\x03")
    assert running.wait() == 9
    os.close(master)


def test_exec_gets_one_too(machine: Machine) -> None:
    """A second terminal of the same devpts; it works for a plain user."""
    running = machine.sleeper()
    with _pair() as (ours, theirs):
        visitor = running.joined(
            "sh",
            "-c",
            "tty; stat -c %u $(tty); echo again >$(tty)",
            terminal=True,
            terminal_out=theirs,
            user={"uid": 33, "gid": 33},
        )
        master = _receive(ours)
    assert _lines(master, 3) == ["/dev/pts/0", "33", "again"]
    assert visitor.wait() == 0
    os.close(master)


def test_nothing_can_be_typed_into_it(machine: Machine) -> None:
    """TIOCSTI and TIOCLINUX are refused, also with high bits that the kernel does not look at."""
    attempt = (
        "import ctypes\n"
        "c = ctypes.CDLL(None, use_errno=True)\n"
        "for request in (0x5412, 0x5412 | 1 << 32, 0x5412 | 0xff << 40, 0x541C, 0x541C | 1 << 63):\n"
        "    r = c.syscall(16 if __import__('os').uname().machine == 'x86_64' else 29, ctypes.c_long(0),\n"
        "                  ctypes.c_ulong(request), ctypes.c_char_p(b'x'))\n"
        "    print(r, ctypes.get_errno())\n"
    )
    with _pair() as (ours, theirs):
        running = machine.start(machine.spec("python3", "-c", attempt, terminal=True), terminal_out=theirs)
        master = _receive(ours)
    assert _lines(master, 5) == ["-1 1"] * 5
    assert running.wait() == 0
    os.close(master)


class _pair:
    def __enter__(self) -> tuple[socket.socket, socket.socket]:
        self.both = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return self.both

    def __exit__(self, *_: object) -> None:
        for end in self.both:
            end.close()


def _receive(ours: socket.socket) -> int:
    _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    return fds[0]


def _lines(master: int, count: int) -> list[str]:
    said = b""
    while said.count(b"\n") < count:
        said += os.read(master, 4096)
    return said.decode().split("\r\n")[:count]
