"""Somebody takes away or spoils what belongs to the stack: it is repaired, or at least `up` and `down` work."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .ground import (
    ANSWERING,
    IDLE,
    MNT_DETACH,
    Ground,
    cgroup_roots,
    ends,
    fetch,
    free_port,
    kill,
    libc,
    py,
    sh,
    until,
)

pytestmark = pytest.mark.kernel

NOTICED = 10.0
"""Seconds within which damage has to be noticed and repaired."""


@pytest.fixture
def served(ground: Ground) -> tuple[Ground, int]:
    """A web server on a published port, and a neighbour that depends on it."""
    port = free_port()
    web = py(ANSWERING, ports=[f"127.0.0.1:{port}:80"], restart="always")
    ground.up({"web": web, "idle": sh(IDLE, restart="always", depends_on=["web"])})
    until(lambda: fetch(port) == "hello", "it answers")
    return ground, port


def reboot(ground: Ground) -> None:
    """What a reboot does: no process, no namespace, no link, no cgroup; pins are plain files, another boot id."""
    ground.kill_both()
    for name in os.listdir(ground.places.children):
        for pid in ground.pids(name.removesuffix(".json")):
            with contextlib.suppress(ProcessLookupError):  # process 1 took it along
                kill(pid)
    for pin in os.listdir(ground.places.pins):
        libc.umount2(f"{ground.places.pins}/{pin}".encode(), MNT_DETACH)
    ident = ground.places.network_id("default")
    subprocess.run(["ip", "link", "del", f"orc{ident}"], check=False, capture_output=True)
    subprocess.run(["nft", "delete", "table", "ip", f"orchestra-{ident}"], check=True)
    for root in cgroup_roots():
        for folder, _, _ in os.walk(f"{root}/{os.path.dirname(ground.places.cgroup('x'))}", topdown=False):
            os.rmdir(folder)
    Path(ground.places.boot).write_text("00000000-0000-0000-0000-000000000000\n")
    text = Path(ground.places.wanted).read_text().partition("\n")[2]
    page = json.loads(text)
    page["boot"] = "00000000-0000-0000-0000-000000000000"
    from orchestra.state.files import write_json

    write_json(ground.places.wanted, page)


def test_up_after_a_reboot(served: tuple[Ground, int]) -> None:
    """With a run directory of the boot before, everything is made anew."""
    ground, port = served
    reboot(ground)
    ground.ok("up", "-d")
    until(lambda: fetch(port) == "hello", "it answers")
    assert {row["state"] for row in ground.rows().values()} == {"running"}


def test_down_after_a_reboot(served: tuple[Ground, int]) -> None:
    """What the disk still has goes too."""
    ground, _ = served
    reboot(ground)
    ground.down()
    ground.nothing_left()


def test_a_recycled_pid_is_never_signalled(ground: Ground) -> None:
    """A record names a process of somebody else that has the number of ours now."""
    ground.up({"idle": sh(IDLE, restart="no")})
    ours = ground.pid("t-idle-1")
    ground.kill_both()
    kill(ours)
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        path = Path(f"{ground.places.children}/t-idle-1.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "pid": stranger.pid}))
        assert "t-idle-1" in ground.ok("ps", "-a")
        row = until(lambda: (row := ground.row("t-idle-1"))["state"] == "exited" and row, "it has ended", 5)
        assert row["exit_code"] is None
        ground.run("kill", "idle")
        ground.ok("stop", "-t", "0", "idle")
        ground.down()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("spoiled", ["", "{", "{}\n{}\n", "garbage\nmore\n", None])
def test_a_spoiled_state_file_loses_nothing(served: tuple[Ground, int], spoiled: str | None) -> None:
    """Containers run on, `ps` shows them, `up` is content with them, `down` takes everything away."""
    ground, port = served
    before = {name: ground.pid(name) for name in ("t-web-1", "t-idle-1")}
    time.sleep(0.2)  # the last state is on disk
    ground.kill_both()
    wanted = Path(ground.places.wanted)
    if spoiled is None:
        os.truncate(wanted, wanted.stat().st_size // 2)
    else:
        wanted.write_text(spoiled)
    said = ground.ok("ps")
    assert "t-web-1" in said
    assert fetch(port) == "hello"
    ground.ok("up", "-d")
    assert {name: ground.pid(name) for name in before} == before
    assert fetch(port) == "hello"
    ground.down()
    ground.nothing_left()
    assert all(ends(pid) for pid in before.values())


@pytest.mark.parametrize("command", [("up", "-d"), ("down", "-t", "1")])
def test_all_state_files_spoiled(served: tuple[Ground, int], command: tuple[str, ...]) -> None:
    """Nobody knows any more what ran: `up` may start everything anew, `down` leaves nothing."""
    ground, port = served
    pids = [*ground.pids("t-web-1"), *ground.pids("t-idle-1")]
    time.sleep(0.2)
    ground.kill_both()
    for path in Path(ground.places.data).glob("wanted.json*"):
        path.write_text("spoiled")
    ground.ok("ps")
    ground.ok(*command)
    if command[0] == "up":
        until(lambda: fetch(port) == "hello", "it answers")
        assert {row["state"] for row in ground.rows().values()} == {"running"}
        ground.down()
    ground.nothing_left()
    assert all(ends(pid) for pid in pids)


def test_a_spoiled_record_of_a_container(served: tuple[Ground, int]) -> None:
    """A container whose record cannot be read any more does not run on unknown beside its successor."""
    ground, port = served
    old = ground.pids("t-web-1")
    ground.kill_both()
    Path(f"{ground.places.children}/t-web-1.json").write_text('{"name": "t-w')
    ground.ok("ps")
    ground.ok("up", "-d")
    until(lambda: fetch(port) == "hello", "it answers")
    fresh = ground.pids("t-web-1")
    assert len(fresh) == len(old)
    ground.down()
    ground.nothing_left()
    assert all(ends(pid) for pid in old + fresh)


def test_the_link_is_made_again(served: tuple[Ground, int]) -> None:
    """Somebody deleted the host's end of the uplink: the published port answers again soon."""
    ground, port = served
    subprocess.run(["ip", "link", "del", f"orc{ground.places.network_id('default')}"], check=True)
    assert fetch(port, 0.5) == ""
    until(lambda: fetch(port, 0.5) == "hello", "it answers again", NOTICED)


def test_the_table_is_made_again(served: tuple[Ground, int]) -> None:
    """Somebody flushed the firewall."""
    ground, port = served
    table = f"orchestra-{ground.places.network_id('default')}"
    subprocess.run(["nft", "delete", "table", "ip", table], check=True)

    def there() -> bool:
        return subprocess.run(["nft", "list", "table", "ip", table], capture_output=True, check=False).returncode == 0

    until(there, "the table is there again", NOTICED)
    until(lambda: fetch(port, 0.5) == "hello", "it answers again", NOTICED)


@pytest.mark.parametrize("pin", ["default.router", "t-web-1.net", "t-web-1.user"])
def test_a_pin_is_unmounted(served: tuple[Ground, int], pin: str) -> None:
    """The namespace lives as long as processes are in it; then `up` and `down` make and take what is needed."""
    ground, port = served
    assert libc.umount2(f"{ground.places.pins}/{pin}".encode(), MNT_DETACH) == 0
    kill(ground.pid("t-web-1"))
    ground.ok("restart", "-t", "1", "idle")
    until(lambda: ground.row("t-web-1")["state"] == "running", "it runs again", NOTICED)
    until(lambda: fetch(port, 0.5) == "hello", "it answers again", NOTICED)
    ground.down()
    ground.nothing_left()


def test_the_pins_are_unmounted_and_removed_while_nobody_looks(served: tuple[Ground, int]) -> None:
    """All of them, with supervisor and keeper dead: `up` brings everything back."""
    ground, port = served
    ground.kill_both()
    for pin in os.listdir(ground.places.pins):
        libc.umount2(f"{ground.places.pins}/{pin}".encode(), MNT_DETACH)
        os.unlink(f"{ground.places.pins}/{pin}")
    ground.ok("up", "-d")
    until(lambda: fetch(port, 0.5) == "hello", "it answers again", NOTICED)
    ground.down()
    ground.nothing_left()


def test_the_cgroup_is_emptied_and_removed(served: tuple[Ground, int]) -> None:
    """Somebody moved the processes out of our cgroups: stop still ends them, and another start makes new ones."""
    ground, port = served
    pids = ground.pids("t-web-1")
    for root in cgroup_roots():
        folder = f"{root}/{ground.places.cgroup('t-web-1')}"
        if os.path.isdir(folder):
            for pid in pids:
                Path(root, "cgroup.procs").write_text(f"{pid}\n")
            os.rmdir(folder)
    ground.ok("restart", "-t", "1", "web")
    assert all(ends(pid) for pid in pids)
    until(lambda: fetch(port, 0.5) == "hello", "it answers again", NOTICED)
    assert ground.pids("t-web-1")


def test_the_run_directory_is_gone(served: tuple[Ground, int]) -> None:
    """Somebody cleaned /run with everything dead: what is left in the kernel goes with the next `up` and `down`."""
    ground, port = served
    pids = [*ground.pids("t-web-1"), *ground.pids("t-idle-1")]
    ground.kill_both()
    for pin in os.listdir(ground.places.pins):
        libc.umount2(f"{ground.places.pins}/{pin}".encode(), MNT_DETACH)
    shutil.rmtree(ground.places.run)
    ground.ok("up", "-d")
    until(lambda: fetch(port, 0.5) == "hello", "it answers again", NOTICED)
    assert all(ends(pid) for pid in pids)
    ground.down()
    ground.nothing_left()


def test_a_port_taken_in_between_is_an_error_before_anything_starts(ground: Ground) -> None:
    """The one line names the port; nothing is left of the attempt, and the running rest is unharmed."""
    import socket

    port = free_port()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        ground.write({"web": py(ANSWERING, ports=[f"127.0.0.1:{port}:80"]), "other": sh(IDLE)})
        code, said = ground.run("up", "-d")
        assert code != 0
        assert str(port) in said
        assert not ground.pids("t-other-1")
    ground.ok("up", "-d")
    until(lambda: fetch(port) == "hello", "it answers")


def test_nobody_can_take_a_held_port(served: tuple[Ground, int]) -> None:
    """Not even while the supervisor is replaced, or between two runs of its service."""
    import socket

    ground, port = served
    old = ground.supervisor()
    os.kill(old, signal.SIGKILL)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                squatter.bind(("127.0.0.1", port))
    until(lambda: fetch(port) == "hello", "it answers")
    assert ground.status()["supervisor"] != old
