"""The book of orders by itself: what its file never allows."""

from __future__ import annotations

import importlib
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from store_processes import LIB, STORE

JAR = {"sku": "moon-jar", "name": "Moon jar", "price_cents": 12800, "quantity": 2}
CUP = {"sku": "espresso-cup", "name": "Espresso cup", "price_cents": 1400, "quantity": 1}


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, on a file of this test alone."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.syspath_prepend(str(LIB))
    monkeypatch.syspath_prepend(str(STORE / "orders"))
    yield importlib.import_module("book")
    del sys.modules["book"]


def test_the_same_key_or_the_same_cart_is_the_same_order(book: Any) -> None:
    """Whatever else is different then, the order that is there stays as it is."""
    first, is_new = book.enter("ada", "key-1", 7, [JAR, CUP])
    assert (is_new, first["total_cents"], len(first["lines"])) == (True, 27000, 2)
    assert book.enter("ada", "key-1", 8, [JAR]) == (first, False)
    assert book.enter("ada", "key-2", 7, [CUP]) == (first, False)
    assert book.of_account("ada") == [first]


def test_another_account_may_have_the_same_key_and_revision(book: Any) -> None:
    """Neither says anything across accounts."""
    book.enter("ada", "key-1", 7, [JAR])
    theirs, is_new = book.enter("bob", "key-1", 7, [CUP])
    assert is_new
    assert book.of_account("bob") == [theirs]
    assert book.with_key("eve", "key-1") is None
    assert book.with_cart("eve", 7) is None


def test_an_order_with_an_impossible_line_is_not_entered_in_part(book: Any) -> None:
    """All of an order or nothing: its key and its cart are free afterwards."""
    with pytest.raises(sqlite3.IntegrityError):
        book.enter("ada", "key-1", 7, [JAR, CUP | {"quantity": 0}])
    assert book.of_account("ada") == []
    assert book.enter("ada", "key-1", 7, [JAR, CUP])[1]
