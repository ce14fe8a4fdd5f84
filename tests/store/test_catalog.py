"""Catalog: products and search."""

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from store_processes import Store


def found(store: Store, **query: str) -> list[dict[str, Any]]:
    status, answer = store.ask("catalog", "GET", f"/products?{urlencode(query)}")
    assert status == 200
    products: list[dict[str, Any]] = answer["products"]
    return products


def names(products: list[dict[str, Any]]) -> set[str]:
    return {product["name"] for product in products}


def test_a_new_catalog_has_two_dozen_products_in_every_category(store: Store) -> None:
    """The shelves are filled at the first start, with prices in whole cents."""
    products = found(store)
    assert len(products) == 24
    assert all(type(product["price_cents"]) is int and product["price_cents"] > 0 for product in products)
    categories = store.ask("catalog", "GET", "/categories")[1]["categories"]
    assert {c["name"] for c in categories} == {product["category"] for product in products}
    assert sum(c["products"] for c in categories) == 24


def test_search_finds_every_word_wherever_it_stands(store: Store) -> None:
    """Words are looked for in name, category, glaze and description, in any case and order."""
    assert names(found(store, q="moon")) == {"Moon jar"}
    assert names(found(store, q="JUG sea")) == {"Water jug"}
    assert names(found(store, q="porridge")) == {"Breakfast bowl"}
    assert found(store, q="moon porridge") == []


def test_search_takes_special_characters_as_they_are(store: Store) -> None:
    """Nothing in a search is a wildcard or SQL."""
    for q in ("%", "_", "'", '"; DROP TABLE products; --'):
        assert found(store, q=q) in ([], [p for p in found(store) if q in p["description"] + p["name"]])
    assert len(found(store)) == 24


def test_a_category_and_words_narrow_the_list_together(store: Store) -> None:
    """Both conditions hold for what is found."""
    assert {product["category"] for product in found(store, category="Vases")} == {"Vases"}
    assert names(found(store, category="vases", q="ink")) == {"Branch vase"}


def test_products_are_found_by_sku_and_unknown_ones_left_out(store: Store) -> None:
    """One by its path, several by a list."""
    assert store.ask("catalog", "GET", "/products/moon-jar")[1]["name"] == "Moon jar"
    assert store.ask("catalog", "GET", "/products/sun-jar")[0] == 404
    assert names(found(store, skus="moon-jar,sun-jar,amphora")) == {"Moon jar", "Amphora"}


def test_a_changed_price_survives_a_restart(store: Store, tmp_path: Path) -> None:
    """Only an empty catalog is filled; afterwards its own file is the truth."""
    store.stop("catalog")
    set_price(tmp_path, "moon-jar", 1)
    store.start("catalog")
    assert store.ask("catalog", "GET", "/products/moon-jar")[1]["price_cents"] == 1
    assert len(found(store)) == 24


def set_price(directory: Path, sku: str, cents: int) -> None:
    with sqlite3.connect(directory / "catalog" / "catalog.sqlite3") as db:
        db.execute("UPDATE products SET price_cents = ? WHERE sku = ?", (cents, sku))
    db.close()
