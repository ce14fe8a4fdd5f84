"""The web front: pages, forms, and what a person sees when a service is away."""

import re
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from store_processes import Store
from test_catalog import set_price
from window import Form, Window


@pytest.fixture
def window(store: Store) -> Window:
    return Window(store.url("web"))


@pytest.fixture
def ada(window: Window) -> Window:
    """A window in which Ada has just signed up."""
    assert window.sign_up().status == 200
    return window


def test_everybody_can_look_around_and_search(window: Window) -> None:
    """Without an account there are products, categories, search and product pages."""
    assert window.open("/").text.count('<li class="card') == 24
    assert window.open("/?q=celadon").text.count('<li class="card') == 4
    assert window.open("/?category=Bowls").text.count('<li class="card') == 4
    assert "€128.00" in window.open("/products/moon-jar").text
    assert window.open("/products/sun-jar").status == 404


def test_from_sign_up_to_the_order_and_its_history(ada: Window) -> None:
    """The whole way of a customer; the sums are right at each step."""
    ada.put_into_cart("moon-jar", 2)
    ada.put_into_cart("espresso-cup", 1)
    cart = ada.open("/cart")
    assert "€256.00" in cart.text
    assert "€270.00" in cart.text
    cart = ada.send(next(f for f in cart.forms if f.fields.get("sku") == "moon-jar"), quantity=1)
    assert "€142.00" in cart.text
    order = ada.send(cart.form("/orders"))
    assert order.status == 200
    assert re.fullmatch(r"/orders/\d+\?placed=1", order.path)
    assert "€142.00" in order.text
    assert "It is empty" in ada.open("/cart").text
    history = ada.open("/orders").text
    assert "€142.00" in history
    assert "2 pieces" in history


def test_sending_the_order_twice_makes_one_order(ada: Window) -> None:
    """The button pressed twice, or the page reloaded: the form has a key of its own."""
    ada.put_into_cart("moon-jar")
    form = ada.open("/cart").form("/orders")
    assert ada.send(form).path == ada.send(form).path
    assert ada.open("/orders").text.count('href="/orders/') == 1


def test_signing_out_and_in_again(ada: Window) -> None:
    """The cart belongs to the account, not to the browser."""
    ada.put_into_cart("moon-jar")
    ada.send(ada.open("/").form("/sign-out"))
    assert "session" not in ada.cookies
    assert ada.open("/cart").path == "/sign-in?next=/cart"
    form = ada.open("/cart").form("/sign-in")
    wrong = ada.send(form, email="ada@example.org", password="correct house")
    assert wrong.status == 401
    assert "do not match" in wrong.text
    assert "correct house" not in wrong.text
    back = ada.send(form, email="ada@example.org", password="correct horse")
    assert back.path == "/cart"
    assert "Moon jar" in back.text


def test_a_session_that_ended_leads_to_the_sign_in_page(tmp_path: Path) -> None:
    """And from there back to where one was."""
    store = Store(tmp_path, {"SESSION_SECONDS": "0"})
    try:
        store.start()
        window = Window(store.url("web"))
        window.sign_up()
        assert window.open("/orders").path == "/sign-in?next=/orders"
        assert window.open("/").status == 200
    finally:
        store.stop_all()


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\r\nX-Evil: 1"])
def test_after_sign_in_nobody_is_led_out_of_the_store(window: Window, target: str) -> None:
    """`next` is a path of the store, whatever a link says."""
    form = window.open("/sign-up").form("/sign-up")
    page = window.send(form, name="Ada", email="ada@example.org", password="correct horse", next=target)
    assert (page.status, page.path) == (200, "/")


def test_a_form_from_elsewhere_is_refused(ada: Window, store: Store) -> None:
    """Without the token of this browser's own pages nothing is changed, for any form there is."""
    ada.put_into_cart("moon-jar")
    stranger = Window(store.url("web"))
    foreign = stranger.open("/sign-in").form("/sign-in").fields["form_token"]
    forms = [*ada.open("/cart").forms, *ada.open("/products/moon-jar").forms]
    own = {form.action: form for form in forms if form.method == "post"}
    own["/sign-in"] = Form("post", "/sign-in", {"email": "ada@example.org", "password": "correct horse"})
    own["/sign-up"] = Form("post", "/sign-up", {"email": "eve@example.org", "name": "E", "password": "correct horse"})
    assert set(own) == {"/cart/add", "/cart/set", "/orders", "/sign-out", "/sign-in", "/sign-up"}
    for form in own.values():
        for token in ("", "0" * 64, foreign, "ü"):
            assert ada.send(form, form_token=token).status == 403
    assert "€128.00" in ada.open("/cart").text
    assert "None yet" in ada.open("/orders").text


def test_cookies_are_out_of_reach_for_scripts_and_other_sites(ada: Window) -> None:
    """HttpOnly and SameSite, for each of them."""
    assert {header.partition("=")[0] for header in ada.set_cookie} == {"session", "browser"}
    assert all("; HttpOnly; SameSite=Lax" in header for header in ada.set_cookie)


def test_what_people_write_is_shown_as_they_wrote_it(window: Window, store: Store, tmp_path: Path) -> None:
    """Names, searches, messages and product names are never markup."""
    evil = "<script>alert('x')</script>\"'&"
    window.sign_up(name=evil)
    set_name(tmp_path, "moon-jar", evil)
    window.put_into_cart("moon-jar")
    paths = ["/", "/?q=%3Cscript%3E%22%27", "/?category=%3Cscript%3E", "/products/moon-jar", "/cart", "/sign-in"]
    pages = [window.open(path) for path in paths]
    pages.append(window.send(pages[4].form("/orders")))
    pages.append(window.open("/products/%3Cscript%3Ealert"))
    for page in pages:
        assert "<script" not in page.text, page.path
        assert page.headers["content-security-policy"].startswith("default-src 'none';")
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&#x27;&amp;" in pages[3].text


def set_name(directory: Path, sku: str, name: str) -> None:
    import sqlite3

    with sqlite3.connect(directory / "catalog" / "catalog.sqlite3") as db:
        db.execute("UPDATE products SET name = ? WHERE sku = ?", (name, sku))
    db.close()


def test_pages_ask_nobody_else_for_anything(window: Window) -> None:
    """Everything on a page comes from the store itself."""
    for path in ("/", "/products/moon-jar", "/sign-in", "/style.css", "/icon.svg"):
        text = window.open(path).text.replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "://" not in text, path


def test_every_picture_is_well_formed_and_says_what_it_shows(window: Window) -> None:
    """An SVG for each product, drawn from its attributes, with a label for those who do not see it."""
    pictures = re.findall(r"<svg viewBox=.0 0 240 240.*?</svg>", window.open("/?q=e").text, re.DOTALL)
    labels = [ElementTree.fromstring(picture).get("aria-label") for picture in pictures]
    assert len(labels) == len(set(labels)) == 24
    assert "Moon jar: cream glaze, plain" in labels


def test_the_price_on_the_page_is_the_price_that_is_paid(ada: Window, tmp_path: Path) -> None:
    """When it changed in between, the cart is shown again with the new one."""
    ada.put_into_cart("moon-jar")
    cart = ada.open("/cart")
    set_price(tmp_path, "moon-jar", 13000)
    again = ada.send(cart.form("/orders"))
    assert again.status == 409
    assert "Not ordered" in again.text
    assert "€130.00" in again.text
    assert ada.send(again.form("/orders")).status == 200


def test_a_crash_of_half_a_second_is_not_noticed(ada: Window, store: Store) -> None:
    """The front waits for a service that is being started again."""
    ada.put_into_cart("moon-jar")
    form = ada.open("/cart").form("/orders")
    store.kill("orders")
    back = threading.Timer(0.5, store.start, ["orders"])
    back.start()
    try:
        assert ada.send(form).status == 200
    finally:
        back.join()


def test_an_order_that_has_to_wait_is_sent_again_with_one_button(ada: Window, store: Store) -> None:
    """While orders is away the page says so, keeps the form, and the cart is as it was."""
    ada.put_into_cart("moon-jar")
    form = ada.open("/cart").form("/orders")
    store.kill("orders")
    away = ada.send(form)
    assert (away.status, away.headers["retry-after"]) == (503, "1")
    assert "Orders are resting" in away.text
    assert "€128.00" in ada.open("/cart").text
    store.start("orders")
    assert ada.send(away.form("/orders")).status == 200
    assert "It is empty" in ada.open("/cart").text


@pytest.mark.parametrize(
    ("peer", "path", "says"),
    [
        ("accounts", "/cart", "The door is being oiled"),
        ("catalog", "/", "The shelves are being dusted"),
        ("cart", "/cart", "Your cart is resting"),
        ("orders", "/orders", "Orders are resting"),
    ],
)
def test_each_service_that_is_away_has_a_friendly_page(
    ada: Window, store: Store, peer: str, path: str, says: str
) -> None:
    """And it is gone as soon as the service is back."""
    store.kill(peer)
    page = ada.open(path)
    assert page.status == 503
    assert says in page.text
    store.start(peer)
    assert ada.open(path).status == 200


def test_a_password_is_never_sent_back(window: Window, store: Store) -> None:
    """When accounts is away, the sign-up form has to be filled in again."""
    form = window.open("/sign-up").form("/sign-up")
    store.kill("accounts")
    away = window.send(form, name="Ada", email="ada@example.org", password="correct horse")
    assert away.status == 503
    assert "correct horse" not in away.text


def test_looking_around_goes_on_without_accounts_and_cart(ada: Window, store: Store) -> None:
    """What a page can do without, it does without, and soon."""
    store.kill("accounts")
    store.kill("cart")
    assert ada.open("/").text.count('<li class="card') == 24
    assert ada.open("/products/moon-jar").status == 200


def test_everything_is_still_there_after_all_were_stopped(ada: Window, store: Store) -> None:
    """Accounts, session, cart and orders: each in its own file."""
    ada.put_into_cart("moon-jar")
    order = ada.send(ada.open("/cart").form("/orders"))
    ada.put_into_cart("amphora")
    for name in ("web", "orders", "cart", "catalog", "accounts"):
        assert store.stop(name) == 0
    store.start()
    assert "€128.00" in ada.open(order.path).text
    assert "Amphora" in ada.open("/cart").text


def test_a_form_that_was_opened_before_a_restart_still_works(ada: Window, store: Store) -> None:
    """The front remembers nothing, so it can be started again at any time."""
    ada.put_into_cart("moon-jar")
    form = ada.open("/cart").form("/orders")
    store.kill("web")
    store.start("web")
    assert ada.send(form).status == 200
