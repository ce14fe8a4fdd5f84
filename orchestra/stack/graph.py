"""Who waits for whom: orders, cycles, closures and pictures. Pure functions over a `Stack` or its edges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestra.stack.model import Stack
from orchestra.stack.nodes import Node, value_place
from orchestra.stack.problems import Problem

Edges = Mapping[str, Iterable[str]]


def edges(stack: Stack) -> dict[str, tuple[str, ...]]:
    """What each service needs, among the services that there are."""
    return {
        name: tuple(each.service for each in service.depends_on if each.service in stack.services)
        for name, service in stack.services.items()
    }


def order(needs: Edges) -> list[list[str]]:
    """Ranks: each waits only for earlier ones, and those of one rank may start side by side. Raises on a cycle."""
    left = {name: {each for each in needed if each in needs} for name, needed in needs.items()}
    ranks: list[list[str]] = []
    while left:
        rank = [name for name, waiting in left.items() if not waiting]
        if not rank:
            raise ValueError(describe_cycle(cycle(needs) or []))
        for name in rank:
            del left[name]
        for waiting in left.values():
            waiting.difference_update(rank)
        ranks.append(rank)
    return ranks


def cycle(needs: Edges) -> list[str] | None:
    """A shortest-first walk that comes back to where it began, without the repeated end; None if there is none."""
    done: set[str] = set()
    for start in needs:
        trail: list[str] = []
        stack = [(start, iter(tuple(needs[start])))] if start not in done else []
        trail.append(start)
        while stack:
            _name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                done.add(trail.pop())
            elif following in trail:
                return trail[trail.index(following) :]
            elif following in needs and following not in done:
                stack.append((following, iter(tuple(needs[following]))))
                trail.append(following)
    return None


def describe_cycle(walk: list[str]) -> str:
    """`db waits for cache, cache waits for db: nothing can start first`."""
    pairs = zip(walk, [*walk[1:], *walk[:1]], strict=True)
    return ", ".join(f"{one} waits for {other}" for one, other in pairs) + ": nothing can start first"


def cycle_problems(model: dict[str, Any], root: Node) -> list[Problem]:
    """The cycle of a compose model, if it has one, at the place of its first step."""
    services: dict[str, dict[str, Any]] = model["services"]
    # Waiting for itself is told of where dependencies are checked.
    walk = cycle(
        {name: [each for each in service.get("depends_on", ()) if each != name] for name, service in services.items()}
    )
    if walk is None:
        return []
    mark = value_place(root, ("services", walk[0], "depends_on"))
    return [Problem(mark, ("services", walk[0], "depends_on"), describe_cycle(walk))]


def dependencies(stack: Stack, names: Iterable[str]) -> set[str]:
    """The named services and all that they need, directly or not."""
    return _closure(edges(stack), names)


def dependents(stack: Stack, names: Iterable[str]) -> set[str]:
    """The named services and all that need them, directly or not."""
    needs = edges(stack)
    needed: dict[str, list[str]] = {name: [] for name in needs}
    for name, others in needs.items():
        for other in others:
            needed[other].append(name)
    return _closure(needed, names)


def _closure(reach: Edges, names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found and name in reach:
            found.add(name)
            waiting.extend(reach[name])
    return found


def tree(stack: Stack) -> str:
    """The stack as text: what nobody needs at the left, below each what it waits for, and for what."""
    needs = edges(stack)
    needed = {other for others in needs.values() for other in others}
    needed |= {each.service for service in stack.services.values() for each in service.depends_on}
    lines: list[str] = []
    for name in (each for each in stack.services if each not in needed):
        lines.append(name)
        _branches(stack, name, "", lines, {name})
    lines += [f"{name} (of stack {use.stack})" for name, use in stack.uses.items() if name not in needed]
    return "\n".join(lines)


_WORDS = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}


def _branches(stack: Stack, name: str, indent: str, lines: list[str], shown: set[str]) -> None:
    there = {*stack.services, *stack.uses}
    below = [each for each in stack.services[name].depends_on if each.service in there]
    for index, each in enumerate(below):
        last = index == len(below) - 1
        use = stack.uses.get(each.service)
        again = use is None and each.service in shown and bool(stack.services[each.service].depends_on)
        note = _WORDS[each.condition] + (", see above" if again else "") + (f", of stack {use.stack}" if use else "")
        lines.append(f"{indent}{'└─ ' if last else '├─ '}{each.service} ({note})")
        if not again and use is None:
            shown.add(each.service)
            _branches(stack, each.service, indent + ("   " if last else "│  "), lines, shown)


def dot(stack: Stack) -> str:
    """The stack in Graphviz' language; an arrow points to what is needed."""
    lines = [f"digraph {_quoted(stack.name)} {{", "  rankdir=LR;", "  node [shape=box];"]
    lines += [f"  {_quoted(name)};" for name in stack.services]
    for name, use in stack.uses.items():
        label = _quoted(f"{use.service} of stack {use.stack}")
        lines.append(f"  {_quoted(name)} [style=dashed, label={label}];")
    for name, service in stack.services.items():
        for each in service.depends_on:
            if each.service in stack.services or each.service in stack.uses:
                style = "" if each.required else ", style=dashed"
                words = _quoted(_WORDS[each.condition])
                lines.append(f"  {_quoted(name)} -> {_quoted(each.service)} [label={words}{style}];")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
