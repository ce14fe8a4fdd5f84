"""What is measured. A scenario brings a candidate through a round, and yields each figure under its row's title."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import seen, stacks
from .candidates import Candidate
from .sandbox import Failed, Sample

Figures = Iterator[tuple[str, Sample]]
GOOD_RUN = 10.5
"""Seconds after which docker and orchestra call a run a good one and forget earlier crashes."""
REPEATS = 3
SPARE = 0.1


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    play: Callable[[Candidate], Figures]
    weight: int = 1
    """Of how many rounds it takes part in one: large ones are measured less often."""
    for_whom: Callable[[Candidate], bool] = lambda candidate: True


def running(number: int) -> Callable[[], bool]:
    return lambda: len(seen.processes()) == number


def services(number: int) -> str:
    return f"{number} service" + "s" * (number > 1)


def size(number: int) -> Scenario:
    def play(candidate: Candidate) -> Figures:
        prepare(candidate, stacks.idle(number, candidate.base))
        timed, words, what = candidate.sandbox.timed, candidate.words, services(number)
        yield f"`up -d`, {what}", timed(words("up", "-d"), running(number))
        before = seen.processes()
        for _ in range(REPEATS):
            yield f"`up -d`, nothing to do, {what}", timed(words("up", "-d"), running(number))
        if seen.processes() != before:
            raise Failed("an `up` with nothing to do started something")
        for _ in range(REPEATS):
            yield f"`ps`, {what}", timed(words("ps"), running(number))
        yield f"`down`, {what}", timed(words("down"), running(0))

    return Scenario(f"size {number}", play, weight=1 if number <= 4 else 2)


def prepare(candidate: Candidate, stack: stacks.Document) -> None:
    """A file that has been read before: whoever keeps something for the next time has done so."""
    candidate.use(stack)
    candidate.sandbox.run(candidate.words("config"))


def new_file(candidate: Candidate) -> Figures:
    """A file that nobody has ever read."""
    stack = stacks.idle(1, candidate.base)
    stack["services"]["s0"]["environment"] = {"NEW": str(time.time_ns())}
    candidate.use(stack)
    up = candidate.words("up", "-d")
    yield "`up -d` of a file never read before, 1 service", candidate.sandbox.timed(up, running(1))
    candidate.sandbox.run(candidate.words("down"))


def healthy(number: int) -> Scenario:
    def play(candidate: Candidate) -> Figures:
        prepare(candidate, stacks.checked(number, candidate.base))
        up = candidate.words("up", "-d", "--wait")
        yield f"`up --wait`, {services(number)}", candidate.sandbox.timed(up, running(number), calm=False)
        candidate.sandbox.run(candidate.words("down"))

    return Scenario(f"healthy {number}", play, weight=1 if number <= 4 else 2, for_whom=lambda who: who.waits)


def chain(length: int) -> Scenario:
    def play(candidate: Candidate) -> Figures:
        prepare(candidate, stacks.chain(length, candidate.base))
        sample = candidate.sandbox.timed(candidate.words("up", "-d", "--wait"), running(length), calm=False)
        yield f"`up --wait`, chain of {length} health checks", sample
        candidate.sandbox.run(candidate.words("down"))

    return Scenario(f"chain {length}", play, for_whom=lambda who: who.waits)


def crash(candidate: Candidate) -> Figures:
    """kill -9 until a published port answers again: the first crash soon after `up`, the other after a good run."""
    prepare(candidate, stacks.web(candidate.base))
    begun = time.monotonic()
    watcher = seen.Watcher(candidate.sandbox, begun)
    candidate.sandbox.run(candidate.words("up", "-d"))
    yield "`up -d` until its published port answers, 1 service", Sample(watcher.answered() - begun)
    candidate.sandbox.since(0.0)  # calm, before the next figure begins
    yield "crash within the first 10 s until it answers again", _kill(candidate)
    time.sleep(GOOD_RUN)
    yield "crash after more than 10 s until it answers again", _kill(candidate)
    candidate.sandbox.run(candidate.words("down"))


def _kill(candidate: Candidate) -> Sample:
    victims = seen.processes()
    if len(victims) != 1:
        raise Failed(f"{len(victims)} processes of one service")
    moment, before = time.monotonic(), candidate.sandbox.cpu()
    watcher = seen.Watcher(candidate.sandbox, moment)
    moment = time.monotonic()
    os.kill(victims[0], signal.SIGKILL)
    again = watcher.answered() - moment
    return Sample(again, candidate.sandbox.since(before))


def clean(candidate: Candidate) -> None:
    """After a failure: nothing of this candidate runs on."""
    candidate.sandbox.run(candidate.words("down"))
    end = time.monotonic() + 10
    while seen.processes() and time.monotonic() < end:
        time.sleep(SPARE)


def chosen(sizes: list[int], only: str) -> list[Scenario]:
    every = [*(size(number) for number in sizes), Scenario("new", new_file)]
    every += [healthy(number) for number in (1, 16) if number <= max(sizes)]
    every += [chain(4), Scenario("crash", crash, weight=2)]
    return [scenario for scenario in every if only in scenario.name]
