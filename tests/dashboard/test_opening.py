"""The link is handed to a browser so that no other user of the machine can read it."""

from __future__ import annotations

import errno
import json
import os
import pwd
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest
from playwright.sync_api import Browser
from whole.room import Room
from whole.stage import Stage, until

from orchestra.dashboard.gate import Gate
from orchestra.dashboard.handing import desktop_user, has_browser
from orchestra.dashboard.serve import _open

from .conftest import Dashboard

pytestmark = pytest.mark.kernel

OPENER = """#!/usr/bin/env python3
import json, os, sys
page = sys.argv[1].removeprefix("file://")
seen = {"arguments": sys.argv, "user": os.geteuid(), "groups": os.getgroups(), "home": os.environ["HOME"]}
seen["path"] = page
seen["mode"] = [oct(os.stat(path).st_mode & 0o7777) for path in (page, os.path.dirname(page))]
seen["owner"] = [os.stat(path).st_uid for path in (page, os.path.dirname(page))]
seen["text"] = open(page).read()
told = os.path.join(os.path.dirname(sys.argv[0]), "told", "seen.json")
open(told + ".new", "w").write(json.dumps(seen))
os.rename(told + ".new", told)
"""


@pytest.fixture
def desk(stage: Stage) -> Iterator[Path]:
    """A folder with a browser that tells what it was given."""
    folder = stage.folder / "desk"
    (folder / "told").mkdir(parents=True)
    stage.folder.chmod(0o755)
    (folder / "told").chmod(0o777)
    for name in ("browser", "xdg-open"):
        (folder / name).write_text(OPENER)
        (folder / name).chmod(0o755)
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def told(desk: Path) -> dict:
    seen = desk / "told/seen.json"
    until(seen.exists, "the browser was opened")
    found = json.loads(seen.read_text())
    assert found["mode"] == ["0o600", "0o700"]
    assert set(found["owner"]) == {found["user"]}
    return found


def test_the_link_is_no_argument_of_the_browser(stage: Stage, desk: Path, browser: Browser, room: Room) -> None:
    """It stands in a page for its user's eyes; a real browser follows it into the dashboard, and then it goes."""
    dashboard = Dashboard(stage, desktop={"DISPLAY": ":9", "BROWSER": str(desk / "browser")})
    try:
        seen = told(desk)
        assert dashboard.token not in " ".join(seen["arguments"])
        assert dashboard.token in seen["text"]
        room.open(dashboard.port)
        page = browser.new_page()
        page.goto(Path(seen["path"]).as_uri())
        page.wait_for_url(f"{dashboard.url}/")
        page.close()
        until(lambda: not os.path.exists(os.path.dirname(seen["path"])), "the page is removed")
    finally:
        dashboard.close()


def test_root_hands_the_link_to_whose_desktop_it_is(stage: Stage, desk: Path) -> None:
    """As sudo tells; nobody else can read it. A page that was never followed goes with the dashboard."""
    nobody = pwd.getpwnam("nobody")
    path = f"{desk}:{os.environ['PATH']}"
    dashboard = Dashboard(stage, desktop={"DISPLAY": ":9", "SUDO_UID": str(nobody.pw_uid), "PATH": path})
    try:
        seen = told(desk)
        assert (seen["user"], seen["home"]) == (nobody.pw_uid, nobody.pw_dir)
        assert 0 not in seen["groups"]
        assert dashboard.token not in " ".join(seen["arguments"])
    finally:
        dashboard.close()
    assert not os.path.exists(os.path.dirname(seen["path"]))


def test_without_room_for_the_page_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link is in the terminal, and the dashboard goes on."""

    def full(**_: object) -> str:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    gate = Gate(7077, {"localhost"})
    with ThreadPoolExecutor() as threads:  # a browser of these tests has a loop in this one
        threads.submit(anyio.run, _open, gate, gate.new_token(), "http://localhost:7077/").result(30)


@pytest.mark.parametrize("given", [{}, {"SUDO_UID": "0"}, {"SUDO_UID": "x"}, {"SUDO_UID": "9" * 30}])
def test_root_itself_is_nobody_elses_desktop(given: dict[str, str]) -> None:
    """Nor is a plain user's."""
    assert desktop_user(given, 0) is None
    assert desktop_user({"SUDO_UID": str(pwd.getpwnam("nobody").pw_uid)}, 1000) is None


def test_without_a_desktop_nothing_is_opened() -> None:
    """A browser has a window."""
    assert not has_browser({"BROWSER": "lynx"})
    assert has_browser({"WAYLAND_DISPLAY": "wayland-0"})
