"""Two installations on one machine know nothing of each other; what they share is the kernel, and it decides."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from .ground import ANSWERING, Ground, fetch, free_port, py, until

pytestmark = pytest.mark.kernel

ROUNDS = 4


@pytest.fixture
def grounds() -> Iterator[list[Ground]]:
    made = [Ground(), Ground()]
    yield made
    for one in made:
        one.close()


def published(ground: Ground, **more: object) -> int:
    """Write a stack with a web server; its port."""
    port = free_port()
    ground.write({"web": py(ANSWERING, ports=[f"127.0.0.1:{port}:80"])}, **more)
    return port


def subnet(ground: Ground) -> str:
    [found] = ground.status()["networks"].values()
    return str(found)


def routes() -> str:
    return subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout


def test_two_that_choose_at_once_get_different_subnets(grounds: list[Ground]) -> None:
    """Several times from nothing: each one's port answers, and no route was taken from the other."""
    for _ in range(ROUNDS):
        ports = [published(ground) for ground in grounds]
        commands = [ground.begin("up", "-d") for ground in grounds]
        said = [command.communicate(timeout=30)[0] for command in commands]
        assert [command.returncode for command in commands] == [0, 0], said
        assert len({subnet(ground) for ground in grounds}) == len(grounds), routes()
        for port in ports:
            until(lambda port=port: fetch(port) == "hello", "it answers", 5)
        for ground in grounds:
            ground.down()
            ground.nothing_left()


def test_who_comes_back_to_a_subnet_that_is_taken_gets_another(grounds: list[Ground]) -> None:
    """After a reboot the other one was faster: it keeps what it has, and both are reached."""
    late, fast = grounds
    late_port = published(late)
    late.ok("up", "-d")
    taken = subnet(late)
    late.reboot()
    fast_port = published(fast)
    fast.ok("up", "-d")
    assert subnet(fast) == taken
    until(lambda: fetch(fast_port) == "hello", "it answers", 5)
    late.ok("up", "-d")
    assert subnet(late) != taken
    until(lambda: fetch(late_port) == "hello", "it answers", 5)
    assert fetch(fast_port) == "hello"
    assert f"is routed elsewhere on this machine: it gets {subnet(late)}" in str(late.events())


def test_a_subnet_that_was_asked_for_and_is_taken_is_an_error(grounds: list[Ground]) -> None:
    """By name, also where only the kernel knows of it any more; the one who has it is not harmed."""
    late, fast = grounds
    ours = {"networks": {"default": {"ipam": {"config": [{"subnet": "10.99.7.0/24"}]}}}}
    published(late, **ours)
    late.ok("up", "-d")
    late.reboot()
    port = published(fast, **ours)
    fast.ok("up", "-d")
    until(lambda: fetch(port) == "hello", "it answers", 5)
    code, said = late.run("up", "-d")
    assert code == 1
    assert "10.99.7.0/24 is routed elsewhere" in said, said
    assert fetch(port) == "hello"
