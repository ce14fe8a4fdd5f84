"""`python -m benchmarks`: orchestra beside its peers, taking turns in one run. See README.md beside this file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from . import candidates, report, root, scenarios
from .candidates import Candidate
from .sandbox import Failed


def main() -> None:
    asked = options()
    if os.geteuid() != 0:
        sys.exit("run it as root: containers, namespaces and cgroups are made")
    if scenarios.running(1)():
        sys.exit("another benchmark is running")
    with tempfile.TemporaryDirectory(prefix="orchestra-benchmark-") as name, ExitStack() as ends:
        folder = Path(name)
        tree = root.make(folder)
        who = begin(folder, tree, asked.candidates.split(","), ends)
        results = report.Results()
        about = describe(who)
        for one in who:  # what is done once on a machine is not measured
            attempt(one, scenarios.Scenario("first of all", scenarios.new_file), report.Results())
        play(who, scenarios.chosen(asked.sizes, asked.only), asked.rounds, results)
    about += [f"load at the end, our own included: {os.getloadavg()[0]:.2f}"]
    print(report.page(about, results, [one.name for one in who]))
    if asked.json:
        asked.json.write_text(
            json.dumps({"about": about, "rows": report.plain(results), "failures": results.failures})
        )


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    numbers = lambda text: [int(number) for number in text.split(",")]  # noqa: E731
    parser.add_argument("--sizes", type=numbers, default=[1, 4, 16, 64], help="services of a stack (1,4,16,64)")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each candidate; large stacks take half")
    parser.add_argument("--only", default="", help="scenarios whose names hold this: size, healthy, chain, crash")
    parser.add_argument("--candidates", default="orchestra,docker,podman", help="who takes part")
    parser.add_argument("--quick", action="store_true", help="two minutes: --sizes 1,4 --rounds 2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there as well")
    asked = parser.parse_args()
    if asked.quick:
        asked.sizes, asked.rounds = [1, 4], 2
    return asked


def begin(folder: Path, tree: Path, names: Sequence[str], ends: ExitStack) -> list[Candidate]:
    """Whoever can take part on this machine."""
    found: list[Candidate] = []
    for kind in candidates.ALL:
        if kind.name not in names:
            continue
        place = folder / kind.name
        place.mkdir()
        try:
            one = kind(place, tree)
        except Failed as reason:
            say(f"without {kind.name}: {reason}")
            continue
        ends.callback(one.end)
        found.append(one)
    return found


def describe(who: Sequence[Candidate]) -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        time.strftime("%Y-%m-%d %H:%M"),
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}",
        *(one.version() for one in who),
        f"`python -m benchmarks {' '.join(sys.argv[1:])}`",
        f"load at the begin: {os.getloadavg()[0]:.2f}",
    ]


def play(who: Sequence[Candidate], every: Sequence[scenarios.Scenario], rounds: int, results: report.Results) -> None:
    for scenario in every:
        taking = [one for one in who if scenario.for_whom(one)]
        for turn in range(-(-rounds // scenario.weight)):
            shift = turn % len(taking)  # A B C, then B C A: nobody always comes after the same one
            for one in taking[shift:] + taking[:shift]:
                say(f"{scenario.name}, round {turn + 1}: {one.name}")
                attempt(one, scenario, results)


def attempt(one: Candidate, scenario: scenarios.Scenario, results: report.Results) -> None:
    try:
        for row, sample in scenario.play(one):
            results.add(row, one.name, sample)
    except Failed as reason:
        results.failures.append(f"{scenario.name}, {one.name}: {reason}")
        say(results.failures[-1])
        try:
            scenarios.clean(one)
        except Failed as again:
            say(f"and cannot clean up: {again}")


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
