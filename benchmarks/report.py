"""Samples in, words out: medians, ratios against the best peer, and whether a goal is reached."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from .sandbox import Sample

OURS = "orchestra"


@dataclass(frozen=True, slots=True)
class Goal:
    """The largest share of the best peer's figure that is good enough."""

    wall: Fraction
    cpu: Fraction | None = None


GOALS = {
    "`up -d`, 1 service": Goal(Fraction(1, 3)),
    "`up -d`, 4 services": Goal(Fraction(1, 4)),
    "`up -d`, 16 services": Goal(Fraction(1, 8), Fraction(1, 12)),
    "`up -d`, 64 services": Goal(Fraction(1, 12)),
    "`up --wait`, chain of 4 health checks": Goal(Fraction(1, 4)),
    "`down`, 16 services": Goal(Fraction(1, 10)),
    "crash after more than 10 s until it answers again": Goal(Fraction(1, 3)),
    **{f"`up -d`, nothing to do, {what}": Goal(Fraction(1)) for what in ("4 services", "16 services", "64 services")},
    **{f"`ps`, {what}": Goal(Fraction(4, 5)) for what in ("4 services", "16 services", "64 services")},
}


@dataclass
class Results:
    """Samples by row and candidate, in the order in which they came."""

    rows: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, row: str, candidate: str, sample: Sample) -> None:
        self.rows.setdefault(row, {}).setdefault(candidate, []).append(sample)


def medians(samples: Sequence[Sample]) -> Sample:
    cpus = [sample.cpu for sample in samples if sample.cpu is not None]
    return Sample(statistics.median(s.wall for s in samples), statistics.median(cpus) if cpus else None)


def cell(samples: Sequence[Sample]) -> str:
    if not samples:
        return "-"
    middle, walls = medians(samples), sorted(sample.wall for sample in samples)
    cpu = "" if middle.cpu is None else f"; {middle.cpu:.3f}"
    return f"{middle.wall:.3f} [{walls[0]:.3f}-{walls[-1]:.3f}]{cpu}"


def ratios(row: Mapping[str, Sequence[Sample]]) -> tuple[float | None, float | None]:
    """Ours over the best peer's median: wall, CPU. The best in each respect, be it another one."""
    peers = [medians(samples) for name, samples in row.items() if name != OURS]
    if OURS not in row or not peers:
        return None, None
    ours = medians(row[OURS])
    cpus = [peer.cpu for peer in peers if peer.cpu]
    cpu = ours.cpu / min(cpus) if ours.cpu is not None and cpus else None
    return ours.wall / min(peer.wall for peer in peers), cpu


def verdict(title: str, wall: float | None, cpu: float | None) -> tuple[str, str]:
    goal = GOALS.get(title)
    if goal is None or wall is None:
        return "", ""
    wanted = str(goal.wall) + (f"; {goal.cpu}" if goal.cpu else "")
    reached = wall <= goal.wall and (goal.cpu is None or (cpu is not None and cpu <= goal.cpu))
    return wanted, "yes" if reached else "**no**"


def table(results: Results, names: Sequence[str]) -> str:
    heads = ["seconds", *names, "of the best peer: wall; CPU", "goal", "reached"]
    lines = [heads, ["---"] * len(heads)]
    for title, row in results.rows.items():
        wall, cpu = ratios(row)
        ratio = "" if wall is None else f"{wall:.2f}" + (f"; {cpu:.2f}" if cpu is not None else "")
        lines.append([title, *(cell(row.get(name, ())) for name in names), ratio, *verdict(title, wall, cpu)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(about: Sequence[str], results: Results, names: Sequence[str]) -> str:
    """What RESULTS.md holds."""
    legend = (
        "Each cell: median wall time [least-most]; median CPU of client, daemons, set-up and services. "
        "What each row measures, and how: [README.md](README.md)."
    )
    facts = "\n".join(f"- {line}" for line in about)
    failures = [f"Failed: {failure.strip()}" for failure in results.failures]
    return "\n\n".join(["# Results", facts, legend, table(results, names), *failures])


def plain(results: Results) -> dict[str, dict[str, list[dict[str, float | None]]]]:
    """For --json: every sample."""
    return {
        title: {name: [{"wall": s.wall, "cpu": s.cpu} for s in samples] for name, samples in row.items()}
        for title, row in results.rows.items()
    }
