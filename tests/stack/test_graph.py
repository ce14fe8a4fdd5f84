"""Orders, cycles, closures and pictures of dependencies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.stack import graph
from orchestra.stack.model import Condition, Dependency, HostRoot, Service, Stack

NAMES = st.sampled_from("abcdefgh")
GRAPHS = st.dictionaries(NAMES, st.frozensets(NAMES, max_size=3), max_size=8)


def stack(**needs: dict[str, Condition]) -> Stack:
    services = {
        name: Service(name, HostRoot(), "", depends_on=tuple(Dependency(other, how) for other, how in below.items()))
        for name, below in needs.items()
    }
    return Stack("shop", "/", (), services)


SHOP = stack(
    db={},
    cache={},
    api={"db": "service_healthy", "cache": "service_started"},
    web={"api": "service_completed_successfully", "db": "service_started"},
)


@given(GRAPHS)
def test_every_order_respects_every_edge_or_there_is_a_cycle(needs: dict[str, frozenset[str]]) -> None:
    """And never both."""
    walk = graph.cycle(needs)
    if walk is None:
        at = {name: rank for rank, names in enumerate(graph.order(needs)) for name in names}
        assert set(at) == set(needs)
        assert all(at[other] < at[name] for name in needs for other in needs[name] if other in needs)
    else:
        assert all(other in needs[one] for one, other in zip(walk, [*walk[1:], walk[0]], strict=True))
        with pytest.raises(ValueError, match="nothing can start first"):
            graph.order(needs)


def test_closures_follow_edges_to_the_end() -> None:
    """In both directions, the named services among them."""
    assert graph.dependencies(SHOP, ["api"]) == {"api", "db", "cache"}
    assert graph.dependents(SHOP, ["cache"]) == {"cache", "api", "web"}
    assert graph.dependents(SHOP, ["nobody"]) == set()


def test_a_tree_shows_each_branch_once() -> None:
    """What was shown above is not shown again."""
    assert (
        graph.tree(SHOP)
        == """\
web
├─ api (completed)
│  ├─ db (healthy)
│  └─ cache (started)
└─ db (started)"""
    )


def test_dot_quotes_its_names() -> None:
    """Graphviz reads it."""
    assert '"web" -> "api" [label="completed"];' in graph.dot(SHOP)
    assert graph.dot(SHOP).startswith('digraph "shop" {')
