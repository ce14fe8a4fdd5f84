"""Stages: one for a test, or one for the reading tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .stage import Stage


@pytest.fixture
def orchestra() -> Iterator[Stage]:
    """An empty installation; taken down and searched for leftovers afterwards."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    """One installation for all tests of a module, for those that only look."""
    stage = Stage()
    yield stage
    stage.close()
