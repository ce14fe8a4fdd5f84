"""The score: what is tried from inside of a container with the defaults, see `python -m tests.probe`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from probe.score import Results, broken, judged, table, through
from probe.stand import Stand

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def results() -> Iterator[Results]:
    with Stand() as stand:
        yield stand.run()


def test_nothing_comes_through(results: Results) -> None:
    """Neither what is critical nor what is low."""
    assert through(results) == [], table(results)


def test_enough_is_tried(results: Results) -> None:
    """A kernel that has nothing to be tried would pass everything."""
    assert len(list(judged(results))) > 175, table(results)


def test_ordinary_programs_are_not_hindered(results: Results) -> None:
    """Servers that log to /dev/stdout, ping, package tools, databases, compilers at run time, debuggers."""
    assert broken(results) == []
