"""A reboot in the midst of something: what was wanted is on disk, and what was made is not taken for alive."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .ground import ANSWERING, Ground, fetch, free_port, py, sh, until

pytestmark = pytest.mark.kernel


def test_up_after_a_reboot(served: tuple[Ground, int]) -> None:
    """With a run directory of the boot before, everything is made anew."""
    ground, port = served
    ground.reboot()
    ground.ok("up", "-d")
    until(lambda: fetch(port) == "hello", "it answers")
    assert {row["state"] for row in ground.rows().values()} == {"running"}


def test_a_bound_file_that_went_with_the_reboot_is_missing(ground: Ground) -> None:
    """No folder comes up in its place."""
    file = ground.folder / "one.conf"
    file.write_text("one")
    ground.up({"a": sh("exec sleep 1000", volumes=[f"{file}:/one.conf"])})
    ground.reboot()
    file.unlink()
    assert f"cannot mount {file} at /one.conf: it is missing on the host" in ground.run("up", "-d")[1]
    assert not file.exists()


def test_down_after_a_reboot(served: tuple[Ground, int]) -> None:
    """What the disk still has goes too."""
    ground, _ = served
    ground.reboot()
    ground.down()
    ground.nothing_left()


def version(number: int, port: int) -> dict[str, Any]:
    """A server that tells its version, and is replaced start-first: slowly, so that there is a middle."""
    update = {"order": "start-first", "monitor": "3s" if number == 2 else "0s", "drain": "5s"}
    return py(
        ANSWERING.replace('b"hello"', f'b"version {number}"'),
        ports=[f"127.0.0.1:{port}:80"],
        healthcheck={"http": "http://:80/", "interval": "200ms", "retries": 20},
        deploy={"update_config": update},
    )


@pytest.mark.parametrize("then", ["go on", "go back", "down"])
@pytest.mark.parametrize("when", ["before it takes over", "while the old one drains"])
def test_a_reboot_in_the_midst_of_a_replacement(ground: Ground, when: str, then: str) -> None:
    """Said again it completes; with the old file the old version serves; `down` leaves nothing of either."""
    port = free_port()
    ground.up({"web": version(1, port)}, "--wait")
    ground.write({"web": version(2, port)})
    command = ground.begin("up", "-d")
    until(lambda: ground.rows().get("t-web-2", {}).get("state") == "running", "the new one runs")
    if when == "while the old one drains":
        until(lambda: fetch(port) == "version 2", "it has taken over")
        time.sleep(0.3)  # written down
    ground.reboot()
    command.communicate(timeout=10)
    if then == "down":
        ground.down()
        ground.nothing_left()
        return
    expected = 2 if then == "go on" else 1
    ground.write({"web": version(expected, port)})
    ground.ok("up", "-d", "--wait")
    until(lambda: fetch(port) == f"version {expected}", "it answers")
    until(lambda: len(ground.rows()) == 1, "there is one")
    assert {row["state"] for row in ground.rows().values()} == {"running"}
    ground.down()
    ground.nothing_left()


def test_a_reboot_at_any_point_of_up(ground: Ground) -> None:
    """Whatever was made and written by then: `up` completes it, or `down` takes it away."""
    port = free_port()
    ground.write({"web": py(ANSWERING, ports=[f"127.0.0.1:{port}:80"]), "idle": sh(depends_on=["web"])})
    for point in range(8):
        command = ground.begin("up", "-d")
        time.sleep(0.06 * point)
        command.kill()
        command.communicate()
        ground.reboot()
        if point % 2:
            ground.ok("up", "-d")
            until(lambda: fetch(port) == "hello", "it answers")
        ground.down()
        ground.nothing_left(15)
