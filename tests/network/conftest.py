from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from network_world import World, host_of_its_own


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A host with a neighbour; whatever the test made of it has to be gone after `remove_router`."""
    with host_of_its_own():
        world = World(tmp_path)
        try:
            before = world.snapshot()
            yield world
            world.tear_down()
            assert world.snapshot() == before
        finally:
            world.end()
