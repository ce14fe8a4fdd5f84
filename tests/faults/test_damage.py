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

from orchestra.runtime import cgroups
from orchestra.supervisor.book import load_page, save_page
from orchestra.values import replace

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
    unified,
    until,
)

pytestmark = pytest.mark.kernel

NOTICED = 10.0
"""Seconds within which damage has to be noticed and repaired."""


def twice_on_disk(ground: Ground) -> None:
    """Once the state that runs is in the last page of the book and in the one before."""

    def is_in(path: str) -> bool:
        page = json.loads(Path(path).read_text().partition("\n")[2])
        running = [one["run"] is not None and one["made"] for one in page["seen"].values()]
        return running == [True, True] and bool(page["networks"])

    def both() -> bool:
        ground.ok("pause", "idle")  # something to write down
        ground.ok("unpause", "idle")
        with contextlib.suppress(OSError, ValueError):  # it is just being replaced
            return is_in(ground.places.wanted) and is_in(f"{ground.places.wanted}.1")
        return False

    until(both, "both pages know what runs")


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


def test_a_recycled_pid_of_the_supervisor_is_nobody(served: tuple[Ground, int]) -> None:
    """Somebody else has its number now: a new one is started, and the stranger left alone."""
    ground, port = served
    ground.kill_both()
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        record = Path(f"{ground.places.run}/supervisor.json")
        record.write_text(json.dumps({**json.loads(record.read_text()), "pid": stranger.pid}))
        ground.ok("ps")
        assert ground.supervisor() not in (0, stranger.pid)
        assert fetch(port) == "hello"
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
    twice_on_disk(ground)
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


@pytest.mark.parametrize("lost", [("seen",), ("seen", "networks")], ids="+".join)
def test_what_was_not_written_down_yet_is_taken_on(served: tuple[Ground, int], lost: tuple[str, ...]) -> None:
    """The page on disk is of the moment in which it was decided what to start: nothing is started a second time."""
    ground, port = served
    before = {name: ground.pid(name) for name in ("t-web-1", "t-idle-1")}
    spaces = ground.namespaces()
    ground.kill_both()
    save_page(ground.places, replace(load_page(ground.places), **{part: {} for part in lost}), durable=True)
    assert "t-web-1" in ground.ok("ps")
    assert fetch(port) == "hello"
    ground.ok("up", "-d")
    assert {name: ground.pid(name) for name in before} == before
    assert {row["state"] for row in ground.rows().values()} == {"running"}
    assert fetch(port) == "hello"
    assert ground.namespaces() == spaces
    assert "is in no book" not in ground.ok("events", "--since", "5m", "--until", "0s")


@pytest.mark.parametrize("command", [("up", "-d"), ("down", "-t", "1")])
def test_all_state_files_spoiled(served: tuple[Ground, int], command: tuple[str, ...]) -> None:
    """Nobody knows any more what ran: `up` may start everything anew, `down` leaves nothing."""
    ground, port = served
    pids = [*ground.pids("t-web-1"), *ground.pids("t-idle-1")]
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


def hierarchies(which: str) -> list[str]:
    if which == "all":
        return cgroup_roots()
    return [root for root in cgroup_roots() if (root == unified()) is (which == "unified")]


@pytest.mark.parametrize("which", ["v1", "unified", "all"])
def test_limits_hold_again_after_the_cgroups_were_removed(ground: Ground, which: str) -> None:
    """Somebody moved all processes out and removed our cgroups up to the top: everybody is brought back, restarted
    is nobody; whoever looks meanwhile gets an answer."""
    limited = {"mem_limit": "96m", "cpus": 0.5, "pids_limit": 77}
    ground.up({"web": py(**limited), "forks": sh("sleep 1000 & " + IDLE, **limited)})
    names = ("t-web-1", "t-forks-1")
    before = {name: until(lambda name=name: ground.pids(name), "it runs") for name in names}
    until(lambda: len(ground.pids("t-forks-1")) == 3, "it has forked")
    before = {name: ground.pids(name) for name in names}
    held = {name: cgroups.driver().held(ground.places.cgroup(name)) for name in names}
    assert held["t-web-1"]["memory"]["limit"] == 96 << 20
    for root in hierarchies(which):
        top = f"{root}/{ground.places.cgroups}"
        for folder, _, files in os.walk(top, topdown=False):
            for pid in Path(folder, "cgroup.procs").read_text().split() if "cgroup.procs" in files else ():
                Path(root, "cgroup.procs").write_text(f"{pid}\n")
            os.rmdir(folder)
    for words in (
        ["ps"],
        ["top"],
        ["stats", "--no-stream"],
        ["inspect", "web"],
        ["pause", "web"],
        ["unpause", "web"],
    ):
        code, said = ground.run(*words)
        assert code == 0 or said.startswith("error: "), said
    until(lambda: all(ground.pids(name) == before[name] for name in names), "they are in them again", NOTICED)
    until(lambda: [cgroups.driver().held(ground.places.cgroup(name)) for name in names] == [*held.values()], "limits")

    def told() -> set[str]:
        return {event["text"].split()[0] for event in ground.events() if "moved out of its cgroups" in event["text"]}

    until(lambda: told() == set(names), "both are told of")
    assert "Traceback" not in ground.own_log()
    ground.ok("pause", "web")
    assert ground.row("t-web-1")["state"] == "paused"
    ground.ok("unpause", "web")
    assert "t-web-1" in ground.ok("stats", "--no-stream", "web")


@pytest.mark.parametrize("restart", ["no", "always"])
def test_everything_in_a_cgroup_is_killed_and_it_is_removed(ground: Ground, restart: str) -> None:
    """As by somebody who tidies up: the end is noticed, the policy goes on in new cgroups, or `up` does."""
    ground.up({"web": py(restart=restart), "idle": sh()})
    pids = ground.pids("t-web-1")
    Path(unified(), ground.places.cgroup("t-web-1"), "cgroup.kill").write_text("1")
    for root in cgroup_roots():
        folder = Path(root, ground.places.cgroup("t-web-1"))
        with contextlib.suppress(OSError):  # those of the next run may be made already, or the last one is not gone
            folder.rmdir()
    until(lambda: all(ends(pid) for pid in pids), "they are gone")
    if restart == "no":
        until(lambda: ground.row("t-web-1")["state"] == "exited", "its end is noticed")
        ground.ok("up", "-d")
    until(lambda: (row := ground.row("t-web-1"))["state"] == "running" and row["pid"] not in pids, "it runs again")
    assert ground.row("t-web-1")["last_exit"] == "killed by SIGKILL"
    assert ground.pids("t-web-1")


@pytest.mark.parametrize("alive", [True, False])
def test_half_written_files_of_who_was_killed_do_not_stay(served: tuple[Ground, int], alive: bool) -> None:
    """They have names of their own until they are whole; whoever ends last takes them away, also in `data`."""
    ground, _ = served
    ground.kill_both()
    places = ground.places
    for path in (f"{places.run}/supervisor.json.new", f"{places.run}/.api.sock.99", f"{places.wanted}.99.new"):
        Path(path).write_text("{")
    if alive:
        ground.ok("ps")
    ground.down()
    ground.nothing_left()
    assert not list(Path(places.data).glob("wanted.json*"))


def test_down_works_although_the_data_directory_is_gone(served: tuple[Ground, int]) -> None:
    """Nothing of the stack stays, and nobody ends with a traceback."""
    ground, _ = served
    shutil.rmtree(ground.places.data)
    ground.down()
    ground.nothing_left()
    assert "Traceback" not in ground.own_log()


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


def take_away_run(ground: Ground) -> None:
    """As `rm -rf` does after `umount`."""
    for pin in os.listdir(ground.places.pins):
        libc.umount2(f"{ground.places.pins}/{pin}".encode(), MNT_DETACH)
    shutil.rmtree(ground.places.run)


@pytest.mark.parametrize("killed", ["nobody", "keeper", "supervisor", "both"])
def test_down_ends_all_although_the_run_directory_is_gone(served: tuple[Ground, int], killed: str) -> None:
    """Whoever lives on is found without it; `ps` does not say that nothing is there."""
    ground, _ = served
    ours = [ground.keeper(), ground.supervisor(), *ground.pids("t-web-1"), *ground.pids("t-idle-1")]
    take_away_run(ground)
    if killed == "both":
        ground.kill_both()
    elif killed != "nobody":
        kill(ours[0] if killed == "keeper" else ours[1])
    assert "t " in ground.ok("ls")
    assert "t-web-1" in ground.ok("ps", "-a")
    ground.down()
    ground.nothing_left()
    assert all(ends(pid) for pid in ours)


def test_down_at_once_after_the_run_directory_was_removed(served: tuple[Ground, int]) -> None:
    ground, _ = served
    ours = [ground.keeper(), ground.supervisor(), *ground.pids("t-web-1"), *ground.pids("t-idle-1")]
    take_away_run(ground)
    ground.down()
    ground.nothing_left()
    assert all(ends(pid) for pid in ours)


def test_a_run_directory_that_is_taken_away_is_made_again(served: tuple[Ground, int]) -> None:
    """With all of the home's: nobody asks, nobody is restarted, and a keeper that then dies has its successor."""
    ground, port = served
    before = {name: ground.pid(name) for name in ("t-web-1", "t-idle-1")}
    both = (ground.keeper(), ground.supervisor())
    take_away_run(ground)
    shutil.rmtree(ground.home.run)
    until(lambda: os.path.exists(f"{ground.places.children}/t-idle-1.json"), "it is there again", NOTICED)
    until(lambda: os.path.exists(ground.places.api_socket), "the socket as well", NOTICED)
    assert {name: ground.pid(name) for name in before} == before
    assert (ground.keeper(), ground.supervisor()) == both
    record = Path(f"{ground.places.children}/t-web-1.json")
    record.unlink()
    until(record.exists, "a record alone as well", NOTICED)
    until(lambda: fetch(port, 0.5) == "hello", "it answers", NOTICED)
    kill(both[0])
    until(lambda: ground.keeper() not in (0, both[0]), "another keeper", NOTICED)
    assert {row["state"] for row in ground.rows().values()} == {"running"}
    assert {name: ground.pid(name) for name in before} == before
    assert ground.supervisor() == both[1]


def test_down_finds_containers_of_which_nothing_is_written(served: tuple[Ground, int]) -> None:
    """Everything of ours is dead, and run and data directory are removed."""
    ground, _ = served
    pids = [*ground.pids("t-web-1"), *ground.pids("t-idle-1")]
    ground.kill_both()
    take_away_run(ground)
    shutil.rmtree(ground.home.data)
    ground.down()
    ground.nothing_left()
    assert all(ends(pid) for pid in pids)


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
