"""The whole store through its web front, in a real browser (Debian's chromium, headless).

The tests know only `store_url` and `kill_orders`, so they run against any way of running the store.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, BrowserContext, Page, expect  # noqa: E402 - needs the line above

CHROMIUM = Path("/usr/bin/chromium")
# It runs as root in tests, and asks nobody for anything but the store.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new page without any cookies."""
    context = browser.new_context()
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


def sign_up(page: Page, store_url: str) -> None:
    page.goto(store_url)
    page.get_by_role("link", name="Sign up").click()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Email").fill("ada@example.org")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def fill_the_cart(page: Page) -> None:
    """A moon jar that was found by searching, and two espresso cups that were found by looking around."""
    page.get_by_label("Search the store").fill("korea")
    page.get_by_label("Search the store").press("Enter")
    page.get_by_role("link", name="Moon jar").click()
    page.get_by_role("button", name="Add to cart").click()
    expect(page.get_by_role("status")).to_contain_text("In your cart")
    page.get_by_role("link", name="Kiln & Table").click()
    page.get_by_role("link", name="Cups", exact=True).click()
    page.get_by_role("link", name="Espresso cup").click()
    page.get_by_label("Quantity").fill("2")
    page.get_by_role("button", name="Add to cart").click()
    page.get_by_role("link", name="Cart 3").click()
    expect(page.get_by_text("Total €156.00")).to_be_visible()


def place_the_order(page: Page, patience: float = 30) -> None:
    """Press the button; as long as orders is away, press the one that the page offers then."""
    until = time.monotonic() + patience
    page.get_by_role("button", name="Place the order").click()
    while not re.search(r"/orders/\d+", page.url):
        assert time.monotonic() < until, page.inner_text("main")
        page.get_by_role("button", name="Try again").click()


def test_an_order_is_there_although_the_orders_service_was_killed(
    page: Page, store_url: str, kill_orders: Callable[[], None]
) -> None:
    """Sign up, look around, fill the cart; orders is killed; order nevertheless, and exactly one order is there."""
    sign_up(page, store_url)
    fill_the_cart(page)
    kill_orders()
    place_the_order(page)
    expect(page.get_by_role("heading", name=re.compile(r"Order \d+"))).to_be_visible()
    expect(page.get_by_role("row", name="Espresso cup 2 €14.00 €28.00")).to_be_visible()
    expect(page.get_by_role("row", name="Total €156.00")).to_be_visible()
    page.get_by_role("link", name="Orders", exact=True).click()
    expect(page.get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_role("listitem")).to_contain_text("€156.00")
    page.get_by_role("link", name="Cart").click()
    expect(page.get_by_text("It is empty")).to_be_visible()


def test_an_order_outlives_a_kill_after_it_was_placed(
    page: Page, store_url: str, kill_orders: Callable[[], None]
) -> None:
    """What the thank-you page said, the history still says after the crash."""
    sign_up(page, store_url)
    fill_the_cart(page)
    place_the_order(page)
    kill_orders()
    page.get_by_role("link", name="All orders").click()
    while page.get_by_role("link", name="Try again").count():
        page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("listitem")).to_contain_text("€156.00")


PATHS = ("/", "/?q=celadon", "/products/moon-jar", "/sign-in", "/sign-up", "/cart", "/orders")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_and_loads_from_nowhere_else(browser: Browser, store_url: str, scheme: str) -> None:
    """No sideways scrolling at 360 pixels, no request to another host, no complaint in the console."""
    context = phone(browser, scheme)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: complaints.append(request.url) if not from_store(request.url) else None)

    def from_store(url: str) -> bool:
        return url.startswith(store_url)

    sign_up(page, store_url)
    for path in ("/products/moon-jar", "/products/windowsill-planter"):
        page.goto(store_url + path)
        page.get_by_label("Quantity").fill("99")
        page.get_by_role("button", name="Add to cart").click()
    for path in PATHS:
        page.goto(store_url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    page.goto(f"{store_url}/cart")
    page.get_by_role("button", name="Place the order").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()
    assert complaints == []


def phone(browser: Browser, scheme: str) -> BrowserContext:
    return browser.new_context(
        viewport={"width": 360, "height": 740}, color_scheme="dark" if scheme == "dark" else "light"
    )


CONTRAST = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!text || element.closest("svg, .unseen, .skip")) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) poor.push(`${element.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""

NAMELESS = """
() => [...document.querySelectorAll("input:not([type=hidden]), button, a, [role=img]")]
  .filter(e => !(e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim()
                 || e.querySelector("[aria-label]")))
  .map(e => e.outerHTML)
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_and_controls_have_names(browser: Browser, store_url: str, scheme: str) -> None:
    """Contrast of at least 4.5 (WCAG 2.1, 1.4.3) and an accessible name for all that can be used (4.1.2)."""
    context = phone(browser, scheme)
    page = context.new_page()
    for path in PATHS:
        page.goto(store_url + path)
        assert page.evaluate(CONTRAST) == [], path
        assert page.evaluate(NAMELESS) == [], path
    sign_up(page, store_url)
    fill_the_cart(page)
    for path in (*PATHS, "/nothing"):
        page.goto(store_url + path)
        assert page.evaluate(CONTRAST) == [], path
        assert page.evaluate(NAMELESS) == [], path
    context.close()
