"""The example store in its containers: as the README promises, and through its web front in a real browser."""

from __future__ import annotations

import http.client
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .stage import ROOT, Stage, until

browsing = pytest.importorskip("store.test_browser")
browser, page = browsing.browser, browsing.page
test_an_order_is_there_although_orders_was_killed = pytest.mark.timeout(120)(
    browsing.test_an_order_is_there_although_the_orders_service_was_killed
)
test_an_order_outlives_a_kill = pytest.mark.timeout(120)(browsing.test_an_order_outlives_a_kill_after_it_was_placed)

pytestmark = pytest.mark.kernel
FILE = str(ROOT / "examples" / "store" / "store.yml")
SERVICES = ("accounts", "cart", "catalog", "orders", "web")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Store:
    """The store of a stage, on a port of its own."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.port = free_port()
        stage.names.add("store")

    def up(self) -> None:
        done = self.stage.run("up", "-d", "--wait", FILE, env={"STORE_PORT": str(self.port)})
        assert done.returncode == 0, done.stderr + self.stage.said()

    def down(self, *words: str) -> None:
        self.stage.ok("-p", "store", "down", *words)

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def kill(self, service: str) -> None:
        """SIGKILL its process from the host, as no command of ours would."""
        pid = self.stage.pid(f"store-{service}-1")
        subprocess.run(["kill", "-KILL", str(pid)], check=True)


@pytest.fixture
def store(orchestra: Stage) -> Store:
    return Store(orchestra)


@pytest.fixture
def store_url(store: Store) -> Iterator[str]:
    store.up()
    return f"http://127.0.0.1:{store.port}"


@pytest.fixture
def kill_orders(store: Store) -> Callable[[], None]:
    return lambda: store.kill("orders")


def test_one_command_has_the_store_running(store: Store) -> None:
    """`up --wait`: five containers, each healthy, and the front answers at the published port."""
    store.up()
    rows = store.stage.rows("-p", "store")
    assert {row["Service"]: row["Health"] for row in rows.values()} == dict.fromkeys(SERVICES, "healthy")
    status, text = store.get("/")
    assert status == 200
    assert "Kiln" in text


def test_what_is_killed_is_back_and_nobody_else_notices(store: Store) -> None:
    """kill -9 of a service: back by itself, the others keep their processes, ps tells what happened."""
    store.up()
    before = {service: store.stage.pid(f"store-{service}-1") for service in SERVICES}
    store.kill("cart")
    until(lambda: store.stage.rows("-p", "store")["store-cart-1"]["Health"] == "healthy", "cart is healthy again")
    after = {service: store.stage.pid(f"store-{service}-1") for service in SERVICES}
    assert {service for service in SERVICES if before[service] != after[service]} == {"cart"}
    told = store.stage.ok("-p", "store", "ps")
    assert "killed by SIGKILL" in told


def test_data_outlives_down_and_goes_with_its_volumes(store: Store) -> None:
    """Named volumes are kept by `down` and removed by `down --volumes`."""
    store.up()
    volumes = Path(store.stage.home.volume("x")).parents[1]
    store.down()
    kept = sorted(path.name for path in volumes.iterdir())
    assert kept == [f"store_{service}-data" for service in SERVICES if service != "web"]
    store.up()
    store.down("--volumes")
    assert not any(volumes.iterdir())
