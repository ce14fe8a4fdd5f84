"""What is kept is bounded, and what is asked of resolvers and streams is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .stage import Stage, idle, py, until

pytestmark = pytest.mark.kernel


def size_of(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def test_logs_are_bounded_as_asked(orchestra: Stage) -> None:
    """max-size and max-file; the newest lines are those that are kept."""
    program = (
        "for n in range(60000): print('line', n, 'x' * 50)\nprint('end', flush=True)\nimport time; time.sleep(1000)"
    )
    logging = {"driver": "json-file", "options": {"max-size": "200k", "max-file": "2"}}
    orchestra.up({"a": py(program, logging=logging, stop_signal="SIGKILL")})
    until(lambda: "end" in orchestra.logs("--tail", "1"), "all is written")
    assert size_of(orchestra.stack().logs("t-a-1")) < 500_000
    assert "line 59999" in orchestra.logs("--tail", "2")


def test_a_service_can_be_without_a_log(orchestra: Stage) -> None:
    """driver: none."""
    orchestra.up(
        {
            "a": py(
                "print('hush', flush=True)\nimport time; time.sleep(1000)",
                logging={"driver": "none"},
                stop_signal="SIGKILL",
            )
        }
    )
    told = orchestra.run("logs")
    assert "hush" not in told.stdout
    assert "a: no output is kept (logging: driver: none in the stack file)" in told.stderr
    assert size_of(orchestra.stack().logs("t-a-1")) == 0


def test_resolver_options_reach_the_container(orchestra: Stage) -> None:
    """dns_search and dns_opt stand in resolv.conf; the resolver is the network's own, so that names are found."""
    orchestra.up({"a": idle(dns_search=["example.org"], dns_opt=["ndots:2"], dns=["192.0.2.53"]), "b": idle()})
    said = orchestra.inside("a", "cat /etc/resolv.conf")
    assert "search example.org" in said
    assert "ndots:2" in said
    assert orchestra.inside("a", "getent hosts b.") != ""


def test_stdin_is_empty_unless_it_is_kept_open(orchestra: Stage) -> None:
    """stdin_open."""
    read = "import sys; print('read', repr(sys.stdin.read(1)), flush=True)\nimport time; time.sleep(1000)"
    orchestra.up({"a": py(read, stop_signal="SIGKILL"), "b": py(read, stdin_open=True, stop_signal="SIGKILL")})
    until(lambda: "read ''" in orchestra.logs("a"), "a has read")
    assert orchestra.row("t-b-1")["State"] == "running"
    assert "read" not in orchestra.logs("b")


def test_replicas_by_deploy(orchestra: Stage) -> None:
    """deploy.replicas, as scale."""
    orchestra.up({"a": idle(deploy={"replicas": 2})})
    assert set(orchestra.rows()) == {"t-a-1", "t-a-2"}


def test_files_of_orchestra_are_for_root_only(orchestra: Stage) -> None:
    """Whoever may use the socket is root on this machine."""
    orchestra.up({"a": idle()})
    places = orchestra.stack()
    assert os.stat(places.run).st_mode & 0o777 == 0o700
    for path in (places.api_socket, places.keeper_socket):
        assert os.stat(path).st_mode & 0o077 == 0, path
