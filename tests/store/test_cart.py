"""Cart: quantities per account."""

from concurrent.futures import ThreadPoolExecutor

from store_processes import Store


def quantities(store: Store, account: str) -> dict[str, int]:
    lines = store.ask("cart", "GET", f"/carts/{account}")[1]["lines"]
    return {line["sku"]: line["quantity"] for line in lines}


def put_in(store: Store, account: str, sku: str, quantity: object) -> int:
    return store.ask("cart", "POST", f"/carts/{account}/lines", {"sku": sku, "quantity": quantity})[0]


def test_adding_sums_up_and_setting_replaces(store: Store) -> None:
    """The cart has one line per product; a quantity of zero takes it out."""
    put_in(store, "a1", "moon-jar", 2)
    put_in(store, "a1", "amphora", 1)
    put_in(store, "a1", "moon-jar", 3)
    assert quantities(store, "a1") == {"moon-jar": 5, "amphora": 1}
    store.ask("cart", "PUT", "/carts/a1/lines/moon-jar", {"quantity": 4})
    store.ask("cart", "PUT", "/carts/a1/lines/amphora", {"quantity": 0})
    assert quantities(store, "a1") == {"moon-jar": 4}


def test_carts_of_different_accounts_have_nothing_in_common(store: Store) -> None:
    """What one puts in, another does not see."""
    put_in(store, "a1", "moon-jar", 2)
    put_in(store, "b2", "amphora", 1)
    assert quantities(store, "a1") == {"moon-jar": 2}
    assert quantities(store, "b2") == {"amphora": 1}


def test_impossible_quantities_are_refused_and_change_nothing(store: Store) -> None:
    """Zero, negative, too many, a fraction, a word, a truth value."""
    for quantity in (0, -1, 100, 1.5, "2", True, None):
        assert put_in(store, "a1", "moon-jar", quantity) == 422
    assert quantities(store, "a1") == {}


def test_nobody_gets_more_than_99_of_a_product(store: Store) -> None:
    """Adding stops at the limit that setting has."""
    put_in(store, "a1", "moon-jar", 60)
    put_in(store, "a1", "moon-jar", 60)
    assert quantities(store, "a1") == {"moon-jar": 99}


def test_a_cart_that_changed_since_is_not_emptied(store: Store) -> None:
    """Emptying names the revision that it is about, so saying it late or twice does no harm."""
    put_in(store, "a1", "moon-jar", 1)
    ordered = store.ask("cart", "GET", "/carts/a1")[1]["revision"]
    put_in(store, "a1", "amphora", 1)
    store.ask("cart", "DELETE", f"/carts/a1?revision={ordered}")
    assert quantities(store, "a1") == {"moon-jar": 1, "amphora": 1}
    now = store.ask("cart", "GET", "/carts/a1")[1]["revision"]
    store.ask("cart", "DELETE", f"/carts/a1?revision={now}")
    assert quantities(store, "a1") == {}


def test_what_is_added_at_the_same_time_is_all_there(store: Store) -> None:
    """Two windows of one person do not overwrite each other."""
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: put_in(store, "a1", "moon-jar", 1), range(40)))
    assert statuses == [200] * 40
    assert quantities(store, "a1") == {"moon-jar": 40}


def test_a_cart_survives_a_kill(store: Store) -> None:
    """What was answered is on the disk."""
    put_in(store, "a1", "moon-jar", 2)
    store.kill("cart")
    store.start("cart")
    assert quantities(store, "a1") == {"moon-jar": 2}
