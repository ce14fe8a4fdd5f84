"""`python -m benchmarks.dashboard`: what the dashboard costs at rest, and how fast a change reaches a page.

A home of its own with many small stacks; one page is open (its event stream). Changes are kills of processes: the
time from the kill until the page's stream tells of it, and until a connection straight to the supervisor does.
With Debian's chromium also: how long somebody who opens the page looks at nothing, and until all services are there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from orchestra.client import Connection
from orchestra.places import Home

CHROMIUM = "/usr/bin/chromium"
LOOKS = 9
LOOK = """(services) => new Promise((seen) => {
  const look = () => {
    if (document.querySelectorAll("tr.service").length < services) requestAnimationFrame(look);
    // Two frames on, what is in the document now has been painted.
    else requestAnimationFrame(() => requestAnimationFrame(() => seen([
      performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0, performance.now()])));
  };
  look();
})"""
COMMAND = [sys.executable, "-m", "orchestra.cli.main"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--stacks", type=int, default=20)
    parser.add_argument("--services", type=int, default=5, help="of each stack")
    parser.add_argument("--seconds", type=float, default=20.0, help="of doing nothing")
    parser.add_argument("--changes", type=int, default=30)
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("run it as root: containers are made")
    with tempfile.TemporaryDirectory(prefix="orchestra-dashboard-") as folder:
        ground = Ground(Path(folder))
        try:
            ground.up(asked.stacks, asked.services)
            print(f"{asked.stacks} stacks with {asked.stacks * asked.services} services in all\n")
            alone = ground.cost(ground.supervisors(), asked.seconds)
            print(f"supervisors, nobody looking: {alone:.2%} of a core, all together")
            measure(ground, asked.seconds, asked.changes, asked.stacks * asked.services)
        finally:
            ground.down()


class Ground:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**os.environ, "ORCHESTRA_HOME": str(folder)}
        self.home = Home.of(self.environ, 0)
        self.names: list[str] = []

    def up(self, stacks: int, services: int) -> None:
        for number in range(stacks):
            name = f"s{number}"
            one = {"rootfs": "host", "command": ["sleep", "100000"], "restart": "always", "stop_grace_period": "0s"}
            file = self.folder / f"{name}.yml"
            file.write_text(json.dumps({"name": name, "services": {f"a{each}": one for each in range(services)}}))
            subprocess.run([*COMMAND, "up", "-d", "-f", str(file)], env=self.environ, check=True, capture_output=True)
            self.names.append(name)

    def down(self) -> None:
        for name in self.names:
            subprocess.run(
                [*COMMAND, "-p", name, "down", "-t", "0"], env=self.environ, capture_output=True, check=False
            )

    def status(self, name: str) -> dict[str, Any]:
        with Connection(self.home.stack(name)) as connection:
            return connection.call({"do": "status"})

    def supervisors(self) -> list[int]:
        return [int(self.status(name)["supervisor"]) for name in self.names]

    def cost(self, pids: list[int], seconds: float) -> float:
        """Share of a core that these take while nothing happens."""
        time.sleep(3)
        before, begin = sum(map(spent, pids)), time.monotonic()
        time.sleep(seconds)
        return (sum(map(spent, pids)) - before) / (time.monotonic() - begin)


def spent(pid: int) -> float:
    """Seconds of processor time, by the scheduler's nanoseconds, of all threads."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((one / "schedstat").read_text().split()[0]) for one in tasks.iterdir()) / 1e9


def measure(ground: Ground, seconds: float, changes: int, services: int) -> None:
    begin = time.monotonic()
    process = subprocess.Popen(
        [*COMMAND, "dashboard", "--no-open", "--port", "0"],
        env=ground.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://(127\.0\.0\.1:\d+)/enter\?token=(\S+)", process.stdout.readline())
        assert found
        print(f"from the command to the link: {time.monotonic() - begin:.2f} s")
        print(f"server, no page open: {ground.cost([process.pid], seconds):.2%} of a core")
        page = PageStream(found[1], found[2])
        print(f"server, a page open: {ground.cost([process.pid], seconds):.2%} of a core")
        print(f"supervisors, a dashboard looking: {ground.cost(ground.supervisors(), seconds):.2%} of a core")
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        print(f"server's memory: {int(resident) / 1024:.0f} MiB")
        latencies(ground, page, changes)
        if os.path.exists(CHROMIUM):
            first_looks(page, services)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


class PageStream:
    """The event stream of a page; remembers when a container was told of."""

    def __init__(self, netloc: str, token: str) -> None:
        connection = HTTPConnection(netloc)
        connection.request("GET", f"/enter?token={token}")
        response = connection.getresponse()
        cookie = str(response.headers["Set-Cookie"]).partition(";")[0]
        key = re.search(r'content="([^"]+)"', response.read().decode())
        assert key
        self.netloc, self.cookie, self.key = netloc, cookie, key[1]
        self.told: list[tuple[float, str]] = []
        stream = HTTPConnection(netloc)
        stream.request("GET", f"/api/stream?key={key[1]}", headers={"Cookie": cookie})
        self._answer = stream.getresponse()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for raw in self._answer:
            line = raw.decode()
            if line.startswith("data: ") and '"rows"' in line:
                now = time.monotonic()
                self.told += [(now, row["name"]) for row in json.loads(line[6:]).get("rows", ())]


def latencies(ground: Ground, page: PageStream, changes: int) -> None:
    """Kill one process after the other; the first word of its end is what is waited for."""
    through: list[float] = []
    straight: list[float] = []
    for number in range(changes):
        name = ground.names[number % len(ground.names)]
        row = next(row for row in ground.status(name)["rows"] if row["state"] == "running")
        with Connection(ground.home.stack(name)) as connection:
            heard = watching(connection)
            next(heard)  # everything, at first
            begin = time.monotonic()
            os.kill(row["pid"], 9)
            while not any(one["name"] == row["name"] for one in next(heard)):
                continue
            straight.append(time.monotonic() - begin)
            while not (first := [when for when, told in page.told if told == row["name"] and when >= begin]):
                time.sleep(0.0005)
            through.append(first[0] - begin)
            time.sleep(0.3)  # until it runs again and all is told
    for what, times in (("the page's stream", through), ("the supervisor itself", straight)):
        print(
            f"from a kill to the word of it, by {what}: median {statistics.median(times) * 1000:.0f} ms, "
            f"most {max(times) * 1000:.0f} ms"
        )
    more = [a - b for a, b in zip(through, straight, strict=True)]
    print(
        f"from the supervisor's word to the page's stream: median {statistics.median(more) * 1000:.1f} ms, "
        f"most {max(more) * 1000:.1f} ms"
    )


def watching(connection: Connection) -> Iterator[list[dict[str, Any]]]:
    for answer in connection.answers(connection.send({"do": "watch"})):
        yield answer.get("rows", [])


def first_looks(session: PageStream, services: int) -> None:
    """Of a browser that has never been there, and when it comes back. Medians, from the asking for the address to the
    first paint, and to the one with every service."""
    from playwright.sync_api import Page, sync_playwright

    def look(page: Page) -> tuple[float, float]:
        page.goto(f"http://{session.netloc}/", wait_until="commit")
        first, whole = page.evaluate(LOOK, services)
        return first, whole

    name, _, value = session.cookie.partition("=")
    found: dict[str, list[tuple[float, float]]] = {"for the first time": [], "again": []}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(LOOKS):
            context = browser.new_context()
            context.add_cookies([{"name": name, "value": value, "url": f"http://{session.netloc}"}])
            context.add_init_script(f"localStorage.setItem('orchestra-key', '{session.key}')")
            page = context.new_page()
            for looks in found.values():
                looks.append(look(page))
            context.close()
        browser.close()
    for which, looks in found.items():
        first, whole = (statistics.median(column) for column in zip(*looks, strict=True))
        print(f"the page, opened {which}: first paint after {first:.0f} ms, all services after {whole:.0f} ms")


if __name__ == "__main__":
    main()
