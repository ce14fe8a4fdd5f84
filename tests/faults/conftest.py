"""One installation for each test; nothing of it may be left afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .ground import ANSWERING, IDLE, Ground, fetch, free_port, py, sh, until


@pytest.fixture
def ground() -> Iterator[Ground]:
    made = Ground()
    yield made
    print(made.own_log())  # shown of tests that failed
    made.close()


@pytest.fixture
def served(ground: Ground) -> tuple[Ground, int]:
    """A web server on a published port, and a neighbour that depends on it."""
    port = free_port()
    web = py(ANSWERING, ports=[f"127.0.0.1:{port}:80"], restart="always")
    ground.up({"web": web, "idle": sh(IDLE, restart="always", depends_on=["web"])})
    until(lambda: fetch(port) == "hello", "it answers")
    return ground, port
