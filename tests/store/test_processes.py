"""What all five services have in common: health, a clean end, one line per request, small bodies."""

import re
import socket
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest
from store_processes import LIB, SERVICES, Store, eventually, folder_of


@pytest.mark.parametrize("name", SERVICES)
def test_sigterm_ends_a_service_at_once(store: Store, name: str) -> None:
    """Also while a browser holds a connection on which it says nothing."""
    with socket.create_connection(("127.0.0.1", store.ports[name])):
        began = time.monotonic()
        assert store.stop(name) == 0
    assert time.monotonic() - began < 1
    assert store.log(name)().endswith("stopped\n")


def test_what_is_being_answered_at_sigterm_is_answered(store: Store) -> None:
    """Signing in takes a tenth of a second; the service waits for it before it goes."""
    store.signed_in()
    connection = HTTPConnection("127.0.0.1", store.ports["accounts"], timeout=10)
    connection.request("POST", "/sessions", '{"email": "ada@example.org", "password": "correct horse"}')
    time.sleep(0.03)  # the request is under way then
    assert store.stop("accounts") == 0
    assert connection.getresponse().status == 201
    connection.close()


@pytest.mark.parametrize("name", ["accounts", "catalog", "cart", "orders"])
def test_a_service_whose_file_is_broken_says_that_it_is_not_healthy(store: Store, name: str, tmp_path: Path) -> None:
    """Health is about being able to work, not about being there."""
    for path in (tmp_path / name).glob("*.sqlite3*"):
        path.write_bytes(b"this is not a database" * 1000)
    eventually(lambda: store.ask(name, "GET", "/health")[0] == 500, f"{name} to say it is not healthy")


def test_each_request_is_one_line_in_the_log(store: Store) -> None:
    """Whatever is in the path: a line break cannot forge a second line."""
    with socket.create_connection(("127.0.0.1", store.ports["catalog"])) as client:
        client.sendall(b"GET /products/a\x1b[31m\rHELLO HTTP/1.0\r\n\r\n")
        while client.recv(4096):
            pass
    store.ask("catalog", "GET", "/products/moon-jar")
    eventually(lambda: "GET /products/moon-jar 200" in store.log("catalog")(), "the line")
    assert "\x1b" not in store.log("catalog")()
    assert not any(line.startswith("HELLO") for line in store.log("catalog")().splitlines())


def test_unknown_paths_methods_and_large_bodies_are_refused(store: Store) -> None:
    """With a status that says which of these it was, and the service goes on."""
    assert store.ask("cart", "GET", "/nothing")[0] == 404
    assert store.ask("cart", "POST", "/carts/a1")[0] == 405
    assert store.ask("cart", "POST", "/carts/a1/lines", {"sku": "x" * 70_000, "quantity": 1})[0] == 413
    assert store.is_healthy("cart")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET //[ HTTP/1.0\r\n\r\n",
        b"GET /%ff%00 HTTP/1.0\r\n\r\n",
        b"POST /products HTTP/1.0\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /products HTTP/1.0\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_what_makes_no_sense_is_refused_with_an_answer(store: Store, sent: bytes) -> None:
    """A strange request gets a status like any other; nothing in the log looks like a crash."""
    with socket.create_connection(("127.0.0.1", store.ports["catalog"])) as client:
        client.sendall(sent)
        assert re.match(rb"HTTP/1.0 4\d\d ", client.recv(4096))
    assert "Error" not in store.log("catalog")()


def test_accounts_and_the_shared_modules_know_nothing_of_the_store() -> None:
    """Another application can share them; only an example in a docstring may speak of products."""
    for source in folder_of("accounts").glob("*.py"):
        assert not [word for word in ("cart", "catalog", "product", "price") if word in source.read_text()], source
    for source in LIB.rglob("*.py"):
        assert not [word for word in ("cart", "price", "orders") if word in source.read_text()], source
