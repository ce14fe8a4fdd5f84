"""The store and the forum of the examples, which share accounts: used through their web fronts, at the same time."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from whole.room import Room
from whole.stage import ROOT, until
from window import Window

from .town import Town, free_port

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]
CHROMIUM = Path("/usr/bin/chromium")
PASSWORD = "correct horse"


class Sites(Town):
    """A copy of the examples, so that their files can be changed, with both sites up."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("accounts", "store", "forum", "lib"):
            shutil.copytree(ROOT / "examples" / name, self.work / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.names |= {"accounts", "store", "forum"}
        self.networks |= {(name, "default") for name in self.names}
        self.ports = {"store": free_port(), "forum": free_port()}

    @property
    def environ(self) -> dict[str, str]:
        ports = {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        return {**super().environ, **ports}

    def file(self, name: str) -> Path:
        return self.work / name / f"{name}.yml"

    def window(self, name: str) -> Window:
        return Window(f"http://127.0.0.1:{self.ports[name]}")


@pytest.fixture(scope="module")
def examples() -> Iterator[Sites]:
    sites = Sites()
    try:
        sites.start(sites.file("store"), sites.file("forum"))
        yield sites
    finally:
        sites.close()


def test_an_account_made_in_the_store_signs_in_on_the_forum(examples: Sites) -> None:
    """And the other way round; wrong passwords are wrong on both."""
    store, forum = examples.window("store"), examples.window("forum")
    assert "Grace" in store.sign_up("grace@example.org", "Grace", PASSWORD).text
    sheet = forum.open("/sign-in").form("/sign-in")
    assert forum.send(sheet, email="grace@example.org", password="wrong horse").status == 401
    assert "Grace" in forum.send(sheet, email="grace@example.org", password=PASSWORD).text
    other = examples.window("forum")
    assert "Linus" in other.sign_up("linus@example.org", "Linus", PASSWORD).text
    store = examples.window("store")
    page = store.send(store.open("/sign-in").form("/sign-in"), email="linus@example.org", password=PASSWORD)
    assert "Linus" in page.text


def test_in_a_browser_too(examples: Sites) -> None:
    """Sign up in the store, sign in on the forum, and say something there."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    room = Room(str(CHROMIUM))
    try:
        for port in examples.ports.values():
            room.open(port)
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=room.program, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 360, "height": 740})
            page.goto(f"http://127.0.0.1:{examples.ports['store']}/sign-up")
            page.get_by_label("Your name").fill("Barbara")
            page.get_by_label("Email").fill("barbara@example.org")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign up").click()
            playwright.expect(page.get_by_role("button", name="Sign out")).to_be_visible()
            page.goto(f"http://127.0.0.1:{examples.ports['forum']}/topics/2")
            page.get_by_role("link", name="Sign in to reply").click()
            page.get_by_label("Email").fill("barbara@example.org")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_label("Your reply").fill("Mine has no floor.")
            page.get_by_role("button", name="Reply").click()
            playwright.expect(page.get_by_role("status")).to_contain_text("Your reply is there")
            playwright.expect(page.get_by_text("Barbara (you)")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            browser.close()
    finally:
        room.close()


def test_accounts_is_replaced_under_load_and_no_request_fails(examples: Sites) -> None:
    """People look into their carts and write on both sites all the while."""
    over = threading.Event()
    done = {"store": 0, "forum": 0}
    failed: list[str] = []

    def visit(name: str, window: Window, act: Callable[[Window], int]) -> None:
        while not over.wait(0.01) and len(failed) < 10:
            try:
                status = act(window)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what a visitor would see
                failed.append(f"{name}: {error!r}")
                continue
            done[name] += 1
            if status != 200:
                failed.append(f"{name}: {status}")

    def look(window: Window) -> int:
        page = window.open("/cart")
        return page.status if "Visitor" in page.text else 0

    def write(window: Window) -> int:
        return window.send(window.open("/topics/3").form("/topics/3"), body="still here").status

    people = []
    for name, act in (("store", look), ("forum", write)):
        for number in range(2):
            window = examples.window(name)
            page = window.sign_up(f"{name}{number}@example.org", "Visitor", PASSWORD)
            assert "Visitor" in page.text, page.text
            people.append(threading.Thread(target=visit, args=(name, window, act)))
    for person in people:
        person.start()
    try:
        until(lambda: failed or min(done.values()) > 3, "both sites are used")
        old = examples.pid("accounts-accounts-1")
        file = examples.file("accounts")
        changed = file.read_text().replace("mem_limit: 128m", "mem_limit: 128m\n    labels: {version: '2'}")
        file.write_text(changed)
        examples.ok("up", "-d", "--wait", str(file), timeout=90)
        until(lambda: not Path(f"/proc/{old}").exists(), "the old one has gone")
        before = dict(done)
        until(lambda: failed or all(done[name] > before[name] + 3 for name in done), "both sites go on")
    finally:
        over.set()
        for person in people:
            person.join(30)
    assert failed == []


def test_down_of_the_store_leaves_the_forum_signed_in(examples: Sites) -> None:
    """The last test of this module: it takes the sites down, one after the other."""
    forum = examples.window("forum")
    forum.sign_up("last@example.org", "Last", PASSWORD)
    examples.ok("-p", "accounts", "stop", "--force", "-t", "1")
    examples.start(examples.file("forum"))
    examples.down("store")
    assert "Last" in forum.open("/").text
    assert examples.runs("accounts")
