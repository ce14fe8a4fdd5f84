"""Catalog: what is sold, and for how much.

GET /products?q=WORDS&category=NAME    200 {"products": [...]}  each word occurs somewhere in the product
GET /products?skus=A,B,C               200 {"products": [...]}  just these, as far as they exist
GET /products/SKU                      200 the product
GET /categories                        200 {"categories": [{"name", "products"}]}
"""

import json
from pathlib import Path
from typing import Any

from service.database import Database
from service.server import Answer, App, Refused, Request, answer

COLUMNS = (
    "sku", "name", "category", "price_cents", "description", "form", "glaze", "pattern", "width_mm", "height_mm",
)  # fmt: skip

SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    sku         TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    category    TEXT NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents > 0),
    description TEXT NOT NULL,
    form        TEXT NOT NULL,
    glaze       TEXT NOT NULL,
    pattern     TEXT NOT NULL,
    width_mm    INTEGER NOT NULL,
    height_mm   INTEGER NOT NULL
);
"""

database = Database("catalog", SCHEMA)
app = App("catalog", health=database.check)


def seed() -> None:
    """On the very first start the shelves are filled; later the file is the truth, not this folder."""
    with database.transaction() as db:
        if db.execute("SELECT 1 FROM products").fetchone():
            return
        products = json.loads((Path(__file__).parent / "products.json").read_bytes())
        values = ", ".join(f":{column}" for column in COLUMNS)
        db.executemany(f"INSERT INTO products ({', '.join(COLUMNS)}) VALUES ({values})", products)


@app.route("GET", "/products")
def products(request: Request) -> Answer:
    skus = request.query.get("skus")
    if skus is not None:
        wanted = skus.split(",")[:200]
        return answer({"products": _find([f"sku IN ({', '.join('?' * len(wanted))})"], wanted)})
    conditions, values = [], []
    if category := request.query.get("category"):
        conditions.append("category = ? COLLATE NOCASE")
        values.append(category)
    for word in request.query.get("q", "").split()[:8]:
        # instr and not LIKE, so that % and _ are just characters.
        conditions.append("instr(lower(name || ' ' || category || ' ' || glaze || ' ' || description), ?)")
        values.append(word.lower())
    return answer({"products": _find(conditions, values)})


@app.route("GET", "/products/{sku}")
def product(request: Request) -> Answer:
    found = _find(["sku = ?"], [request.params["sku"]])
    if not found:
        raise Refused(404, "there is no such product")
    return answer(found[0])


@app.route("GET", "/categories")
def categories(_request: Request) -> Answer:
    with database.reading() as db:
        rows = db.execute(
            "SELECT category AS name, count(*) AS products FROM products GROUP BY category ORDER BY category"
        )
        return answer({"categories": [dict(row) for row in rows]})


def _find(conditions: list[str], values: list[str]) -> list[dict[str, Any]]:
    where = " AND ".join(conditions) or "true"
    with database.reading() as db:
        rows = db.execute(f"SELECT * FROM products WHERE {where} ORDER BY rowid", values)
        return [dict(row) for row in rows]


if __name__ == "__main__":
    seed()
    app.serve()
