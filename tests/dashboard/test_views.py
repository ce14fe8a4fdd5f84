"""The views over real stacks, in a real browser: history, dependencies, start, use, networks, files, alerts."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from inbox import Inbox, opened
from playwright.sync_api import Browser, Locator, Page, expect
from whole.room import Room
from whole.stage import ROOT, Stage, until

from orchestra.client import Connection

from .conftest import CHROMIUM, Dashboard, Watched

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kernel,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"{CHROMIUM} is not installed"),
]

CHECK = {
    "test": ["CMD-SHELL", "test ! -e /tmp/sick || { echo the till is jammed; exit 1; }"],
    "interval": "250ms",
    "start_interval": "100ms",
    "retries": 1,
}
SERVER = "import http.server as h; h.HTTPServer(('', 8080), h.SimpleHTTPRequestHandler).serve_forever()"
BUSY = "import time\nwhile True:\n  end = time.time() + .03\n  while time.time() < end: pass\n  time.sleep(.1)"
SHOP = """
name: shop
services:
  till:
    rootfs: host
    command: ["python3", "-uc", "{server}"]
    stop_grace_period: 1s
    healthcheck: {{test: ["CMD-SHELL", "{check}"], interval: 250ms, start_interval: 100ms, retries: 1}}
    environment:
      MODE: ${{MODE:-quick}}
      API_TOKEN: s3cret-token
    networks: {{front: {{aliases: [cashier]}}, back: {{}}}}
  orders:
    rootfs: host
    command: ["sleep", "1000"]
    stop_grace_period: 0s
    depends_on: {{till: {{condition: service_healthy}}}}
    networks: [back]
  worker:
    rootfs: host
    command: ["python3", "-uc", "{busy}"]
    stop_grace_period: 0s
    cpus: 0.2
    mem_limit: {memory}
    networks: [back]
networks: {{front: {{}}, back: {{internal: true}}}}
x-alerts:
  receivers: {{team: {{url: "{url}"}}}}
  rules: {{unhealthy: {{for: 0s}}}}
"""


def shop(inbox: Inbox, memory: str = "64m") -> str:
    return SHOP.format(
        server=SERVER,
        check=CHECK["test"][1],
        busy=BUSY.replace("\n", "\\n"),
        memory=memory,
        url=inbox.url("/hook-s3cret"),
    )


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """The machine may be busy."""
    expect.set_options(timeout=20_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    with opened() as inbox:
        yield inbox


@pytest.fixture(scope="module")
def stage(inbox: Inbox) -> Iterator[Stage]:
    """The store and the forum, which share accounts, and a shop that can be made ill."""
    stage = Stage()
    ports = {"STORE_PORT": str(free_port()), "FORUM_PORT": str(free_port())}
    for site in ("store", "forum"):
        stage.names |= {site, "accounts"}
        stage.networks |= {(site, "default"), ("accounts", "default")}
        stage.ok("up", "--wait", str(ROOT / f"examples/{site}/{site}.yml"), env=ports, timeout=120)
    stage.names.add("shop")
    stage.networks |= {("shop", "front"), ("shop", "back")}
    stage.write(shop(inbox))
    stage.ok("up", "--wait", "stack.yml", timeout=60)
    yield stage
    stage.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def dashboard(stage: Stage, room: Room) -> Iterator[Dashboard]:
    dashboard = Dashboard(stage, "--allow-exec")
    room.open(dashboard.port)
    yield dashboard
    dashboard.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, dashboard: Dashboard) -> Any:
    context = browser.new_context()
    page = context.new_page()
    page.goto(dashboard.link)
    expect(page.locator("tr.service").first).to_be_visible()
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def page(browser: Browser, dashboard: Dashboard, signed_in: Any) -> Iterator[Page]:
    context = browser.new_context(storage_state=signed_in, viewport={"width": 1360, "height": 900})
    context.set_default_timeout(20_000)
    page = context.new_page()
    watched = Watched(page, dashboard.url)
    yield page
    context.close()
    assert watched.wrong == []


def ask(stage: Stage, stack: str, do: str, **more: Any) -> dict[str, Any]:
    with Connection(stage.stack(stack)) as connection:
        return connection.call({"do": do, **more})


def make_ill(stage: Stage, ill: bool = True) -> None:
    stage.ok("-p", "shop", "exec", "-T", "till", *(["touch"] if ill else ["rm", "-f"]), "/tmp/sick")
    health = "unhealthy" if ill else "healthy"
    until(
        lambda: [row for row in ask(stage, "shop", "status")["rows"] if row["health"] == health],
        f"the till is {health}",
    )


def node(page: Page, name: str) -> Locator:
    return page.locator(f".node[data-id='{name}']")


# Health over time


def test_an_outage_is_there_with_its_cause_after_a_reload(page: Page, dashboard: Dashboard, stage: Stage) -> None:
    """It comes by itself, and is remembered although the supervisor was killed; bars tell more to the keyboard."""
    page.goto(f"{dashboard.url}/s/shop/till")
    expect(page.locator("orc-timeline .chips button").first).to_be_visible()
    make_ill(stage)
    outage = page.locator(".outage").first
    expect(outage).to_contain_text("unhealthy")
    expect(outage).to_contain_text("now")
    make_ill(stage, False)
    expect(outage).not_to_contain_text("now")
    os.kill(ask(stage, "shop", "status")["supervisor"], 9)
    page.reload()
    expect(outage).to_contain_text(re.compile(r"\d\d:\d\d:\d\d . \d\d:\d\d:\d\d.*unhealthy.*the till is jammed"))
    strip = page.locator(".strip")
    strip.focus()
    for _ in range(3):
        if "jammed" in str(strip.get_attribute("aria-valuetext")):
            break
        page.keyboard.press("ArrowLeft")  # a minute may have begun since
    expect(strip).to_have_attribute("aria-valuetext", re.compile(r"not well \d+ s.*the till is jammed"))
    expect(page.locator(".tip")).to_contain_text("the till is jammed")
    page.keyboard.press("End")
    expect(strip).to_have_attribute("aria-valuetext", re.compile(r"\d+ probes.*: [\d.]+ m?s"))
    page.get_by_role("button", name="7 d").first.click()
    expect(outage).to_contain_text("the till is jammed")


# Dependencies


def test_a_shared_service_is_drawn_once_under_both_sites(page: Page, dashboard: Dashboard) -> None:
    """Beneath the boxes of its users, with an edge from each; the same can be read as a table."""
    page.goto(f"{dashboard.url}/graph")
    expect(node(page, "accounts/accounts")).to_have_count(1)
    expect(page.locator(".port", has_text="accounts")).to_have_count(2)
    edges = page.locator("svg.edges title", has_text="uses accounts of accounts")
    assert sorted(edges.all_text_contents()) == [
        "forum uses accounts of accounts",
        "store uses accounts of accounts",
    ]
    below = node(page, "accounts/accounts").bounding_box()
    assert below
    for site in ("store", "forum"):
        box = page.get_by_role("region", name=f"stack {site}").bounding_box()
        assert box
        assert box["y"] + box["height"] < below["y"]
    page.get_by_text("As a table").click()
    row = page.locator("orc-graph tr", has=page.get_by_role("rowheader", name="store/orders"))
    expect(row).to_contain_text("accounts (healthy)")
    row = page.locator("orc-graph tr", has=page.get_by_role("rowheader", name="accounts/accounts"))
    expect(row).to_contain_text("store/web")
    expect(row).to_contain_text("forum/web")
    node(page, "store/web").focus()
    page.keyboard.press("ArrowDown")
    expect(node(page, "store/orders")).to_be_focused()


def test_history_dependencies_and_cause_are_on_one_page(page: Page, dashboard: Dashboard, stage: Stage) -> None:
    """Who is blocked, by whom, since when and why, without a click; nothing is laid out anew for it."""
    page.goto(f"{dashboard.url}/graph")
    node(page, "shop/orders").evaluate("node => { node.kept = true; }")
    make_ill(stage)
    stage.run("-p", "shop", "restart", "orders", timeout=5)
    expect(node(page, "shop/till")).to_contain_text(re.compile(r"unhealthy \d+ s"))
    expect(node(page, "shop/orders")).to_contain_text(re.compile(r"blocked by till \(unhealthy \d+ s\)"))
    expect(page.locator("g.edge.holds title")).to_have_text("orders needs till (healthy)")
    expect(page.locator(".causes")).to_contain_text(re.compile("orders.* is waiting: till.*the till is jammed"))
    assert node(page, "shop/till").evaluate(DRAWN)
    assert node(page, "shop/orders").evaluate("node => node.kept === true")
    make_ill(stage, False)
    expect(node(page, "shop/orders")).to_contain_text("running")
    expect(page.locator("g.edge.holds")).to_have_count(0)


# The last start


def test_the_last_start_tells_its_critical_path(page: Page, dashboard: Dashboard) -> None:
    """In words, and marked at the lanes."""
    page.goto(f"{dashboard.url}/s/store")
    said = page.locator("orc-waterfall .path-of")
    expect(said).to_contain_text(re.compile(r"Ready after .* s.*Critical path:.*web"))
    critical = page.locator(".lane.critical .lane-name").all_text_contents()
    assert critical[-1] == "web"
    assert "orders" in critical
    last = page.locator(".lane.critical").last
    expect(last).to_have_attribute("aria-label", re.compile("waiting for orders .*; on the critical path"))


# Use


def test_a_chart_moves_and_shows_limits_and_restarts(page: Page, dashboard: Dashboard, stage: Stage) -> None:
    """Each second, on one axis; a cursor reads all charts at once."""
    page.goto(f"{dashboard.url}/s/shop/worker")
    processor = page.get_by_role("figure", name=re.compile("^Processor"))
    expect(processor).to_contain_text(re.compile(r"used [\d.]+ cores of 0.2 cores"))
    expect(page.get_by_role("figure", name=re.compile("^Memory"))).to_contain_text("of 64 MiB")
    picture = "chart => chart.querySelector('canvas').toDataURL()"
    before = processor.evaluate(picture)
    until(lambda: processor.evaluate(picture) != before, "the chart has moved")
    stage.ok("-p", "shop", "restart", "worker")
    marks = "charts => [...charts.marks.values()].filter(mark => mark.text.includes('run 2')).length"
    until(lambda: page.locator("orc-charts").evaluate(marks), "the restart is marked")
    slider = page.locator(".time-strip")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute(
        "aria-valuetext", re.compile(r"\d\d:\d\d:\d\d: Processor used .* cores.*Memory working set .*MiB.*Pressure")
    )
    page.locator("orc-charts").get_by_text("As a table").click()
    expect(page.get_by_role("rowheader", name="Memory, working set")).to_be_visible()
    page.locator("orc-charts").get_by_role("button", name="24 h").click()
    expect(page.get_by_role("figure", name=re.compile("^Memory"))).to_contain_text("MiB")


# Networks


def test_the_network_tells_who_may_talk_to_whom(page: Page, dashboard: Dashboard, stage: Stage) -> None:
    """By common networks, with names, ways out and in, and connections that there are."""
    page.goto(f"{dashboard.url}/s/shop")
    grid = page.locator("table.reach")

    def cell(row: str, column: str) -> Locator:
        names = grid.locator("thead th").all_text_contents()
        line = grid.locator("tbody tr", has=page.get_by_role("rowheader", name=row, exact=True))
        return line.locator("td").nth(names.index(column))

    page.locator("orc-network").scroll_into_view_if_needed()
    expect(grid).to_contain_text("till")
    expect(cell("orders", "till")).to_have_attribute("title", re.compile("by back"))
    expect(cell("orders", "outside")).to_have_attribute("title", re.compile("no way out"))
    expect(cell("till", "outside")).to_have_attribute("title", re.compile("may reach the outside"))
    expect(page.locator("table.names")).to_contain_text("till, cashier, till.shop, shop-till-1")
    expect(page.locator("table.names")).to_contain_text("internal: no way in or out")
    fetch = "import urllib.request; urllib.request.urlopen('http://till:8080').read()"
    stage.ok("-p", "shop", "exec", "-T", "worker", "python3", "-c", fetch)
    # What was still loading above may have pushed it out of sight, where it asks for nothing.
    page.locator("orc-network").scroll_into_view_if_needed()
    expect(cell("worker", "till")).to_have_text(re.compile(r"\+\d+"))
    page.goto(f"{dashboard.url}/network")
    expect(page.get_by_role("region", name="networks of store", exact=True)).to_contain_text("accounts of accounts")


# Configuration


def test_the_configuration_has_its_places_and_what_up_would_change(
    page: Page, dashboard: Dashboard, stage: Stage, inbox: Inbox
) -> None:
    """Secrets are masked, lines are named, and a changed file is told before anybody says `up`."""
    page.goto(f"{dashboard.url}/s/shop/till")
    config = page.locator("orc-config")
    config.scroll_into_view_if_needed()
    expect(config).to_contain_text("What runs is what the files say.")
    token = config.locator("tr", has_text="API_TOKEN")
    expect(token).to_contain_text("••••••")
    expect(token).to_contain_text(re.compile(r"stack.yml:\d+"))
    expect(config.locator("tr", has_text="MODE")).to_contain_text("MODE from default")
    stage.write(shop(inbox, memory="96m"))
    page.goto(f"{dashboard.url}/s/shop")
    config.scroll_into_view_if_needed()
    expect(config).to_contain_text("One value differs")
    change = config.locator(".differences tr", has_text="worker.limits.memory")
    expect(change.locator("del")).to_contain_text("67108864")
    expect(change.locator("ins")).to_contain_text("100663296")
    expect(config.locator(".command")).to_contain_text("stack.yml up -d")
    stage.write("name: shop\nservices: {till: {image: x, rootfs: host, lables: {}}}\n")
    config.get_by_role("button", name="read the files again").click()
    expect(config.locator(".problems")).to_contain_text("lables")
    stage.write(shop(inbox))
    config.get_by_role("button", name="read the files again").click()
    expect(config).to_contain_text("What runs is what the files say.")
    assert "s3cret" not in page.content()


# Terminal

FULL = """python3 -c "
import curses
def main(w):
    w.border(); w.addstr(2, 4, 'full screen', curses.A_REVERSE); w.refresh()
    w.addstr(3, 4, 'key %d, rows %d' % (w.getch(), w.getmaxyx()[0])); w.refresh(); w.getch()
curses.wrapper(main)"
"""
HERE = Path(__file__).parent
DRAWN = """(node) => {
  const picture = node.querySelector("canvas").getContext("2d").getImageData(0, 0, 150, 10);
  return new Uint32Array(picture.data.buffer).some(Boolean);
}"""
SHOWN = "terminal => terminal.screen?.text() ?? ''"


def test_a_terminal_runs_a_shell_and_what_takes_the_whole_screen(page: Page, dashboard: Dashboard) -> None:
    """Typed and shown, with its size; the shell's screen is there again afterwards, and the end tells its code."""
    page.goto(f"{dashboard.url}/s/shop/orders")
    terminal = page.locator("orc-terminal")

    def shows(text: str) -> None:
        until(lambda: text in terminal.evaluate(SHOWN), f"the terminal shows {text!r}")

    terminal.get_by_label("command").fill("sh")
    terminal.get_by_role("button", name="Open a terminal").click()
    expect(terminal.locator(".term-keys")).to_be_focused()
    shows("#")
    page.keyboard.type("echo six times seven is $((6*7))\n")
    shows("six times seven is 42")
    page.keyboard.type("stty size; cat > /tmp/full <<'end'\n" + FULL + "end\n")
    rows, columns = terminal.evaluate("one => [one.screen.rows, one.screen.columns]")
    shows(f"{rows} {columns}")
    page.keyboard.type("sh /tmp/full\n")
    shows("full screen")
    expect(terminal.locator(".term-line span", has_text="full screen")).to_be_visible()
    assert "┌──" in terminal.evaluate(SHOWN)
    page.keyboard.press("ArrowUp")
    shows("key 259, rows")
    page.keyboard.press("q")
    shows("six times seven is 42")
    assert "full screen" not in terminal.evaluate(SHOWN).splitlines()[-1]
    page.set_viewport_size({"width": 800, "height": 700})
    until(lambda: terminal.evaluate("one => one.screen.columns") < columns, "the terminal is narrower")
    narrow = terminal.evaluate("one => `${one.screen.rows} ${one.screen.columns}`")
    page.keyboard.type("clear; stty size; exit 3\n")
    shows(narrow)
    expect(terminal).to_contain_text("ended with exit code 3")


# What is thinking: asked in the page, since that is where it runs

SCREENS = [
    ("abc\b\bX\r\nY", "aXc\nY"),
    ("\x1b[2;3Hx\x1b[1;1Hy\x1b[2;1H\x1b[Kz", "y\nz"),
    ("one\r\ntwo\r\nthree\x1b[1;2r\x1b[2;1H\nnew", "two\nnew\nthree"),
    ("one\r\ntwo\x1b[1;1H\x1b[Lzero", "zero\none\ntwo"),
    ("one\r\ntwo\r\nthree\x1b[1;1H\x1b[M", "two\nthree"),
    ("abcdef\x1b[1;3H\x1b[2P\x1b[@!", "ab!ef"),
    ("shell\x1b[?1049h\x1b[Hvi\x1b[?1049l!", "shell!"),
    ("0123456789ab", "0123456789\nab"),
    ("0123456789\x1b[Kx", "012345678\nx"),
    ("\x1b(0lqk\x1b(B", "┌─┐"),
    ("\x1b]0;title\x07\x1b[38;5;9mred\x1b[0m\x1b[>4;2m.", "red."),
    ("日本\x1b[1;3Hx", "日x"),
    ("a\tb\x1b[Zc", "a       c"),
    ("1\r\n2\r\n3\r\n4\r\n5", "2\n3\n4\n5"),
    ("\x1bPunknown\x1b\\ok\x1b[999zok", "okok"),
]


def test_the_screen_does_what_terminals_do(page: Page, dashboard: Dashboard) -> None:
    """Moving, erasing, scrolling, two screens, wrapping, lines of boxes, wide characters; the unknown is passed."""
    page.goto(dashboard.url)
    shown = page.evaluate((HERE / "screens.js").read_text(), [text for text, _ in SCREENS])
    assert shown == [wanted for _, wanted in SCREENS]


def test_a_drawing_of_any_graph_has_its_order(page: Page, dashboard: Dashboard) -> None:
    """No two nodes overlap, each edge leads down, and all is within the drawing; also for a hundred services."""
    page.goto(dashboard.url)
    assert page.evaluate((HERE / "drawings.js").read_text(), [1, 2, 5, 9, 17, 30, 100]) == []


def test_a_long_name_of_a_stack_stays_in_its_line(page: Page, dashboard: Dashboard) -> None:
    """And within its box, above the first service."""
    page.goto(f"{dashboard.url}/s/shop")
    name = page.locator("orc-graph .box h3").first
    expect(name).to_be_visible()
    edges = name.evaluate(
        """(name) => {
          name.firstChild.textContent = "a-long-name-of-a-stack-".repeat(20);
          const box = name.parentElement;
          const edges = (one) => one.getBoundingClientRect();
          const highest = Math.min(...[...box.querySelectorAll(".node")].map((node) => edges(node).top));
          return [edges(name).bottom <= highest, edges(name).right <= edges(box).right];
        }"""
    )
    assert edges == [True, True]


# Alerts


def test_an_alert_is_seen_and_telling_can_be_tried(
    page: Page, dashboard: Dashboard, stage: Stage, inbox: Inbox
) -> None:
    """It fires and is over by itself; the test really sends, and shows the command that does the same."""
    page.goto(f"{dashboard.url}/alerts")
    receiver = page.locator(".receiver", has_text="team")
    expect(receiver.locator("code")).to_have_text("orchestra -p shop alerts test team")
    before = len(inbox.got)
    receiver.get_by_role("button", name="Send a test").click()
    expect(receiver.locator(".test-result")).to_have_text("sent")
    assert b'"test"' in inbox.got[before][2]
    make_ill(stage)
    expect(page.locator(".firing")).to_contain_text("the till is jammed")
    until(lambda: b'"firing"' in inbox.got[-1][2], "it is told")
    inbox.answer = 404
    make_ill(stage, False)
    expect(page.locator(".firing li")).to_have_count(0)
    expect(page.locator("table.over")).to_contain_text("told once, not told: team (127.0.0.1) answered 404")
    inbox.answer = 204
    expect(page.get_by_role("region", name="Rules", exact=True)).to_contain_text("built in")
    assert "s3cret" not in page.content()


# Everybody


@pytest.mark.parametrize(("scheme", "width"), [("light", 1360), ("dark", 360)])
def test_everybody_can_use_the_views(
    browser: Browser, dashboard: Dashboard, signed_in: Any, stage: Stage, scheme: str, width: int
) -> None:
    """axe finds nothing serious where something is wrong, a terminal is open and tables are unfolded."""
    make_ill(stage)
    context = browser.new_context(
        storage_state=signed_in,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,  # axe is put into the page as a script
    )
    page = context.new_page()
    watched = Watched(page, dashboard.url)
    for path in ("/graph", "/alerts", "/network", "/s/shop", "/s/shop/till"):
        page.goto(dashboard.url + path)
        expect(page.locator("html[data-ready]")).to_be_attached()
        page.wait_for_timeout(500)  # what is loaded after the first paint
        page.evaluate("for (const part of document.querySelectorAll('main details')) part.open = true")
        if path.endswith("till"):
            page.get_by_role("button", name="Open a terminal").click()
            until(lambda: "#" in page.locator("orc-terminal").evaluate(SHOWN), "there is a shell")
        found = Axe().run(page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        assert not serious, (path, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious])
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    context.close()
    make_ill(stage, False)
    assert watched.wrong == []
