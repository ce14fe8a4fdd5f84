"""Containers under a keeper: started, logged, waited for, signalled, forgotten."""

from __future__ import annotations

import time

import pytest

from .conftest import House

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
