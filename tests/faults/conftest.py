"""One installation for each test; nothing of it may be left afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .ground import Ground


@pytest.fixture
def ground() -> Iterator[Ground]:
    made = Ground()
    yield made
    made.close()
