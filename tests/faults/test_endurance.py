"""The same over and over: the kernel's lists, descriptors and memory are as they were before."""

from __future__ import annotations

import time

import pytest

from .ground import IDLE, Ground, descriptors, everywhere, free_port, memory, sh

pytestmark = pytest.mark.kernel

ROUNDS = 50


@pytest.mark.alone
@pytest.mark.timeout(200)
def test_up_and_down_leave_nothing_behind(ground: Ground) -> None:
    """Fifty times; namespaces are looked for in every process, in its descriptors and among the mounts."""
    ground.write(
        {"a": sh(IDLE, ports=[f"127.0.0.1:{free_port()}:80"]), "b": sh(IDLE, volumes=["d:/d"])}, volumes={"d": {}}
    )
    seen: set[str] = set()
    for _ in range(ROUNDS):
        ground.ok("up", "-d")
        seen |= ground.namespaces()
        ground.down()
        ground.nothing_left()
    assert len(seen) >= 5
    assert not seen & everywhere() or len(seen & everywhere()) < 3  # numbers of namespaces are used again


def test_restarts_leave_descriptors_and_memory_flat(ground: Ground) -> None:
    """Fifty restarts of one service, beside another one that runs on."""
    ground.up({"a": sh(IDLE, ports=[f"127.0.0.1:{free_port()}:80"]), "b": sh(IDLE)})

    def restart(times: int) -> tuple[int, int, int, int]:
        for _ in range(times):
            ground.ok("restart", "-t", "1", "a")
        pair = ground.keeper(), ground.supervisor()
        return (*at_rest(pair), *map(memory, pair))

    before = restart(10)
    after = restart(ROUNDS)
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 256
    assert after[3] - before[3] < 1024


def test_execs_leave_descriptors_flat(ground: Ground) -> None:
    """Twenty commands in a container, ended or killed."""
    ground.up({"a": sh(IDLE)})
    ground.ok("exec", "-T", "a", "true")
    pair = ground.keeper(), ground.supervisor()
    before = at_rest(pair), len(ground.pids("t-a-1"))
    for _ in range(20):
        ground.ok("exec", "-T", "a", "true")
    assert (at_rest(pair), len(ground.pids("t-a-1"))) == before


def at_rest(pids: tuple[int, int]) -> tuple[int, int]:
    """Descriptors of both, without those that are only open for a moment: a connection that is just being closed."""
    keeper, supervisor = map(descriptors, pids)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        time.sleep(0.02)
        keeper, supervisor = min(keeper, descriptors(pids[0])), min(supervisor, descriptors(pids[1]))
    return keeper, supervisor
