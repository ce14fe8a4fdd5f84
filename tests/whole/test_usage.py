"""What containers use, as the supervisor tells it."""

from __future__ import annotations

from typing import Any

from orchestra.client import Connection

from .stage import Stage, idle, py, until

BUSY = """
import socket, threading
block = bytearray(b"x" * (40 << 20))
server = socket.create_server(("", 7000))
def answer():
    while True:
        guest, _ = server.accept()
        with guest:
            guest.sendall(bytes(3 << 20))
threading.Thread(target=answer, daemon=True).start()
while True:
    pass
"""
FETCH = """
import socket
got = 0
with socket.create_connection(("busy", 7000)) as c:
    while part := c.recv(1 << 16):
        got += len(part)
print(got)
"""


def test_use_is_told_once_and_as_it_goes(orchestra: Stage):
    """One answer at once with rates over half a second; a follower gets one a second; both count what was done."""
    limits = {"cpus": "0.2", "mem_limit": "200m", "pids_limit": 50}
    orchestra.up({"busy": py(BUSY, **limits), "calm": idle()})
    with Connection(orchestra.stack()) as connection:

        def told() -> dict[str, dict[str, Any]]:
            return {one["container"]: one for one in connection.call({"do": "usage"})["usage"]}

        def held_back() -> dict[str, dict[str, Any]] | None:
            found = told()
            busy = found["t-busy-1"]
            # With so little of a processor it takes a while until it is as busy as it gets.
            return found if busy["throttled_periods"] and busy["pids"] >= 2 and "rates" in busy else None

        found = until(held_back, "the limit holds it back")
        assert set(found) == {"t-busy-1", "t-calm-1"}
        busy, calm = found["t-busy-1"], found["t-calm-1"]
        assert busy["working_set"] > 40 << 20 > calm["working_set"] > 0
        assert busy["memory_peak"] >= busy["memory"] >= busy["working_set"]
        assert (busy["cpu_limit"], busy["memory_limit"], busy["pids_limit"]) == (0.2, 200 << 20, 50)
        assert calm["rates"]["cpu"] < busy["rates"]["cpu"] < 0.4
        assert busy["service"] == "busy"
        assert busy["pids"] >= 2
        assert busy["read"] is not None
        assert orchestra.python("calm", FETCH) == str(3 << 20)
        ask = {"do": "usage", "services": ["calm"], "follow": True, "interval": 1}
        answers = connection.answers(connection.send(ask))
        followed = [next(answers)["usage"] for _ in range(3)]
        assert [[one["container"] for one in each] for each in followed] == [["t-calm-1"]] * 3
        (network,) = followed[0][0]["networks"]
        assert network["interface"] == "eth0"
        assert network["network"] == "default"
        assert 3 << 20 < network["received_bytes"] < 4 << 20
        assert network["sent_packets"] > 0
        assert followed[2][0]["rates"]["over"] > 0.5


def test_who_has_ended_uses_nothing(orchestra: Stage):
    """Only running containers are told of."""
    orchestra.up({"brief": idle(), "calm": idle()})
    orchestra.ok("stop", "brief")
    with Connection(orchestra.stack()) as connection:
        until(lambda: [u["service"] for u in connection.call({"do": "usage"})["usage"]] == ["calm"], "one is left")
