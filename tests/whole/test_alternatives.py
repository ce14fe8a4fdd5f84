"""Services of one file that want the same port: one of them runs."""

from __future__ import annotations

import socket

import pytest

from .stage import Stage, free_port, py, until

pytestmark = pytest.mark.kernel

SAYS = """
import socket
listening = socket.create_server(("", 80))
while True:
    listening.accept()[0].sendall(b"{}")
"""


def said(port: int) -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            return connection.recv(99).decode()
    except OSError:
        return ""


def test_a_port_leads_to_the_one_of_two_that_runs(shared: Stage) -> None:
    """Whichever was there before; both at once are refused, by name and place."""
    port = free_port(range(15600, 15700))
    services = {
        name: py(SAYS.format(name), ports=[f"127.0.0.1:{port}:80"], stop_signal="KILL", networks=[name])
        for name in ("dev", "prod")
    }
    shared.write({"services": services, "networks": {"dev": {}, "prod": {}}})
    shared.ok("config", "-q")
    assert "prod and dev both want host port" in shared.fails("up", "-d", status=1)
    shared.ok("up", "-d", "dev")
    until(lambda: said(port) == "dev", "it answers")
    refused = shared.fails("up", "-d", "prod", status=1)
    assert f"host port {port}/tcp is used by dev (t-dev-1)" in refused
    assert "orchestra stop dev" in refused
    assert "is used by dev" in shared.fails("run", "-T", "--rm", "--service-ports", "prod", status=1)
    shared.ok("stop", "dev")
    shared.ok("up", "-d", "prod")
    until(lambda: said(port) == "prod", "it answers")
    assert {said(port) for _ in range(20)} == {"prod"}
    assert "used by prod" in shared.fails("start", "dev", status=1)
    shared.ok("stop", "prod")
    shared.ok("start", "dev")
    until(lambda: said(port) == "dev", "it answers")
    assert {said(port) for _ in range(20)} == {"dev"}
