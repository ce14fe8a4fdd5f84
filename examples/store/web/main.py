"""Web: the front of the store. Asks the other services, and makes pages of what they say.

It keeps nothing: who is signed in, is a cookie with the session's token. No script is needed anywhere.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pages
from layout import page
from service.peers import Away, Peer
from service.server import Answer, App, Refused, Request
from service.site import account_of, door, fields_of, see_other
from visitor import site, visitor_of

catalog, cart, orders = Peer("catalog"), Peer("cart"), Peer("orders")


def explain(request: Request, error: Exception) -> Answer:
    """Every error is a page that says what to do now."""
    if isinstance(error, Refused) and error.status == 401:
        return see_other(f"/sign-in?next={quote(request.path if request.method == 'GET' else '/cart')}")
    visitor = visitor_of(request)
    if isinstance(error, Away):
        fields = fields_of(request)
        secret = "password" in fields  # not to be sent back and forth: that form is filled in once more
        body = pages.away(error.peer, request.path, {} if secret else fields)
        return page(visitor, "Back in a moment", body, status=503, headers=[("Retry-After", "1")])
    if isinstance(error, Refused):
        return page(visitor, "That did not work", pages.sorry(error.why), status=error.status)
    return page(visitor, "That did not work", pages.sorry("something broke on our side"), status=500)


app = App("web", explain=explain)


@app.route("GET", "/")
def shop(request: Request) -> Answer:
    wanted = {name: request.query.get(name, "").strip() for name in ("q", "category")}
    found = catalog.call("GET", f"/products?{urlencode(wanted)}")["products"]
    categories = catalog.call("GET", "/categories")["categories"]
    body = pages.shop(found, categories, wanted["q"], wanted["category"])
    return page(visitor_of(request), wanted["q"] or wanted["category"] or "Pots for every day", body, q=wanted["q"])


@app.route("GET", "/products/{sku}")
def product(request: Request) -> Answer:
    item = catalog.call("GET", f"/products/{quote(request.params['sku'], safe='')}")
    visitor = visitor_of(request)
    return page(visitor, item["name"], pages.product(item, visitor, added="added" in request.query))


@app.route("GET", "/cart")
def look_into_cart(request: Request) -> Answer:
    return _cart_page(request)


@app.route("POST", "/cart/add")
def add_to_cart(request: Request) -> Answer:
    fields, account = site.form_of(request), account_of(site.session_of(request))
    item = catalog.call("GET", f"/products/{quote(fields.get('sku', ''), safe='')}")
    line = {"sku": item["sku"], "quantity": _number(fields, "quantity")}
    cart.call("POST", f"/carts/{account['id']}/lines", line)
    return see_other(f"/products/{quote(item['sku'])}?added=1")


@app.route("POST", "/cart/set")
def set_quantity(request: Request) -> Answer:
    fields, account = site.form_of(request), account_of(site.session_of(request))
    sku = quote(fields.get("sku", ""), safe="")
    cart.call("PUT", f"/carts/{account['id']}/lines/{sku}", {"quantity": _number(fields, "quantity")})
    return see_other("/cart")


@app.route("POST", "/orders")
def place_order(request: Request) -> Answer:
    fields = site.form_of(request)
    expected = {"expected_total_cents": _number(fields, "expected_total_cents")}
    try:
        order = orders.call("POST", "/orders", expected, token=site.session_of(request), key=fields.get("key", ""))
    except Refused as error:
        if error.status != 409:
            raise
        return _cart_page(request, problem=f"Not ordered: {error.why}.")
    return see_other(f"/orders/{order['number']}?placed=1")


@app.route("GET", "/orders")
def history(request: Request) -> Answer:
    found = orders.call("GET", "/orders", token=_signed_in(request))["orders"]
    return page(visitor_of(request), "Your orders", pages.orders(found))


@app.route("GET", "/orders/{number}")
def order(request: Request) -> Answer:
    number = quote(request.params["number"], safe="")
    found = orders.call("GET", f"/orders/{number}", token=_signed_in(request))
    return page(visitor_of(request), f"Order {number}", pages.order(found, placed="placed" in request.query))


def sign_in(request: Request, fields: dict[str, str], back_to: str, problem: str, status: int) -> Answer:
    visitor = visitor_of(request)
    return page(visitor, "Sign in", pages.sign_in(visitor, back_to, fields.get("email", ""), problem), status=status)


def sign_up(request: Request, fields: dict[str, str], back_to: str, problem: str, status: int) -> Answer:
    visitor, name, email = visitor_of(request), fields.get("name", ""), fields.get("email", "")
    return page(visitor, "Sign up", pages.sign_up(visitor, back_to, name, email, problem), status=status)


door(app, site, sign_in, sign_up)


@app.route("GET", "/style.css")
def style(_request: Request) -> Answer:
    return _file("style.css", "text/css; charset=utf-8")


@app.route("GET", "/icon.svg")
def icon(_request: Request) -> Answer:
    return _file("icon.svg", "image/svg+xml")


def _cart_page(request: Request, problem: str = "") -> Answer:
    account = account_of(site.session_of(request))
    lines = cart.call("GET", f"/carts/{account['id']}")["lines"]
    known = _products([line["sku"] for line in lines])
    lines = [line | {"product": known.get(line["sku"])} for line in lines]
    visitor = visitor_of(request)
    body = pages.cart(lines, visitor, secrets.token_urlsafe(16), problem)
    return page(visitor, "Your cart", body, status=409 if problem else 200)


def _products(skus: list[str]) -> dict[str, dict[str, Any]]:
    if not skus:
        return {}
    found = catalog.call("GET", f"/products?skus={','.join(quote(sku) for sku in skus)}")["products"]
    return {item["sku"]: item for item in found}


def _signed_in(request: Request) -> str:
    session = site.session_of(request)
    if not session:
        raise Refused(401, "sign in first")
    return session


def _number(fields: dict[str, str], name: str) -> int:
    text = fields.get(name, "")
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise Refused(422, f"{name} must be a whole number")
    return int(text)


def _file(name: str, kind: str) -> Answer:
    content = (Path(__file__).parent / name).read_bytes()
    return Answer(200, content, (("Content-Type", kind), ("Cache-Control", "max-age=60")))


if __name__ == "__main__":
    app.serve()
