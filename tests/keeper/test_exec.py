"""Processes in running containers, and descriptors that outlive a supervisor."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from .conftest import Client, House

pytestmark = pytest.mark.kernel


@pytest.fixture
def client(house: House) -> Client:
    """Of a keeper under which `cart` runs."""
    house.start()
    client = house.connect()
    client.children()
    client.launch("cart", "exec sleep 600")
    return client


def execute(client: Client, script: str, stdio: list[int], timeout: float = 0, terminal: bool = False) -> Any:
    process = client.launching("cart", script, terminal=terminal)["spec"]["process"]
    return client.call("exec", stdio, name="cart", exec="e1", process=process, seccomp="", timeout=timeout)


def pipes() -> tuple[int, int, int, int]:
    """Ends to give away (in, out) and to keep (in, out)."""
    (give_in, keep_in), (keep_out, give_out) = os.pipe(), os.pipe()
    return give_in, give_out, keep_in, keep_out


def read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()


def test_exec_with_input_and_output(client: Client) -> None:
    """The three descriptors of the request are the process's; its code comes as an event."""
    give_in, give_out, keep_in, keep_out = pipes()
    execute(client, "read a; echo got $a; exit 6", [give_in, give_out, give_out])
    os.close(give_in)
    os.close(give_out)
    os.write(keep_in, b"word\n")
    os.close(keep_in)
    assert read_all(keep_out) == b"got word\n"
    event = client.exec_exited("e1")
    assert (event["code"], event["signal"], event["timed_out"]) == (6, None, False)


def test_exec_is_killed_after_its_time(client: Client) -> None:
    """A process that takes too long is killed, with what it started, and the event says why."""
    give_in, give_out, keep_in, keep_out = pipes()
    execute(client, "sleep 600; true", [give_in, give_out, give_out], timeout=0.05)
    for descriptor in (give_in, give_out, keep_in):
        os.close(descriptor)
    event = client.exec_exited("e1")
    assert (event["signal"], event["timed_out"]) == (signal.SIGKILL, True)
    assert read_all(keep_out) == b""


def test_exec_with_a_terminal(client: Client) -> None:
    """The reply brings the terminal's master."""
    execute(client, "echo here", [], terminal=True)
    assert client.exec_exited("e1")["code"] == 0
    assert os.read(client.descriptors[0], 100) == b"here\r\n"


def test_exec_needs_a_running_container(client: Client) -> None:
    """A container that is not there, or a request without descriptors, is refused."""
    process = client.launching("x", "true")["spec"]["process"]
    failure = client.refused("exec", name="nobody", exec="e", process=process, seccomp="", timeout=0)
    assert failure["what"] == "nobody does not run"
    failure = client.refused("exec", name="cart", exec="e", process=process, seccomp="", timeout=0)
    assert "three descriptors" in failure["what"]


def test_a_stored_descriptor_comes_back(client: Client, house: House) -> None:
    """What one supervisor stores the next one fetches; the same name replaces, `drop` closes."""
    out, into = os.pipe()
    client.call("store", [into], name="port-80")
    other, other_into = os.pipe()
    client.call("store", [other_into], name="port-81")
    client.call("store", [other_into], name="port-80")
    os.close(into)
    assert os.read(out, 1) == b"", "the first one of the name was not closed"
    os.close(out)
    os.close(other_into)
    second = house.connect()
    assert second.call("fetch")["names"] == ["port-81", "port-80"]
    assert len(second.descriptors) == 2
    os.write(second.descriptors[1], b"x")
    assert os.read(other, 1) == b"x"
    second.call("drop", names=["port-80", "port-81", "never"])
    second.close()
    assert os.read(other, 1) == b""
    os.close(other)


def test_hundreds_of_descriptors_come_back(client: Client, house: House) -> None:
    """More than fit into one message of the kernel (253)."""
    out, into = os.pipe()
    for n in range(300):
        client.call("store", [into], name=f"d{n}")
    os.close(into)
    second = house.connect()
    assert len(second.call("fetch")["names"]) == 300
    assert len(second.descriptors) == 300
    os.close(out)
