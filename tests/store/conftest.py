"""A store of plain processes for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_processes import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """All five services, healthy."""
    store = Store(tmp_path)
    try:
        store.start()
        yield store
    finally:
        store.stop_all()
