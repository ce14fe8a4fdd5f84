"""What happens when a keeper, a supervisor or a client goes away, and what others may do to a keeper."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

import pytest

from orchestra.client import dial
from orchestra.keeper import lost, start
from orchestra.keeper.holder import Holder
from orchestra.keeper.loop import Loop
from orchestra.keeper.start import ensure_keeper
from orchestra.wire.frames import LIMIT, encode

from .conftest import House, run_python, until

pytestmark = pytest.mark.kernel


def waiting(fifo: str) -> int:
    """Bytes in a FIFO (FIONREAD, pipe(7))."""
    with open(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
        return int(struct.unpack("i", fcntl.ioctl(opened, termios.FIONREAD, b"\0" * 4))[0])


def test_no_line_is_lost_when_the_keeper_is_killed(house: House) -> None:
    """kill -9 in the midst of output: the container writes on, the next keeper logs all of it and the exit code."""
    keeper = house.start()
    client = house.connect()
    script = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; sleep 0.02; done; exit 7"
    pid = client.launch("cart", script)["pid"]
    until(lambda: len(house.log("cart").splitlines()) > 5, "the first lines")
    house.kill(keeper)
    until(lambda: waiting(f"{house.places.fifos}/cart.out") > 20, "lines that nobody reads")
    house.start()
    client = house.connect()
    assert client.children()["cart"]["pid"] == pid
    child = client.exited("cart")
    assert house.log("cart").decode().splitlines() == [f"line {n}" for n in range(1, 41)]
    assert child["code"] == 7


def test_half_a_line_survives_the_keeper(house: House) -> None:
    """A line whose beginning the old keeper has seen and whose end the new one sees is one line."""
    keeper = house.start()
    client = house.connect()
    client.launch("cart", "printf half; read a; echo ' and half'", stdin=True)
    until(lambda: waiting(f"{house.places.fifos}/cart.out") == 4 or house.log("cart"), "the first half")
    house.kill(keeper)
    house.start()
    client = house.connect()
    client.children()
    Path(f"{house.places.fifos}/cart.in").write_text("go\n")
    client.exited("cart")
    assert house.log("cart") == b"half and half\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_writer_gets_no_sigpipe_without_a_keeper(house: House, number: int) -> None:
    """While no keeper runs, what a container writes waits in the pipe."""
    keeper = house.start()
    client = house.connect()
    client.launch("cart", "read a; echo one; echo two; read b; exit 0", stdin=True)
    house.kill(keeper, number)
    with open(f"{house.places.fifos}/cart.in", "w") as file:
        file.write("go\n")
        file.flush()
        until(lambda: waiting(f"{house.places.fifos}/cart.out") == len("one\ntwo\n"), "both lines in the pipe")
        assert house.contained()
        house.start()
        client = house.connect()
        client.children()
        until(lambda: house.log("cart") == b"one\ntwo\n", "what was written without a keeper")
        file.write("go\n")
    assert client.exited("cart")["signal"] is None


def holder(house: House) -> int:
    """The process that holds pipes beside the keeper."""
    record = Path(f"{house.places.run}/holder.json")
    return int(json.loads(record.read_text())["pid"]) if record.exists() else 0


def test_a_holder_that_dies_is_started_again(house: House) -> None:
    """And the next keeper has one of its own, which takes the place of the one before."""
    keeper = house.start()
    client = house.connect()
    client.launch("cart", "read a; echo one; read b; exit 0", stdin=True)
    first = holder(house)
    os.kill(first, signal.SIGKILL)
    second = until(lambda: (now := holder(house)) != first and now, "another holder")
    house.kill(keeper)
    with open(f"{house.places.fifos}/cart.in", "w") as file:
        file.write("go\n")
        file.flush()
        until(lambda: waiting(f"{house.places.fifos}/cart.out") == len("one\n"), "a line that nobody has read")
        house.start()
        house.connect().children()
        assert not os.path.exists(f"/proc/{second}/exe")
        assert holder(house) not in (0, first, second)
        file.write("go\n")
    until(lambda: house.log("cart") == b"one\n", "the line")


def test_a_busy_holder_is_told_of_everybody(house: House) -> None:
    """Of hundreds of containers that a new keeper finds at once, more than wait in its queue."""
    os.makedirs(house.places.run)
    held = Holder(Loop(), house.places, lambda: None)
    nothing = os.open("/dev/null", os.O_RDONLY)
    held.hold("first", [nothing])
    held.replace()
    pid = holder(house)
    os.kill(pid, signal.SIGSTOP)
    later = threading.Timer(0.2, os.kill, (pid, signal.SIGCONT))
    later.start()
    try:
        for number in range(1000):
            held.hold(f"store-{number}", [nothing])
        until(lambda: len(os.listdir(f"/proc/{pid}/fd")) > 1000, "all of them")
    finally:
        later.join()
        held.end()
        os.close(nothing)


def test_a_holder_is_replaced_by_a_keeper_of_many(house: House) -> None:
    """Whose next descriptor has a number beyond those of select(2)."""
    os.makedirs(house.places.run)
    nothing = os.open("/dev/null", os.O_RDONLY)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limit[1]), limit[1]))
    before, held = (Holder(Loop(), house.places, lambda: None) for _ in range(2))
    many: list[int] = []
    try:
        before.hold("cart", [nothing])
        before.replace()
        while not many or many[-1] < 1024:
            many.append(os.dup(nothing))
        first = holder(house)
        held.hold("cart", [nothing])
        held.replace()
        assert holder(house) != first
        until(lambda: os.waitpid(first, os.WNOHANG) == (first, signal.SIGKILL), "the end of the one before")
    finally:
        for descriptor in (nothing, *many):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        held.end()


def test_the_last_words_without_a_keeper_are_kept(house: House) -> None:
    """Of a container that ends while nobody reads; whoever held them ends with the stack."""
    keeper = house.start()
    client = house.connect()
    pid = client.launch("cart", "read a; echo last words", stdin=True)["pid"]
    house.kill(keeper)
    Path(f"{house.places.fifos}/cart.in").write_text("go\n")
    until(lambda: not os.path.exists(f"/proc/{pid}/exe"), "the end of the container")
    assert os.path.exists(f"/proc/{holder(house)}/exe")
    house.start()
    house.connect().children()
    assert house.log("cart") == b"last words\n"


def test_a_holder_ends_when_nothing_can_come_any_more(house: House) -> None:
    """Also where no keeper ever comes back."""
    keeper = house.start()
    client = house.connect()
    pid = client.launch("cart", "exec sleep 600")["pid"]
    left = holder(house)
    house.kill(keeper)
    assert os.path.exists(f"/proc/{left}/exe")
    os.kill(pid, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{left}/exe"), "its end")


def test_a_holder_ends_when_nobody_can_find_what_it_holds(house: House) -> None:
    """Its run directory was taken away, and with that all that tells of it."""
    keeper = house.start()
    client = house.connect()
    client.launch("cart", "read a; echo last words", stdin=True)
    left = holder(house)
    house.kill(keeper)
    Path(f"{house.places.fifos}/cart.in").write_text("go\n")
    until(lambda: waiting(f"{house.places.fifos}/cart.out"), "the last words")
    shutil.rmtree(house.places.run)
    until(lambda: not os.path.exists(f"/proc/{left}/exe"), "its end")


def test_output_goes_one_way(house: House) -> None:
    """Standard output and error can only be written to, under names that say nothing about the host; by whoever opens
    /dev/stdout anew, too. Standard input can only be read."""
    house.start()
    client = house.connect()
    client.children()
    client.launch(
        "cart", "for n in 0 1 2; do readlink /proc/$$/fd/$n; grep flags /proc/$$/fdinfo/$n; done", stdin=True
    )
    client.exited("cart")
    words = house.log("cart").decode().split()
    assert words[::3] == ["/cart.in", "/cart.out", "/cart.err"]
    assert [int(flags, 8) & os.O_ACCMODE for flags in words[2::3]] == [os.O_RDONLY, os.O_WRONLY, os.O_WRONLY]
    assert stat.S_IMODE(os.stat(f"{house.places.fifos}/cart.out").st_mode) & 0o007 == 0o002


def test_an_end_without_a_keeper_is_found(house: House) -> None:
    """A container that ended while no keeper ran is reported as ended, its code as unknown."""
    keeper = house.start()
    client = house.connect()
    pid = client.launch("cart", "exec sleep 600")["pid"]
    house.kill(keeper)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the container")
    house.start()
    child = house.connect().children()["cart"]
    assert (child["pid"], child["code"]) == (pid, None)
    assert child["ended"] is not None


def test_a_recycled_pid_is_not_adopted(house: House) -> None:
    """A record whose start time is not the process's means somebody else."""
    keeper = house.start()
    client = house.connect()
    client.launch("cart", "exec sleep 600")
    house.kill(keeper)
    record = Path(f"{house.places.children}/cart.json")
    record.write_text(record.read_text().replace('"start_time":', '"start_time":1'))
    house.start()
    assert house.connect().children()["cart"]["ended"] is not None


def test_a_start_that_a_kill_interrupted_is_undone(house: House) -> None:
    """A record without a pid: whatever is in that cgroup is killed, since nobody knows what it is."""
    keeper = house.start()
    client = house.connect()
    client.launch("cart", "exec sleep 600")
    pid = until(house.contained, "the container's process")[0]
    house.kill(keeper)
    record = Path(f"{house.places.children}/cart.json")
    record.write_text(record.read_text().replace(f'"pid":{pid}', '"pid":0'))
    house.start()
    until(lambda: not house.contained(), "the end of the half started container")
    client = house.connect()
    assert until(lambda: client.children().get("cart"), "the record")["ended"] is not None


def test_a_run_directory_of_another_boot_is_wiped(house: House) -> None:
    """Records, FIFOs and pins from before a reboot are gone before anything looks at them."""
    Path(house.places.children).mkdir(parents=True)
    Path(house.places.children, "cart.json").write_text('{"name": "cart"}')
    Path(house.places.pins).mkdir()
    Path(house.places.pins, "cart.net").touch()
    Path(house.places.boot).write_text("another\n")
    Path(house.places.lock).write_text("up")
    house.start()
    assert house.connect().children() == {}
    assert not os.path.exists(house.places.pins)
    assert Path(house.places.lock).read_text() == "up"


def test_a_second_keeper_ends_at_once(house: House) -> None:
    """Two keepers of one stack: the first one stays and answers."""
    first = house.start()
    second = house.start()
    assert house.wait(second) == 0
    assert house.connect().children() == {}
    assert os.path.exists(f"/proc/{first}")


def test_nobody_waits_for_a_keeper_that_is_about_to_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found, has no socket any more, and is gone a moment later: another one is started at once."""
    with subprocess.Popen(["/bin/sleep", "0.3"]) as ending:
        monkeypatch.setattr(lost, "find", lambda _: ending.pid)
        monkeypatch.setattr(signal, "pidfd_send_signal", lambda *_: None)
        begun = time.monotonic()
        assert not start.call_back(house.places)
        assert time.monotonic() - begun < start.PATIENCE


def test_many_commands_at_once_get_one_keeper(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """ensure_keeper from several processes at once: each returns when one keeper answers."""
    monkeypatch.setattr(start, "spawn", lambda _: house.fork())
    callers = []
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                ensure_keeper(house.places)
                os._exit(0)
            os._exit(1)
        callers.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in callers] == [0] * 5
    until(lambda: len(house.keepers()) == 1, "the others to see that they are too many")
    assert house.connect().children() == {}


def test_ensure_keeper_starts_a_detached_one(house: House) -> None:
    """By the command that users have: it answers, is nobody's child of ours, and a second call finds it."""
    ensure_keeper(house.places)
    # For a moment the supervisor, just forked, has the keeper's descriptors.
    until(lambda: len(house.keepers()) == 1, "one process with the lock")
    (keeper,) = house.keepers()
    ensure_keeper(house.places)
    assert house.keepers() == [keeper]
    assert os.getsid(keeper) == keeper
    with open(f"/proc/self/task/{os.getpid()}/children") as children:
        assert str(keeper) not in children.read().split()


def test_a_supervisor_that_dies_is_started_again(house: House) -> None:
    """By command: a new one within the shortest delay, recorded with its pid."""
    house.start()
    first = until(house.supervisor, "the supervisor")
    os.kill(first, signal.SIGKILL)
    second = until(lambda: house.supervisor() if house.supervisor() != first else 0, "the next supervisor")
    until(lambda: Path(f"/proc/{second}/cmdline").read_bytes() == b"/bin/sleep\x00600\x00", "its command")


def test_a_supervisor_that_keeps_dying_is_started_ever_more_slowly(house: House) -> None:
    """The delay doubles from 100 ms."""
    house.start(command=("/bin/false",))
    until(lambda: "next one in 0.4 s" in house.own_log(), "the third delay")
    assert "next one in 0.1 s" in house.own_log()
    assert "next one in 0.2 s" in house.own_log()


def test_the_own_log_is_bounded(house: House) -> None:
    """What supervisors that keep dying have to say makes room for the next one's words."""
    Path(house.places.data).mkdir(parents=True)
    Path(house.places.own_log).write_bytes(b"x" * (1 << 20) + b"y")
    house.start(command=("/bin/false",))
    until(lambda: "next one in 0.1 s" in house.own_log(), "the first death")
    assert len(house.own_log()) < 10_000
    assert os.path.getsize(house.places.own_log + ".1") == (1 << 20) + 1


def test_a_supervisor_may_be_a_function(house: House) -> None:
    """It runs in a process of its own, without any descriptor of the keeper's."""

    def supervise() -> None:
        open_now = [fd for fd in range(3, 100) if os.path.lexists(f"/proc/self/fd/{fd}")]
        Path(f"{house.places.data}/seen").write_text(f"{open_now}")
        signal.pause()

    house.start(supervise)
    seen = Path(f"{house.places.data}/seen")
    assert until(lambda: seen.exists() and seen.read_text(), "what it sees") == "[]"


def test_a_supervisor_outlives_the_keeper(house: House) -> None:
    """The next keeper adopts it, and starts another one only when that one ends."""
    keeper = house.start()
    supervisor = until(house.supervisor, "the supervisor")
    house.kill(keeper)
    house.start()
    assert house.supervisor() == supervisor
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: house.supervisor() != supervisor, "the next supervisor")


def test_who_was_overtaken_starts_no_supervisor(house: House) -> None:
    """Its run directory was taken away, and another keeper has come before it saw that."""
    keeper = house.start()
    first = until(house.supervisor, "the supervisor")
    os.rename(house.places.run, f"{house.places.run}.gone")
    other = house.start()
    second = until(house.supervisor, "the supervisor of the other one")
    os.kill(first, signal.SIGKILL)
    assert house.wait(keeper) == 0
    assert house.supervisor() == second
    assert sorted(house.strays()) == sorted([other, second])


def test_sigterm_ends_the_keeper_alone(house: House) -> None:
    """Containers and supervisor run on."""
    keeper = house.start()
    client = house.connect()
    pid = client.launch("cart", "exec sleep 600")["pid"]
    assert house.kill(keeper, signal.SIGTERM) == 0
    assert not os.path.exists(house.places.keeper_socket)
    assert os.path.exists(f"/proc/{pid}")
    house.start()
    assert house.connect().children()["cart"]["ended"] is None


def test_hangup_and_interrupt_are_nothing_to_a_keeper(house: House) -> None:
    """Closing the terminal or Ctrl-C does not reach it."""
    keeper = house.start()
    os.kill(keeper, signal.SIGHUP)
    os.kill(keeper, signal.SIGINT)
    assert house.connect().children() == {}


def test_quit_ends_keeper_and_leaves_nothing(house: House) -> None:
    """Refused while a container runs; then the keeper ends with its supervisor and the run directory is gone."""
    keeper = house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "exec sleep 600")
    assert client.refused("quit")["what"] == "cart still runs"
    client.call("signal", name="cart", signal=9, everyone=False)
    client.exited("cart")
    client.call("quit")
    os.kill(house.supervisor(), signal.SIGKILL)
    assert house.wait(keeper) == 0
    assert not os.path.exists(house.places.run)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        (LIMIT + 1).to_bytes(4, "big"),
        b"\0\0\0\2[]",
        b"\0\0\0\1{",
        (100_000).to_bytes(4, "big") + b"[" * 100_000,
        encode({"id": 1, "do": "store", "name": "x", "fds": 1}),
        encode({"id": 1, "do": "store", "name": "x", "fds": "many"}),
    ],
)
def test_a_client_that_sends_garbage_is_dropped(house: House, garbage: bytes) -> None:
    """Its connection is closed; the keeper answers others as before."""
    house.start()
    hostile = dial(house.places.run, "keeper.sock")
    hostile.settimeout(10)
    hostile.sendall(garbage)
    assert hostile.recv(1) == b""
    hostile.close()
    assert house.connect().children() == {}


@pytest.mark.parametrize(
    "request_",
    [
        {"do": "launch"},
        {"do": "launch", "name": "../x", "run": 1, "spec": {}, "log": {}, "note": {}},
        {"do": "launch", "name": "x", "run": 1, "spec": {}, "log": {}, "note": {}},
        {"do": "launch", "name": "x", "run": "y", "spec": {"process": 1}, "log": 3, "note": {}},
        {"do": "exec", "name": []},
        {"do": "signal", "name": ".."},
        {"do": ["launch"]},
        {"do": "no such thing"},
        {},
        {"do": "drop", "names": 3},
        {"do": "store"},
    ],
)
def test_a_malformed_request_is_refused(house: House, request_: dict[str, object]) -> None:
    """An error comes back, and the connection stays of use."""
    house.start()
    client = house.connect()
    client.socket.sendall(encode({"id": 77, **request_}))
    assert client.wait(77)["error"]["step"] in ("request", "store")
    assert client.children() == {}


def test_a_client_that_does_not_read_is_dropped(house: House) -> None:
    """Answers do not pile up in the keeper without bound."""
    house.start()
    busy = house.connect()
    for n in range(40):
        busy.launch(f"c{n}", "true")
    deaf = dial(house.places.run, "keeper.sock")
    deaf.settimeout(10)
    request = encode({"id": 1, "do": "children"}) * 100
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        deaf.sendall(request * 2000)
    deaf.close()
    assert len(busy.children()) == 40


def test_a_keeper_lives_through_a_full_descriptor_table(house: House) -> None:
    """Clients beyond the limit are turned away, and when others leave there is room again."""
    import resource

    keeper = house.start()
    client = house.connect()
    client.children()
    resource.prlimit(keeper, resource.RLIMIT_NOFILE, (30, 30))
    crowd = [dial(house.places.run, "keeper.sock") for _ in range(40)]
    until(lambda: "out of descriptors" in house.own_log(), "the keeper to notice")
    assert "error" in client.wait(client.send("launch", **client.launching("cart", "true")))
    for one in crowd:
        one.close()
    until(lambda: len(os.listdir(f"/proc/{keeper}/fd")) < 20, "room")
    client.launch("cart", "exit 3")
    assert client.exited("cart")["code"] == 3


def test_a_full_disk_costs_log_lines_only(house: House, tmp_path: Path) -> None:
    """The container is not blocked, and what was lost is counted in the log once there is room."""
    from orchestra.logs.layout import DROPPED
    from orchestra.logs.reader import read
    from orchestra.runtime import syscalls

    disk = tmp_path / "disk"
    disk.mkdir()
    syscalls.mount("tmpfs", str(disk), "tmpfs", 0, "size=200k")
    try:
        house.start()
        client = house.connect()
        client.children()
        (disk / "log").mkdir()
        filler = disk / "filler"
        with contextlib.suppress(OSError):
            filler.write_bytes(b"x" * 300_000)
        marker = tmp_path / "marker"
        script = f"seq 100000; echo full; : > {marker}; read a; echo again"
        client.launch("cart", script, stdin=True, directory=str(disk / "log"))
        until(marker.exists, "all of it to be written")
        until(lambda: waiting(f"{house.places.fifos}/cart.out") == 0, "the keeper to have read it")
        filler.unlink()
        Path(f"{house.places.fifos}/cart.in").write_text("go\n")
        assert client.exited("cart")["code"] == 0
        lost = [block.extra for block in read(str(disk / "log"), kinds=(DROPPED,))]
        kept = b"".join(block.data for block in read(str(disk / "log")))
        assert kept == b"again\n"
        assert sum(lost) == len(b"".join(b"%d\n" % n for n in range(1, 100001)) + b"full\n")
    finally:
        client.close()
        syscalls.umount2(str(disk), 2)


def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    """unix(7) allows 108 bytes; directories may be longer."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    house = House(deep)
    try:
        house.start()
        assert house.connect().children() == {}
    finally:
        house.close()


def test_the_keeper_imports_little() -> None:
    """No asyncio, no threads, no dataclasses, nothing that parses stack files: it has to be there at once."""
    code = """
import sys
import orchestra.keeper.start, orchestra.keeper.keeper, orchestra.keeper.detach, orchestra.keeper.claim
print(*sys.modules)
"""
    from orchestra.places import Home

    loaded = set(run_python(code, Home("/nowhere/run", "/nowhere/data").stack("x")).stdout.split())
    assert "orchestra.keeper.keeper" in loaded
    assert not loaded & {
        "asyncio",
        "threading",
        "dataclasses",
        "subprocess",
        "logging",
        "yaml",
        "anyio",
        "click",
        "inspect",
    }


def test_nobody_else_is_let_in(house: House) -> None:
    """A process of another user is refused by its credentials, should it ever reach the socket."""
    house.start()
    os.chmod(house.places.keeper_socket, 0o666)
    os.chmod(house.places.run, 0o711)
    inside, outside = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        os.chdir(house.places.run)
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)
        stranger = socket.socket(socket.AF_UNIX)
        stranger.connect("keeper.sock")
        stranger.settimeout(10)
        outside.send(b"closed" if stranger.recv(1) == b"" else b"let in")
        os._exit(0)
    outside.close()
    assert inside.recv(10) == b"closed"
    os.waitpid(pid, 0)
    inside.close()
