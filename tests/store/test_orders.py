"""Orders: a cart becomes an order, once, whatever fails in between."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from store_processes import Store, eventually
from test_catalog import set_price

KEY = "key-of-the-first-attempt"
TOTAL = 2 * 12800 + 1400  # two moon jars and an espresso cup


@pytest.fixture
def buyer(store: Store) -> tuple[str, str]:
    """An account with a full cart, and its token."""
    account, token = store.signed_in()
    fill(store, account)
    return account, token


def fill(store: Store, account: str) -> None:
    for sku, quantity in (("moon-jar", 2), ("espresso-cup", 1)):
        assert store.ask("cart", "POST", f"/carts/{account}/lines", {"sku": sku, "quantity": quantity})[0] == 200


def place(store: Store, token: str, key: str = KEY, total: int = TOTAL) -> tuple[int, dict[str, Any]]:
    return store.ask("orders", "POST", "/orders", {"expected_total_cents": total}, token, key)


def orders(store: Store, token: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.ask("orders", "GET", "/orders", token=token)[1]["orders"]
    return found


def in_cart(store: Store, account: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = store.ask("cart", "GET", f"/carts/{account}")[1]["lines"]
    return lines


def test_an_order_has_the_lines_of_the_cart_and_empties_it(store: Store, buyer: tuple[str, str]) -> None:
    """Names and prices come from the catalog, quantities from the cart, the total is their sum."""
    account, token = buyer
    status, order = place(store, token)
    assert status == 201
    assert order["total_cents"] == TOTAL
    assert order["lines"] == [
        {"sku": "moon-jar", "name": "Moon jar", "price_cents": 12800, "quantity": 2},
        {"sku": "espresso-cup", "name": "Espresso cup", "price_cents": 1400, "quantity": 1},
    ]
    assert in_cart(store, account) == []
    assert orders(store, token) == [order]
    assert store.ask("orders", "GET", f"/orders/{order['number']}", token=token) == (200, order)


def test_a_retry_with_the_same_key_is_the_same_order(store: Store, buyer: tuple[str, str]) -> None:
    """Also when the cart has been filled again in between: that stays in the cart."""
    account, token = buyer
    _, first = place(store, token)
    fill(store, account)
    assert place(store, token) == (200, first)
    assert len(orders(store, token)) == 1
    assert len(in_cart(store, account)) == 2
    assert place(store, token, key="another-attempt")[0] == 201


def test_many_attempts_at_the_same_time_make_one_order(store: Store, buyer: tuple[str, str]) -> None:
    """Neither one impatient finger nor two open windows order the same cart twice."""
    _, token = buyer
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: place(store, token, key=f"window-{n % 2}-{KEY}"), range(16)))
    assert [status for status, _ in answers].count(201) == 1
    assert {status for status, _ in answers} <= {200, 201, 409}, "409: the cart was empty already"
    assert len(orders(store, token)) == 1


def test_a_cart_is_not_ordered_twice_when_it_could_not_be_emptied(store: Store, buyer: tuple[str, str]) -> None:
    """The cart dies before it is emptied: the order stands, and the next attempt finds it."""
    account, token = buyer
    taken = store.ask("cart", "GET", f"/carts/{account}")[1]["revision"]
    _, first = place(store, token)
    put_back_as_if_never_emptied(store, account, taken)
    assert place(store, token, key="from-another-window") == (200, first)
    assert in_cart(store, account) == []
    assert len(orders(store, token)) == 1


def put_back_as_if_never_emptied(store: Store, account: str, revision: int) -> None:
    fill(store, account)
    with sqlite3.connect(store.directory / "cart" / "cart.sqlite3") as db:
        db.execute("UPDATE carts SET revision = ? WHERE account = ?", (revision, account))
    db.close()


def test_without_a_session_nothing_is_ordered_or_shown(store: Store, buyer: tuple[str, str]) -> None:
    """No token, a wrong one, or a session that was signed out."""
    _, token = buyer
    assert place(store, "")[0] == 401
    assert place(store, "made-up")[0] == 401
    store.ask("accounts", "DELETE", "/sessions/current", token=token)
    assert place(store, token)[0] == 401
    assert store.ask("orders", "GET", "/orders", token=token)[0] == 401


def test_nobody_sees_the_orders_of_somebody_else(store: Store, buyer: tuple[str, str]) -> None:
    """An order's number is easy to guess, so it is not enough."""
    _, order = place(store, buyer[1])
    _, stranger = store.signed_in("eve@example.org")
    assert orders(store, stranger) == []
    assert store.ask("orders", "GET", f"/orders/{order['number']}", token=stranger)[0] == 404
    assert place(store, stranger)[0] == 409, "the same key of another account is another key; her cart is empty"


def test_a_price_that_changed_is_not_charged_unseen(store: Store, buyer: tuple[str, str], tmp_path: Path) -> None:
    """The buyer pays what the page said, or is asked to look again; an order keeps its prices afterwards."""
    account, token = buyer
    set_price(tmp_path, "moon-jar", 13000)
    assert place(store, token)[0] == 409
    assert len(in_cart(store, account)) == 2
    status, order = place(store, token, total=2 * 13000 + 1400)
    assert status == 201
    set_price(tmp_path, "moon-jar", 99900)
    assert orders(store, token) == [order]


def test_what_is_no_longer_sold_is_named(store: Store, buyer: tuple[str, str]) -> None:
    """An order with an unknown product is refused as a whole, and the cart stays."""
    account, token = buyer
    store.ask("cart", "POST", f"/carts/{account}/lines", {"sku": "sun-jar", "quantity": 1})
    status, answer = place(store, token)
    assert (status, orders(store, token)) == (409, [])
    assert "sun-jar" in answer["error"]
    assert len(in_cart(store, account)) == 3


def test_an_order_needs_a_key_and_a_full_cart(store: Store) -> None:
    """A caller without an idempotency key would be tempted to ask twice."""
    _, token = store.signed_in()
    assert place(store, token, key="")[0] == 422
    assert place(store, token) == (409, {"error": "the cart is empty"})


def test_orders_survive_a_kill_and_a_restart(store: Store, buyer: tuple[str, str]) -> None:
    """What was answered with 201 is there again, and its key still stands for it."""
    _, token = buyer
    _, order = place(store, token)
    store.kill("orders")
    store.start("orders")
    assert orders(store, token) == [order]
    assert place(store, token) == (200, order)


@pytest.mark.parametrize("peer", ["accounts", "catalog", "cart"])
def test_a_peer_that_is_back_within_a_second_is_waited_for(store: Store, buyer: tuple[str, str], peer: str) -> None:
    """A crash of one service costs the others a pause, not an error."""
    store.kill(peer)
    back = threading.Timer(0.5, store.start, [peer])
    back.start()
    try:
        assert place(store, buyer[1])[0] == 201
    finally:
        back.join()


@pytest.mark.parametrize("peer", ["accounts", "catalog", "cart"])
def test_a_peer_that_stays_away_is_said_to_be_away(store: Store, buyer: tuple[str, str], peer: str) -> None:
    """Nothing is ordered then, and the same attempt succeeds later."""
    store.kill(peer)
    status, answer = place(store, buyer[1])
    assert (status, answer) == (503, {"error": f"{peer} is away; try again"})
    store.start(peer)
    assert place(store, buyer[1])[0] == 201


def test_killing_orders_again_and_again_neither_loses_nor_doubles_an_order(
    store: Store, buyer: tuple[str, str]
) -> None:
    """The process is killed at some point of the work, each time later; whoever asks repeats the attempt."""
    account, token = buyer
    for round_number in range(8):
        if round_number:
            fill(store, account)
        key = f"{KEY}-{round_number}"
        killer = threading.Timer(0.002 * round_number, store.kill, ["orders"])
        killer.start()
        with suppress(OSError, HTTPException):
            place(store, token, key)
        killer.join()
        store.start("orders")
        eventually(lambda key=key: place(store, token, key)[0] in (200, 201), "the order")  # type: ignore[misc]
        assert [order["total_cents"] for order in orders(store, token)] == [TOTAL] * (round_number + 1)
        assert all(len(order["lines"]) == 2 for order in orders(store, token))
        assert in_cart(store, account) == []
