from __future__ import annotations

from collections.abc import Iterator

import pytest
from network_world import World, small_world


@pytest.fixture
def world() -> Iterator[World]:
    with small_world() as world:
        yield world
