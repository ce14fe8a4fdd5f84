"""The page over the real store, in a real browser: what a person sees, and when."""

from __future__ import annotations

import math
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from whole.room import Room
from whole.stage import Stage, idle, py, sh, until
from whole.test_store import Store

from orchestra.client import Connection
from orchestra.errors import OrchestraError

from .conftest import CHROMIUM, Dashboard, Watched

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kernel,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"{CHROMIUM} is not installed"),
]
STATIC = Path(__file__).parents[2] / "orchestra/dashboard/static"

# A cause that one can read: cart answers nobody, orders waits for it.
SHOP = {
    "cart": py(
        "import time; print('ready to sell'); time.sleep(3000)",
        healthcheck={"tcp": 9, "start_interval": "100ms", "interval": "200ms", "retries": 1},
    ),
    "orders": idle(depends_on={"cart": {"condition": "service_healthy"}}),
    "job": py('print(\'level=error msg="it broke"\'); print(\'{"level": "info", "sold": 3}\')'),
}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    store = Store()
    store.up()
    yield store
    store.stage.close()


@pytest.fixture(scope="module")
def stage(store: Store) -> Stage:
    store.stage.write({"name": "shop", "services": SHOP})
    store.stage.run("up", "-d", "stack.yml")  # orders never comes, and that is what is to be seen
    return store.stage


@pytest.fixture(scope="module")
def dashboard(stage: Stage, room: Room) -> Iterator[Dashboard]:
    dashboard = Dashboard(stage)
    room.open(dashboard.port)
    yield dashboard
    dashboard.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, dashboard: Dashboard) -> Any:
    """What a browser keeps after it was let in: a link is good for one."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(dashboard.link)
    expect(service(page, "store", "web")).to_be_visible()
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def page(browser: Browser, dashboard: Dashboard, signed_in: Any) -> Iterator[Page]:
    """A page that does nothing wrong: no error, no request to anybody else."""
    context = browser.new_context(storage_state=signed_in, viewport={"width": 1360, "height": 850})
    context.set_default_timeout(20_000)
    page = context.new_page()
    watched = Watched(page, dashboard.url)
    yield page
    context.close()
    assert watched.wrong == []


def service(page: Page, stack: str, name: str) -> Any:
    return page.locator(f"tr.service[data-stack='{stack}'][data-service='{name}']")


def test_the_overview_shows_every_service_of_every_stack(page: Page, dashboard: Dashboard) -> None:
    """State in words, replicas, and the link to what is published; who should be looked at comes first."""
    page.goto(dashboard.url)
    for name in ("accounts", "cart", "catalog", "orders", "web"):
        expect(service(page, "store", name)).to_contain_text("healthy")
        expect(service(page, "store", name)).to_contain_text("1/1")
    expect(service(page, "store", "web").get_by_role("link", name=re.compile(r":\d+"))).to_be_visible()
    expect(page.locator("tr.service").first).to_have_attribute("data-service", "cart")
    expect(page.locator("tr.service").first).to_have_attribute("data-level", "bad")
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    shop = page.get_by_role("region", name="stack shop")
    expect(service(page, "shop", "job")).to_contain_text("finished")
    expect(shop.locator("header orc-state")).to_have_text("1/3")  # the job has done its work


def test_the_cause_is_read_without_a_click(page: Page, dashboard: Dashboard) -> None:
    """Who waits, for whom, since when that is unwell, and what its probe says."""
    page.goto(dashboard.url)
    why = page.locator("orc-why[stack=shop][service=orders]")
    expect(why).to_contain_text(
        re.compile(r"orders is waiting.*cart is unhealthy since \d\d:\d\d.*connection refused")
    )
    expect(why).to_be_in_viewport()


WATCH = """
(service) => {
  const row = document.querySelector(`tr.service[data-stack=store][data-service=${service}]`);
  window.seen = [];
  new MutationObserver(() => window.seen.push([performance.now(), row.dataset.level]))
    .observe(row, {attributes: true, attributeFilter: ["data-level"]});
}
"""


def test_who_shares_what_with_whom_is_shown(page: Page, dashboard: Dashboard) -> None:
    """At the service of its owner, and at the name that it has with its user; there it cannot be stopped."""
    page.goto(dashboard.url)
    expect(service(page, "accounts", "accounts")).to_contain_text("used by store")
    expect(service(page, "store", "accounts")).to_contain_text("shared by accounts")
    expect(service(page, "store", "accounts").get_by_role("button")).to_have_count(0)


def green_after_red(levels: list[tuple[float, str]]) -> float | None:
    """When it was good again, None while it has not been bad and good since."""
    red = next((moment for moment, level in levels if level == "bad"), math.inf)
    return next((moment for moment, level in levels if level == "good" and moment > red), None)


def test_a_killed_service_turns_red_and_green_again_within_two_seconds(
    page: Page, dashboard: Dashboard, store: Store
) -> None:
    """Both are to be seen, however fast it came back."""
    page.goto(dashboard.url)
    expect(service(page, "store", "orders")).to_have_attribute("data-level", "good")
    page.evaluate(WATCH, "orders")
    before = page.evaluate("performance.now()")
    store.kill("orders")
    green = until(lambda: green_after_red(page.evaluate("window.seen")), "it was red, then green")
    assert green - before < 2000
    expect(service(page, "store", "orders").locator(".c-restarts")).to_have_text(re.compile("[1-9]"))


def test_a_restart_shows_its_result_and_the_same_command(page: Page, dashboard: Dashboard, store: Store) -> None:
    """In place, beside the service."""
    page.goto(dashboard.url)
    before = store.row("catalog")["Pid"]
    service(page, "store", "catalog").get_by_role("button", name="restart catalog").click()
    result = page.locator("tr.did[data-stack=store][data-service=catalog] .deed")
    expect(result).to_contain_text("restarted in")
    expect(result.locator("code")).to_have_text("orchestra -p store restart catalog")
    assert store.row("catalog")["Pid"] not in (None, before)


def test_a_paused_service_says_so_and_offers_to_go_on(page: Page, dashboard: Dashboard, stage: Stage) -> None:
    """In a word, in the sentence with the command, at the button, and in the graph: not ill, and not well either."""
    stage.ok("-p", "store", "pause", "catalog")
    page.goto(dashboard.url)
    row, why = service(page, "store", "catalog"), page.locator("orc-why[stack=store][service=catalog]")
    expect(row).to_have_attribute("data-level", "off")
    expect(row).to_contain_text("paused")
    expect(why).to_contain_text("catalog is paused by hand")
    expect(why.locator("code")).to_have_text("orchestra -p store unpause catalog")
    expect(row.get_by_role("button", name="restart catalog")).to_be_hidden()
    page.goto(f"{dashboard.url}/graph")
    node = page.locator(".node[data-id='store/catalog']")
    expect(node).to_have_class("node off")
    expect(node).to_contain_text("paused")
    # Who waits for whom is read whole.
    expect(page.locator(".node[data-id='shop/orders'] .node-state")).to_contain_text("blocked by cart (unhealthy")
    cut = "all => all.filter(one => one.scrollHeight > one.clientHeight).map(one => one.textContent)"
    assert page.locator(".node-state").evaluate_all(cut) == []
    page.goto(dashboard.url)
    row.get_by_role("button", name="resume catalog").click()
    expect(row).to_have_attribute("data-level", "good")
    expect(why).to_be_hidden()
    expect(page.locator("tr.did[data-stack=store][data-service=catalog] code")).to_have_text(
        "orchestra -p store unpause catalog"
    )


def test_what_fails_is_said_in_place(page: Page, dashboard: Dashboard) -> None:
    """With the words of the supervisor."""
    page.goto(dashboard.url)
    service(page, "shop", "orders").get_by_role("button", name="restart orders").click()
    result = page.locator("tr.did[data-stack=shop][data-service=orders] .deed")
    expect(result).to_contain_text(re.compile("could not restart|restarted in"))


def test_only_what_loses_data_is_asked_twice(page: Page, dashboard: Dashboard) -> None:
    """Volumes are named; saying no leaves everything."""
    page.goto(dashboard.url)
    page.get_by_role("button", name="more for all of shop").click()
    page.get_by_role("menuitem", name="Take down with volumes").click()
    expect(page.get_by_role("dialog")).to_contain_text("cannot be undone")
    page.get_by_role("button", name="Cancel").click()
    expect(service(page, "shop", "cart")).to_be_visible()


def test_logs_stream_and_stored_ones_are_found(page: Page, dashboard: Dashboard, stage: Stage) -> None:
    """New lines by themselves, old ones by text, by level, and by an address."""
    page.goto(f"{dashboard.url}/logs?stack=shop")
    expect(page.get_by_text("ready to sell")).to_be_visible()
    expect(page.locator(".log-row.mark").first).to_be_visible()
    stage.ok("-p", "shop", "restart", "job")
    expect(page.get_by_text("it broke")).to_have_count(2)
    page.get_by_label("search in logs").fill("ready to")
    expect(page.locator(".log-row:visible")).to_have_count(1)
    page.get_by_label("search in logs").fill("")
    page.get_by_label("level").select_option("error")
    expect(page.locator(".log-row.level-error").first).to_be_visible()
    expect(page.get_by_text("ready to sell")).to_have_count(0)
    page.goto(f"{dashboard.url}/logs?stack=shop&service=job&q=sold.%2B3&regex=1")
    expect(page.get_by_label("search in logs")).to_have_value("sold.+3")
    line = page.locator(".log-row", has_text="sold").first
    line.click()
    expect(page.locator(".fields")).to_contain_text("sold")
    link = page.get_by_role("link", name="link to this line").get_attribute("href")
    page.goto(dashboard.url + str(link))
    expect(page.locator(".log-row.marked").first).to_be_visible()


def test_half_a_line_is_replaced_by_all_of_it(page: Page, dashboard: Dashboard, stage: Stage) -> None:
    """A question is seen before it has an end; what completes it makes no line of its own."""
    asking = sh("printf 'what now? '; until [ -e /tmp/answered ]; do sleep 0.05; done; echo this; exec sleep 1000")
    stage.write({"name": "ask", "services": {"one": {**asking, "stop_signal": "SIGKILL"}}}, "ask.yml")
    stage.ok("up", "-d", "ask.yml")
    try:
        page.goto(f"{dashboard.url}/logs?stack=ask")
        expect(page.locator(".log-row.out")).to_have_text(re.compile(r"what now\?\s*$"))
        stage.ok("-p", "ask", "exec", "-T", "one", "touch", "/tmp/answered")
        expect(page.locator(".log-row.out")).to_have_text(re.compile("what now. this$"))
    finally:
        stage.ok("-p", "ask", "down", "-t", "0")


def test_a_new_stack_appears_and_goes_by_itself(page: Page, dashboard: Dashboard, stage: Stage) -> None:
    """Within a moment of the command."""
    page.goto(dashboard.url)
    stage.write({"name": "late", "services": {"one": idle()}}, "late.yml")
    stage.ok("up", "-d", "late.yml")
    expect(service(page, "late", "one")).to_contain_text("running")
    stage.ok("-p", "late", "down")
    expect(service(page, "late", "one")).to_have_count(0)


COUNT_GONE = """
() => {
  window.gone = 0;
  new MutationObserver(() => { if (!document.querySelector("tr.service")) window.gone += 1; })
    .observe(document.body, {subtree: true, childList: true});
}
"""


def test_a_killed_supervisor_leaves_the_page_as_it_was(page: Page, dashboard: Dashboard, stage: Stage) -> None:
    """Another one comes; the services never left the board."""
    page.goto(f"{dashboard.url}/s/store")
    expect(service(page, "store", "web")).to_contain_text("healthy")
    page.evaluate(COUNT_GONE)
    before = supervisor(stage)
    os.kill(before, 9)
    until(lambda: supervisor(stage) not in (0, before), "another supervisor is there")
    stage.ok("-p", "store", "restart", "web")
    expect(service(page, "store", "web")).to_contain_text("healthy")
    assert page.evaluate("window.gone") == 0


def supervisor(stage: Stage) -> int:
    """Its pid, 0 while there is none."""
    try:
        with Connection(stage.stack("store")) as connection:
            return int(connection.call({"do": "status"})["supervisor"])
    except OrchestraError:
        return 0


def test_everything_has_an_address(page: Page, dashboard: Dashboard) -> None:
    """A page that is loaded anew shows the same."""
    page.goto(f"{dashboard.url}/s/shop/cart")
    expect(page.get_by_role("heading", name="cart")).to_be_visible()
    expect(page.locator("orc-service > orc-why")).to_contain_text("connection refused")
    page.get_by_role("link", name="shop", exact=True).click()
    expect(page).to_have_url(f"{dashboard.url}/s/shop")
    page.go_back()
    expect(page.get_by_role("heading", name="cart")).to_be_visible()
    page.goto(f"{dashboard.url}/events?q=unhealthy")
    expect(page.locator(".event").first).to_contain_text("cart")


def test_the_keyboard_is_enough(page: Page, dashboard: Dashboard) -> None:
    """Down to a service, its page, its logs, the search, and the list of keys."""
    page.goto(dashboard.url)
    expect(service(page, "shop", "cart")).to_be_visible()
    page.keyboard.press("/")
    expect(page).to_have_url(f"{dashboard.url}/logs")
    expect(page.get_by_label("search in logs")).to_be_focused()
    page.goto(dashboard.url)
    expect(service(page, "shop", "cart")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("l")
    expect(page).to_have_url(f"{dashboard.url}/logs?stack=shop&service=cart")
    page.go_back()
    expect(service(page, "shop", "cart")).to_be_visible()
    page.keyboard.press("j")
    expect(service(page, "shop", "cart")).to_be_focused()
    page.keyboard.press("j")
    expect(service(page, "shop", "orders")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{dashboard.url}/s/shop/cart")
    page.keyboard.press("l")
    expect(page).to_have_url(f"{dashboard.url}/logs?stack=shop&service=cart")
    expect(page.get_by_label("search in logs")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("search in logs")).to_be_focused()
    page.keyboard.press("Escape")
    page.get_by_label("search in logs").blur()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("restart the service")


PAGES = ("/", "/s/shop", "/s/shop/cart", "/logs?stack=shop", "/events", "/graph", "/network", "/alerts")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1360), ("dark", 360)])
def test_everybody_can_use_it(
    browser: Browser, dashboard: Dashboard, signed_in: Any, scheme: str, width: int
) -> None:
    """axe finds nothing serious in either theme, nothing has to be scrolled sideways, nothing is asked of others."""
    context = browser.new_context(
        storage_state=signed_in,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        bypass_csp=True,  # axe is put into the page as a script
    )
    page = context.new_page()
    watched = Watched(page, dashboard.url)
    for path in PAGES:
        page.goto(dashboard.url + path)
        expect(page.locator("html[data-ready]")).to_be_attached()
        page.wait_for_load_state("load")
        page.wait_for_timeout(300)  # what is loaded after the first paint
        found = Axe().run(page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        assert not serious, (path, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious])
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    context.close()
    assert watched.wrong == []


def test_the_first_look_is_small_and_fast(page: Page, dashboard: Dashboard) -> None:
    """Everything of our own weighs less than 150 KB, and the first look needs a part of it."""
    own = sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file() and "vendor" not in path.parts)
    assert own < 300_000
    page.goto(dashboard.url)
    expect(service(page, "store", "web")).to_be_visible()
    sizes = page.evaluate(
        "performance.getEntriesByType('resource').filter(one => !one.name.includes('/views/'))"
        ".map(one => one.encodedBodySize)"
    )
    assert sum(sizes) < 150_000


def test_a_stream_that_is_dead_without_a_word_is_noticed(browser: Browser, stage: Stage, room: Room) -> None:
    """A laptop slept, or the network went: the page says so, and is live again by itself when somebody answers."""
    dashboard = Dashboard(stage)
    room.open(dashboard.port)
    page = browser.new_page()
    page.clock.install()
    page.goto(dashboard.link)
    expect(page.locator(".sum")).to_contain_text("containers")
    dashboard.process.send_signal(signal.SIGSTOP)  # nothing is closed, and nothing comes
    try:
        page.clock.fast_forward(60_000)
        expect(page.locator(".live")).to_contain_text("connection lost")
        expect(service(page, "store", "web")).to_be_visible()
    finally:
        dashboard.process.send_signal(signal.SIGCONT)
    expect(page.locator(".sum")).to_contain_text("containers", timeout=20_000)
    stage.ok("-p", "store", "pause", "catalog")
    expect(service(page, "store", "catalog")).to_contain_text("paused", timeout=20_000)
    stage.ok("-p", "store", "unpause", "catalog")
    page.close()
    dashboard.close()


def test_who_is_not_signed_in_any_more_is_told(browser: Browser, stage: Stage, room: Room) -> None:
    """A server that was started anew knows nobody; the page says what to do."""
    first = Dashboard(stage)
    room.open(first.port)
    page = browser.new_page()
    page.goto(first.link)
    expect(service(page, "store", "web")).to_be_visible()
    port = first.port
    first.close()
    expect(page.locator(".live")).to_contain_text("connection lost")
    second = Dashboard(stage, "--port", str(port))
    try:
        expect(page.locator(".live")).to_contain_text("signed out", timeout=20_000)
    finally:
        page.close()
        second.close()


def test_a_read_only_page_offers_nothing_that_changes(browser: Browser, stage: Stage, room: Room) -> None:
    """No button, and the key does nothing."""
    dashboard = Dashboard(stage, "--read-only")
    room.open(dashboard.port)
    page = browser.new_page()
    try:
        page.goto(dashboard.link)
        expect(service(page, "store", "web")).to_be_visible()
        expect(page.locator(".live")).to_have_text("read-only")
        expect(page.get_by_role("button", name="restart")).to_have_count(0)
    finally:
        page.close()
        dashboard.close()


FLOOD = (
    "import sys,time\nline = 'level=info a line of a flood that does not end %d\\n'\nnumber, begin = 0, time.time()\n"
)
FLOOD += "while True:\n"
FLOOD += "  due = int((time.time() - begin) * 5000)\n"
FLOOD += "  sys.stdout.write(''.join(line % n for n in range(number, due))); sys.stdout.flush()\n"
FLOOD += "  number = max(number, due); time.sleep(.02)\n"


def test_a_flood_of_lines_leaves_page_and_server_usable(page: Page, dashboard: Dashboard, stage: Stage) -> None:
    """5,000 lines a second: a key is answered at once, what the page keeps is bounded, and so is memory."""
    page.goto(f"{dashboard.url}/logs?stack=shop")
    expect(page.locator(".log-row").first).to_be_visible()
    quiet = answer_to_a_key(page)  # a busy machine is slow without any flood
    stage.write({"name": "flood", "services": {"loud": py(FLOOD)}}, "flood.yml")
    stage.ok("up", "-d", "flood.yml")
    try:
        page.goto(f"{dashboard.url}/logs?stack=flood")
        expect(page.locator(".log-row").first).to_be_visible()
        lines = "document.querySelector('orc-log').lines.length"
        until(lambda: page.evaluate(lines) > 20_000, "20,000 lines have come")
        assert answer_to_a_key(page) < 0.5 + 10 * quiet
        assert page.evaluate(lines) <= 50_000
        assert page.evaluate("document.querySelectorAll('.log-row').length") < 200
        assert page.evaluate("performance.memory.usedJSHeapSize") < 150 << 20
        assert resident(dashboard.process.pid) < 200 << 20
        page.goto(dashboard.url)
        expect(service(page, "flood", "loud")).to_contain_text("running")
    finally:
        stage.ok("-p", "flood", "down", "-t", "0")


def answer_to_a_key(page: Page) -> float:
    """Seconds, the median of some."""
    waits = []
    for _ in range(11):
        began = time.monotonic()
        theme = page.evaluate("document.documentElement.dataset.theme ?? ''")
        page.keyboard.press("t")
        page.wait_for_function("before => document.documentElement.dataset.theme !== before", arg=theme)
        waits.append(time.monotonic() - began)
    return sorted(waits)[5]


def resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
