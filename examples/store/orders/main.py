"""Orders: turns a cart into an order, once.

    POST /orders          {"expected_total_cents"}  Idempotency-Key: KEY    201 the order; 200 if it was made before
    GET  /orders                                                            200 {"orders": [...]}, newest first
    GET  /orders/NUMBER                                                     200 the order

All with Authorization: Bearer TOKEN. An order is {"number", "placed_at", "total_cents", "lines": [{"sku", "name",
"price_cents", "quantity"}]}: names and prices as they were, whatever the catalog says later.
"""

from typing import Any
from urllib.parse import quote

import book
from service.peers import Away, Peer
from service.server import Answer, App, Refused, Request, answer

accounts, catalog, cart = Peer("accounts"), Peer("catalog"), Peer("cart")
app = App("orders", health=book.check)


@app.route("POST", "/orders")
def place(request: Request) -> Answer:
    account = _account(request)
    expected = request.number("expected_total_cents", 0, 10**12)
    key = request.headers.get("idempotency-key", "")
    if not 8 <= len(key) <= 100:
        raise Refused(422, "an Idempotency-Key of 8 to 100 characters is needed")
    order, is_new = book.with_key(account, key), False
    if order is None:
        order, is_new = _order_cart(account, key, expected)
    _empty_cart(account, order["cart_revision"])
    return answer(_public(order), 201 if is_new else 200)


@app.route("GET", "/orders")
def history(request: Request) -> Answer:
    return answer({"orders": [_public(order) for order in book.of_account(_account(request))]})


@app.route("GET", "/orders/{number}")
def look(request: Request) -> Answer:
    number = request.params["number"]
    found = [order for order in book.of_account(_account(request)) if str(order["number"]) == number]
    if not found:
        raise Refused(404, "there is no such order")
    return answer(_public(found[0]))


def _account(request: Request) -> str:
    """Who asks, as accounts says. A session that has ended is refused there, and so here."""
    return str(accounts.call("GET", "/sessions/current", token=request.bearer())["account"]["id"])


def _order_cart(account: str, key: str, expected: int) -> tuple[book.Order, bool]:
    """Enter the cart as an order. The customer pays what was on the page, or is asked to look again."""
    taken = cart.call("GET", f"/carts/{account}")
    before = book.with_cart(account, taken["revision"])
    if before:
        return before, False
    lines = _priced(taken["lines"])
    if book.total(lines) != expected:
        raise Refused(409, "a price or the cart has changed; look at the cart again")
    return book.enter(account, key, taken["revision"], lines)


def _priced(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cart's lines with the names and prices of this moment."""
    if not lines:
        raise Refused(409, "the cart is empty")
    skus = ",".join(quote(line["sku"]) for line in lines)
    known = {product["sku"]: product for product in catalog.call("GET", f"/products?skus={skus}")["products"]}
    gone = [line["sku"] for line in lines if line["sku"] not in known]
    if gone:
        raise Refused(409, f"no longer sold: {', '.join(gone)}; take it out of the cart")
    return [line | {name: known[line["sku"]][name] for name in ("name", "price_cents")} for line in lines]


def _empty_cart(account: str, revision: int) -> None:
    """The order stands, whether or not the cart answers: the same cart cannot be ordered again."""
    try:
        cart.call("DELETE", f"/carts/{account}?revision={revision}")
    except Away as error:
        print(f"orders: cart of account {account} is not emptied: {error}", flush=True)


def _public(order: dict[str, Any]) -> dict[str, Any]:
    return {name: order[name] for name in ("number", "placed_at", "total_cents", "lines")}


if __name__ == "__main__":
    app.serve()
