"""A store of plain processes for each test that asks for one."""

import threading
from collections.abc import Callable, Iterator
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


@pytest.fixture
def store_url(store: Store) -> str:
    """Where a person finds the store. With this and `kill_orders` redefined, tests run against containers."""
    return store.url("web")


@pytest.fixture
def kill_orders(store: Store) -> Iterator[Callable[[], None]]:
    """Ends the orders service as `kill -9` does; a second later it is there again, as under a supervisor."""
    timers: list[threading.Timer] = []

    def kill() -> None:
        store.kill("orders")
        timers.append(threading.Timer(1.0, store.start, ["orders"]))
        timers[-1].start()

    yield kill
    for timer in timers:
        timer.join()
