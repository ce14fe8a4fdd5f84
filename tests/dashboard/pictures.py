"""`python -m dashboard.pictures`, in tests/: the README's pictures, of a store and a forum that share accounts and of
something that went wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from whole.room import Room
from whole.stage import ROOT, Stage, py

from .conftest import ARGUMENTS, CHROMIUM, Dashboard

LATER = 40.0
"""Seconds of life before the pictures, so that there is something to see."""
REPORTS = {
    "mailer": py(
        "import time; print('level=warn msg=\"no answer from the relay\"'); time.sleep(3000)",
        healthcheck={"tcp": 25, "start_interval": "200ms", "interval": "2s", "retries": 1},
    ),
    "digest": py("import time; time.sleep(3000)", depends_on={"mailer": {"condition": "service_healthy"}}),
}


def main() -> None:
    stage, room = Stage(), Room(CHROMIUM)
    try:
        for site in ("store", "forum"):
            stage.names.add(site)
            stage.ok("up", "--wait", str(ROOT / f"examples/{site}/{site}.yml"), timeout=120)
        stage.write({"name": "reports", "services": REPORTS})
        stage.run("up", "-d", "stack.yml")
        dashboard = Dashboard(stage)
        room.open(dashboard.port)
        for moment in range(4):
            time.sleep(LATER / 4)
            if moment < 3:
                os.kill(stage.pid("store-orders-1"), 9)
        take(room, dashboard)
        dashboard.close()
    finally:
        room.close()
        stage.close()


def take(room: Room, dashboard: Dashboard) -> None:
    pictures = Path(os.environ.get("PICTURES", ROOT / "docs"))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=room.program, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1280, "height": 940}, device_scale_factor=1.5)
        page = context.new_page()
        page.goto(dashboard.link)
        page.locator("tr.service[data-service=web]").first.wait_for()
        for scheme, path in (("light", "/s/store"), ("dark", "/")):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.goto(dashboard.url + path)
            page.wait_for_timeout(8000)  # until there is something in the charts
            page.screenshot(path=pictures / f"dashboard-{scheme}.png")
            if "PICTURES" in os.environ:
                more(page, dashboard, pictures, scheme)
        browser.close()


def more(page: Page, dashboard: Dashboard, pictures: Path, scheme: str) -> None:
    """All other pages, for somebody who works on them."""
    paths = ("/s/store", "/s/store/orders", "/logs?stack=store", "/events", "/graph", "/network", "/alerts")
    for path in paths:
        page.goto(dashboard.url + path)
        page.wait_for_timeout(2500)
        name = path.strip("/").replace("/", "-").partition("?")[0]
        page.screenshot(path=pictures / f"{name}-{scheme}.png", full_page=True)


if __name__ == "__main__":
    main()
