"""The store in real containers: what a person does with it, with and without a browser."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from test_browser import (  # collected here again, with the fixtures of this module
    ARGUMENTS,
    CHROMIUM,
    page,  # noqa: F401
    test_an_order_is_there_although_the_orders_service_was_killed,  # noqa: F401
    test_an_order_outlives_a_kill_after_it_was_placed,  # noqa: F401
)
from window import Window

from .room import Room
from .stage import ROOT, Stage, until

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]
FILE = str(ROOT / "examples/store/store.yml")
SERVICES = {"accounts", "catalog", "cart", "orders", "web"}


class Store:
    """One home with the store in it, at a port of its own."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.stage.names |= {"store", "accounts"}
        self.stage.networks |= {("store", "default"), ("accounts", "default")}
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port: int = server.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __call__(self, *words: str) -> str:
        return self.stage.ok(*words, env={"STORE_PORT": str(self.port)}, timeout=60)

    def up(self) -> None:
        self("up", "--wait", FILE)

    def kill(self, service: str) -> int:
        pid = self.pid(service)
        os.kill(pid, 9)
        return pid

    def pid(self, service: str) -> int:
        return self.stage.pid(container(service))

    def row(self, service: str) -> dict[str, object]:
        return self.stage.rows(FILE)[container(service)]


def container(service: str) -> str:
    """Accounts belongs to a stack of its own."""
    return f"{'accounts' if service == 'accounts' else 'store'}-{service}-1"


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    store.up()
    yield store
    store.stage.close()


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    room = Room(str(CHROMIUM))
    yield room
    room.close()


@pytest.fixture(scope="module")
def browser(room: Room) -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=room.program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def store_url(store: Store, room: Room) -> str:
    room.open(store.port)
    return store.url


@pytest.fixture
def kill_orders(store: Store) -> Callable[[], object]:
    return lambda: store.kill("orders")


def runs_anew(row: dict[str, object], before: int) -> bool:
    return row["State"] == "running" and row["Pid"] not in (None, before)


def order(window: Window) -> str:
    """Buy a moon jar; the path of the order."""
    window.put_into_cart("moon-jar")
    return window.send(window.open("/cart").form("/orders")).path.partition("?")[0]


def test_the_store_is_healthy_after_up_with_wait(store: Store) -> None:
    """All five services."""
    rows = store.stage.rows(FILE).values()
    assert {str(row["Service"]) for row in rows} == SERVICES
    assert {row["Health"] for row in rows} == {"healthy"}


def test_the_store_keeps_what_was_ordered_through_down_and_up(store: Store) -> None:
    """And forgets it with `down --volumes`; the account is not the store's to forget."""
    window = Window(store.url)
    window.sign_up()
    path = order(window)
    assert re.fullmatch(r"/orders/\d+", path)
    store("down", FILE)
    store.up()
    assert "Moon jar" in window.open(path).text
    store("down", "--volumes", FILE)
    store.up()
    assert "Moon jar" not in window.open(path).text
    assert "Ada" in window.open("/").text


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_killed_service_of_the_store_is_back_within_a_second(store: Store, service: str) -> None:
    """The others don't notice: they keep their processes and their health."""
    before = {name: store.pid(name) for name in SERVICES}
    began = time.monotonic()
    store.kill(service)
    until(lambda: runs_anew(store.row(service), before[service]), "it runs")
    assert time.monotonic() - began < 1.0
    until(lambda: store.row(service)["Health"] == "healthy", "it is healthy")
    after = {name: store.pid(name) for name in SERVICES}
    assert {name for name in SERVICES if before[name] != after[name]} == {service}
    assert "Kiln" in Window(store.url).open("/").text


def test_the_store_is_left_alone_by_a_second_up(store: Store) -> None:
    """Nothing changed, nothing is done."""
    before = {name: store.pid(name) for name in SERVICES}
    store.up()
    assert {name: store.pid(name) for name in SERVICES} == before


def test_the_services_of_the_store_see_nothing_of_the_host(store: Store) -> None:
    """Their own folder, and nothing of the project's."""
    seen = store("exec", "-T", FILE, "orders", "ls", "/app", "/srv/lib").split()
    assert "main.py" in seen
    assert not set(os.listdir(ROOT)) & set(store("exec", "-T", FILE, "orders", "ls", "/").split()) - {"lib"}
    assert Path(FILE).exists()
