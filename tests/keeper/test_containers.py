"""Containers under a keeper: started, logged, waited for, signalled, forgotten."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from orchestra.keeper.errand import Failed
from orchestra.keeper.streams import make_fifo, open_ours, open_way_out
from orchestra.logs.layout import STDOUT
from orchestra.logs.pipes import SIZE
from orchestra.logs.writer import Inflow, Log

from .conftest import House, PlainEngine, until

pytestmark = pytest.mark.kernel


def test_runs_a_container_and_reports_its_end(house: House) -> None:
    """A launch brings pid and times, the end an event with the exit code, and the record keeps both."""
    house.start()
    client = house.connect()
    assert client.children() == {}
    answer = client.launch("cart", "echo one; echo two >&2; exit 3", run=4)
    child = client.exited("cart")
    assert (child["code"], child["signal"], child["run"], child["pid"]) == (3, None, 4, answer["pid"])
    assert child["started"] == answer["started"] <= child["ended"] <= time.monotonic()
    assert child["note"] == {"hash": "abc"}
    assert client.children()["cart"] == child
    assert sorted(house.log("cart").splitlines()) == [b"one", b"two"]


def test_a_signal_ends_a_container_and_is_named(house: House) -> None:
    """`signal` reaches pid 1 by its pidfd; the event says which signal it was."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "exec sleep 600")
    client.call("signal", name="cart", signal=signal.SIGTERM, everyone=False)
    child = client.exited("cart")
    assert (child["code"], child["signal"]) == (None, signal.SIGTERM)
    assert client.refused("signal", name="cart", signal=9, everyone=False)["step"] == "signal"


def test_everyone_of_a_container_can_be_killed(house: House) -> None:
    """`everyone` reaches what pid 1 has started as well."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "sleep 600 & echo ready; exec sleep 601")
    until(lambda: house.log("cart") == b"ready\n", "the second process")
    client.call("signal", name="cart", signal=signal.SIGKILL, everyone=True)
    assert client.exited("cart")["signal"] == signal.SIGKILL
    until(lambda: not house.contained(), "the end of the second process")


def test_a_start_that_fails_says_at_which_step(house: House) -> None:
    """The runtime's step, errno and sentence come back; nothing of the attempt stays."""
    house.start()
    client = house.connect()
    failure = client.refused("launch", **client.launching("cart", "refuse"))
    assert failure == {
        "step": "root",
        "errno": 2,
        "what": "cannot mount /nowhere: No such file or directory",
        "code": 125,
    }
    assert client.children() == {}
    assert os.listdir(house.places.children) == []
    assert os.listdir(house.places.fifos) == []


def test_a_long_reason_is_cut_short(house: House) -> None:
    """A program's name may be a hundred kilobytes long: the keeper says so, and lives on."""

    class Wordy(PlainEngine):
        def launch(self, spec: Any, stdio: list[int]) -> Any:
            raise Failed("exec", 36, "no program " + "é" * 100_000)

    keeper = house.start(engine=Wordy())
    client = house.connect()
    failure = client.refused("launch", **client.launching("cart", "sleep 1"))
    assert failure["errno"] == 36
    assert len(failure["what"]) < 5000
    assert house.keepers() == [keeper]


def test_a_failed_start_leaves_the_run_before_as_it_was(house: House) -> None:
    """What is known of the last good run is still told."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "exit 5")
    client.exited("cart")
    client.refused("launch", **client.launching("cart", "refuse", run=2))
    child = client.children()["cart"]
    assert (child["run"], child["code"]) == (1, 5)


def test_one_name_runs_once(house: House) -> None:
    """A second launch and a forget of a running container are refused; of one that ended they are not."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "exec sleep 600")
    assert "runs already" in client.refused("launch", **client.launching("cart", "true", run=2))["what"]
    assert "still runs" in client.refused("forget", names=["cart"])["what"]
    client.call("signal", name="cart", signal=signal.SIGKILL, everyone=False)
    client.exited("cart")
    client.launch("cart", "exit 0", run=2)
    assert client.exited("cart")["run"] == 2
    client.call("forget", names=["cart"])
    client.call("forget", names=["cart"])
    assert client.children() == {}
    assert os.listdir(house.places.fifos) == []


def test_many_starts_run_side_by_side(house: House) -> None:
    """Twenty launches sent in one go all run and all end; each event comes after its reply."""
    house.start()
    client = house.connect()
    client.children()
    numbers = [client.send("launch", **client.launching(f"c{n}", f"exit {n}")) for n in range(20)]
    pids = [client.wait(number)["pid"] for number in numbers]
    codes = [client.exited(f"c{n}") for n in range(20)]
    assert [child["code"] for child in codes] == list(range(20))
    assert [child["pid"] for child in codes] == pids


def test_events_wait_for_a_supervisor(house: House) -> None:
    """What ended while nobody was connected is in the answer to `children`, until it is forgotten."""
    house.start()
    client = house.connect()
    client.launch("cart", "exit 9")
    client.close()
    until(lambda: b'"code":9' in _record(house), "the exit in the record")
    assert house.connect().children()["cart"]["code"] == 9


def _record(house: House) -> bytes:
    with open(f"{house.places.children}/cart.json", "rb") as file:
        return file.read()


def test_events_go_to_those_who_asked(house: House) -> None:
    """Each connection that has sent `children` gets the events, others none."""
    house.start()
    first, second, deaf = house.connect(), house.connect(), house.connect()
    first.children()
    second.children()
    deaf.launch("cart", "exit 0")
    assert first.exited("cart") == second.exited("cart")
    deaf.call("fetch")
    assert deaf.events == []


def test_standard_input_stays_open(house: House) -> None:
    """With `stdin`, what is written into the FIFO arrives, and a writer that goes away is no end of file."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "read a; read b; echo $a $b", stdin=True)
    for word in ("one", "two"):
        with open(f"{house.places.fifos}/cart.in", "w") as file:
            file.write(word + "\n")
    client.exited("cart")
    assert house.log("cart") == b"one two\n"


def test_standard_input_is_empty_by_default(house: House) -> None:
    """Without `stdin` a read ends at once."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "cat; echo end")
    client.exited("cart")
    assert house.log("cart") == b"end\n"


def test_a_caller_may_give_its_own_streams(house: House) -> None:
    """Three descriptors of the request become the container's; nothing of it is logged."""
    house.start()
    client = house.connect()
    client.children()
    out, into = os.pipe()
    client.call("launch", [into, into, into], **client.launching("cart", "echo here; exit 2"))
    os.close(into)
    assert client.exited("cart")["code"] == 2
    assert os.read(out, 100) == b"here\n"
    assert os.read(out, 100) == b"", "somebody still holds the other end"
    os.close(out)
    assert house.log("cart") == b""
    with open(os.devnull) as one:
        failure = client.refused("launch", [one.fileno()], **client.launching("cart", "true", run=2))
    assert "three descriptors or none" in failure["what"]


def test_a_terminal_is_handed_out_and_logged(house: House) -> None:
    """The launch of a container with a terminal brings its master; what appears there is in the log, too."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "read line; echo got $line; exit 4", terminal=True)
    assert len(client.descriptors) == 1
    os.write(client.descriptors[0], b"hello\n")
    assert client.exited("cart")["code"] == 4
    assert b"got hello\r\n" in house.log("cart")


def test_output_is_complete_when_the_end_is_told(house: House) -> None:
    """A burst right before the exit is in the log when the event comes, half a last line included."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "seq 1 150000; printf unfinished")
    client.exited("cart")
    lines = house.log("cart").split(b"\n")
    assert len(lines) == 150001
    assert lines[-1] == b"unfinished"


def test_half_a_line_that_stays_one_is_in_the_log(house: House) -> None:
    """A question has no newline; what completes it follows, and what comes in one go is not cut."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "printf 'name? '; read name; printf 'hello '; echo $name", stdin=True)
    until(lambda: house.log("cart") == b"name? ", "the question")
    with open(f"{house.places.fifos}/cart.in", "w") as answer:
        answer.write("Ada\n")
    client.exited("cart")
    assert house.log("cart") == b"name? hello Ada\n"


def test_a_long_line_waits_for_its_end(tmp_path: Path) -> None:
    """Before it is taken apart: the pipe is made large before anybody asks how large it is."""
    make_fifo(f"{tmp_path}/x.out", 0o600)
    ours = open_ours(f"{tmp_path}/x.out")
    into = open_way_out(f"{tmp_path}/x.out")
    try:
        if fcntl.fcntl(ours, fcntl.F_GETPIPE_SZ) < SIZE:
            pytest.skip("the user's quota of pipe(7) is used up")
        inflow = Inflow(ours, STDOUT, Log(str(tmp_path / "log"), 1 << 20, 1))
        os.write(into, b"x" * 60_000)
        inflow.take()
        assert inflow.pending == 60_000
    finally:
        os.close(ours)
        os.close(into)


def test_dots_show_one_after_the_other(house: House) -> None:
    """A line that grows all the time is not held back until it is done."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "while [ ! -e $KEPT/enough ]; do printf .; sleep 0.02; done; echo")
    until(lambda: house.log("cart").startswith(b".."), "some dots")
    Path(house.places.run, "enough").touch()
    client.exited("cart")
    assert house.log("cart").strip(b".") == b"\n"


def test_a_flood_does_not_starve_others(house: House) -> None:
    """While one container writes without end, another's line is in its log at once."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("loud", "exec yes", max_size=1 << 20, max_files=2)
    until(lambda: house.log("loud"), "the flood")
    for n in range(10):
        begun = time.monotonic()
        client.launch(f"quiet{n}", "echo here")
        until(lambda n=n: house.log(f"quiet{n}") == b"here\n", "the quiet one's line")
        assert time.monotonic() - begun < 3
    client.call("signal", name="loud", signal=signal.SIGKILL, everyone=False)
    client.exited("loud")


def test_the_keeper_has_nothing_of_its_parent(house: House) -> None:
    """Own session, root directory as cwd, nothing open but its own, a name that ps shows, a private socket."""
    with open("/etc/hostname") as foreign:
        pid = house.start()
        links = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert foreign.name not in links
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.readlink(f"/proc/{pid}/fd/2") == house.places.own_log
    with open(f"/proc/{pid}/cmdline") as file:
        assert file.read().startswith("orchestra-keeper store\0")
    assert os.stat(house.places.keeper_socket).st_mode & 0o777 == 0o600
    assert os.stat(house.places.run).st_mode & 0o777 == 0o700
