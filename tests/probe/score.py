"""From the results of `inside.py` to a table that a person reads, and to a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

Results = dict[str, list[str]]
"""What was tried -> group, severity, outcome, remark."""
SEVERITIES = ("critical", "high", "medium", "low")


def judged(results: Results) -> Iterator[tuple[str, str, str, str, str]]:
    """(name, group, severity, outcome, remark) of each attempt that this kernel has something for."""
    for name, (group, severity, outcome, remark) in results.items():
        if outcome != "absent" and severity != "use":
            yield name, group, severity, outcome, remark


def through(results: Results) -> list[tuple[str, str, str]]:
    """(severity, name, remark) of what was not stopped, the gravest first."""
    found = [(each[2], each[0], each[4]) for each in judged(results) if each[3] != "blocked"]
    return sorted(found, key=lambda each: SEVERITIES.index(each[0]))


def broken(results: Results) -> list[tuple[str, str]]:
    """(name, remark) of ordinary use that does not work."""
    return [(name, result[3]) for name, result in results.items() if result[1] == "use" and result[2] != "works"]


def weaker(ours: Results, theirs: Results) -> list[str]:
    """What they stop, or let work, and we don't."""
    good = ("blocked", "works")
    bad = ("through", "broken", "fault")
    return [name for name, result in ours.items() if result[2] in bad and theirs[name][2] in good]


def passes(results: Results) -> bool:
    return not broken(results) and not [each for each in through(results) if each[0] in ("critical", "high")]


def table(results: Results, other: Results | None = None) -> str:
    lines = [_line("", "tried", "stopped", *SEVERITIES)]
    for group in dict.fromkeys(each[1] for each in judged(results)):
        lines.append(_counts(group, {name: result for name, result in results.items() if result[0] == group}))
    lines.append(_counts("all", results))
    if other is not None:
        lines.append(_counts("all, beside", other))
    lines += ["", "Came through:"] + [f"  {severity}: {name} {remark}" for severity, name, remark in through(results)]
    ordinary = [result for result in results.values() if result[1] == "use"]
    lines += ["", f"Ordinary use: {len(ordinary)} tried, {len(broken(results))} broken"]
    lines += [f"  {name}: {remark}" for name, remark in broken(results)]
    absent = [name for name, result in results.items() if result[2] == "absent"]
    lines += ["", f"Not judged, since this kernel has nothing of it: {len(absent)}"]
    if other is not None:
        lines += ["", f"Weaker than beside: {', '.join(weaker(results, other)) or 'nothing'}"]
        lines += [f"Stronger than beside: {len(weaker(other, results))}"]
    return "\n".join(lines)


def _counts(label: str, results: Results) -> str:
    all_of_it = list(judged(results))
    open_ones = Counter(each[0] for each in through(results))
    stopped = len(all_of_it) - sum(open_ones.values())
    return _line(label, str(len(all_of_it)), str(stopped), *(str(open_ones[each] or "-") for each in SEVERITIES))


def _line(label: str, *cells: str) -> str:
    return f"{label:18}" + "".join(f"{cell:>9}" for cell in cells)
