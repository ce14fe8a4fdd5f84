"""Cart: what each account is about to buy.

    GET    /carts/ACCOUNT                                       200 {"lines": [{"sku", "quantity"}], "revision"}
    POST   /carts/ACCOUNT/lines        {"sku", "quantity"}      200 the cart, with that many more
    PUT    /carts/ACCOUNT/lines/SKU    {"quantity"}             200 the cart; 0 takes the line out
    DELETE /carts/ACCOUNT?revision=N                            200 the cart, empty unless it changed since N

The revision goes up with every change, so "empty the cart that was ordered" can be said twice without harm.
Only the front and the orders service reach this one, and both know whose cart they ask for.
"""

import sqlite3
import time
from typing import Any

from service.database import Database
from service.server import Answer, App, Refused, Request, answer

MOST = 99  # of one product

SCHEMA = """
CREATE TABLE IF NOT EXISTS carts (
    account  TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS lines (
    account  TEXT NOT NULL REFERENCES carts (account),
    sku      TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (account, sku)
);
"""

database = Database("cart", SCHEMA)
app = App("cart", health=database.check)


@app.route("GET", "/carts/{account}")
def look(request: Request) -> Answer:
    with database.reading() as db:
        return answer(_cart(db, _account(request)))


@app.route("POST", "/carts/{account}/lines")
def add(request: Request) -> Answer:
    account, sku, more = _account(request), request.text("sku"), request.number("quantity", 1, MOST)
    with database.transaction() as db:
        _changed(db, account)
        db.execute(
            "INSERT INTO lines VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET quantity = min(quantity + ?, ?)",
            (account, sku, more, more, MOST),
        )
        return answer(_cart(db, account))


@app.route("PUT", "/carts/{account}/lines/{sku}")
def set_quantity(request: Request) -> Answer:
    account, sku, quantity = _account(request), request.params["sku"], request.number("quantity", 0, MOST)
    with database.transaction() as db:
        _changed(db, account)
        db.execute("DELETE FROM lines WHERE account = ? AND sku = ?", (account, sku))
        if quantity:
            db.execute("INSERT INTO lines VALUES (?, ?, ?)", (account, sku, quantity))
        return answer(_cart(db, account))


@app.route("DELETE", "/carts/{account}")
def empty(request: Request) -> Answer:
    account, revision = _account(request), request.query.get("revision", "")
    with database.transaction() as db:
        if not revision or revision == str(_revision(db, account)):
            _changed(db, account)
            db.execute("DELETE FROM lines WHERE account = ?", (account,))
        return answer(_cart(db, account))


def _account(request: Request) -> str:
    account = request.params["account"]
    if not account.isalnum() or len(account) > 64:
        raise Refused(404, "there is no such cart")
    return account


def _changed(db: sqlite3.Connection, account: str) -> None:
    # Counted from the clock, so that no revision comes a second time should this file ever be lost.
    first = int(time.time() * 1000)
    db.execute("INSERT INTO carts VALUES (?, ?) ON CONFLICT DO UPDATE SET revision = revision + 1", (account, first))


def _revision(db: sqlite3.Connection, account: str) -> int:
    row = db.execute("SELECT revision FROM carts WHERE account = ?", (account,)).fetchone()
    return row["revision"] if row else 0


def _cart(db: sqlite3.Connection, account: str) -> dict[str, Any]:
    rows = db.execute("SELECT sku, quantity FROM lines WHERE account = ? ORDER BY rowid", (account,))
    return {"lines": [dict(row) for row in rows], "revision": _revision(db, account)}


if __name__ == "__main__":
    app.serve()
