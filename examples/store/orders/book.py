"""The book of orders: each is entered whole, and never twice.

An order has two things that may exist only once: the key that the caller chose for this attempt, and the
account's cart in the revision that was ordered. So neither a retry nor a second window orders the same cart again.
"""

import sqlite3
import time
from typing import Any

from service.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    account       TEXT NOT NULL,
    key           TEXT NOT NULL,
    cart_revision INTEGER NOT NULL,
    placed_at     REAL NOT NULL,
    total_cents   INTEGER NOT NULL,
    UNIQUE (account, key),
    UNIQUE (account, cart_revision)
);
CREATE TABLE IF NOT EXISTS lines (
    number      INTEGER NOT NULL REFERENCES orders (number),
    sku         TEXT NOT NULL,
    name        TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    quantity    INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (number, sku)
);
"""

Order = dict[str, Any]

_database = Database("orders", SCHEMA)
check = _database.check


def total(lines: list[dict[str, Any]]) -> int:
    return sum(line["price_cents"] * line["quantity"] for line in lines)


def enter(account: str, key: str, cart_revision: int, lines: list[dict[str, Any]]) -> tuple[Order, bool]:
    """Enter an order with its lines. Returns it, or the one that was made of the same attempt before; is it new?"""
    with _database.transaction() as db:
        is_new = db.execute(
            "INSERT INTO orders (account, key, cart_revision, placed_at, total_cents) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING RETURNING number",
            (account, key, cart_revision, time.time(), total(lines)),
        ).fetchone()
        if is_new:
            db.executemany(
                "INSERT INTO lines VALUES (:number, :sku, :name, :price_cents, :quantity)",
                [line | {"number": is_new["number"]} for line in lines],
            )
        same = "account = ? AND (key = ? OR cart_revision = ?)"
        return _orders(db, same, account, key, cart_revision)[0], is_new is not None


def with_key(account: str, key: str) -> Order | None:
    with _database.reading() as db:
        return next(iter(_orders(db, "account = ? AND key = ?", account, key)), None)


def with_cart(account: str, cart_revision: int) -> Order | None:
    with _database.reading() as db:
        return next(iter(_orders(db, "account = ? AND cart_revision = ?", account, cart_revision)), None)


def of_account(account: str) -> list[Order]:
    with _database.reading() as db:
        return _orders(db, "account = ?", account)


def _orders(db: sqlite3.Connection, which: str, *values: object) -> list[Order]:
    """The orders for which the condition holds, newest first, with their lines."""
    rows = db.execute(f"SELECT * FROM orders WHERE {which} ORDER BY number DESC", values)
    orders = {row["number"]: dict(row) | {"lines": []} for row in rows}
    lines = db.execute(
        f"SELECT lines.* FROM lines JOIN orders USING (number) WHERE {which} ORDER BY lines.rowid", values
    )
    for row in lines:
        line = dict(row)
        orders[line.pop("number")]["lines"].append(line)
    return list(orders.values())
